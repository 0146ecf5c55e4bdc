// c-BTM's ensemble types against the scores of its SequenceScorerBTM
// (scripts/make_cbtm_ensemble_golden.py).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "btm/ensemble/mixture.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::golden;
using nlohmann::json;

const json& expected() {
  static const json data = json::parse(btm_test::read_file(golden("cbtm/ensembles.json")));
  return data;
}

compat::Dictionary dictionary() {
  compat::Dictionary dictionary;
  for (const json& symbol : expected()["symbols"]) dictionary.add_symbol(symbol.get<std::string>());
  return dictionary;
}

std::vector<compat::NamedModel> experts() {
  std::vector<compat::NamedModel> experts;
  for (const char* name : {"c0", "c1", "c2", "c3"}) experts.push_back({name, name});
  return experts;
}

MixtureOptions options_of(const json& run) {
  MixtureOptions options;
  options.ensemble_type = ensemble_type_of(run["type"].get<std::string>()).value();
  options.eval_topk = run["topk"];
  options.cluster.model = golden("cbtm/1.2.1").string();
  options.cluster.temperature = expected()["temperature"];
  return options;
}

// Scores have six decimals, and c-BTM computes in fp32.
TEST(CbtmTypes, ScoreAsCbtmsOwnCode) {
  const compat::Dictionary words = dictionary();
  const auto tokens = expected()["tokens"].get<std::vector<std::int64_t>>();
  const json& scores = expected()["experts"];
  ASSERT_EQ(expected()["runs"].size(), 6U);
  for (const json& run : expected()["runs"]) {
    const MixtureOptions options = options_of(run);
    const Posterior posterior = make_posterior(options, experts(), words);
    Posterior::State state = posterior.start();
    for (std::size_t t = 0; t + 1 < tokens.size(); ++t) {
      posterior.read(state, tokens[t]);
      std::vector<float> log_p;
      for (const json& expert : scores) log_p.push_back(expert[t].get<float>());
      // At the first token all weights are equal, and which of them torch.topk takes is open.
      const bool open = t == 0 && options.eval_topk > 0 && run["type"] != "clustering";
      if (!open) {
        EXPECT_NEAR(posterior.log_prob(state, log_p), run["scores"][t].get<double>(), 3e-6)
            << run["type"] << ' ' << run["topk"] << ' ' << t;
      }
      posterior.observe(state, log_p);
    }
  }
}

TEST(CbtmTypes, RefuseWhatTheyCannotDo) {
  const compat::Dictionary words = dictionary();
  MixtureOptions options = options_of({{"type", "clustering"}, {"topk", 0}});
  const auto expect = [&](const char* phrase) {
    btm_test::expect_error<compat::UsageError>([&] { make_posterior(options, experts(), words); },
                                               phrase);
  };
  options.sparse = true;
  expect("--sparse with clustering needs --eval-topk");
  options.ensemble_type = EnsembleType::kProductOfExperts;
  options.eval_topk = 2;
  expect("--sparse does not go with product_of_experts");
  options.cluster.model.clear();
  expect("--ensemble-type product_of_experts needs --cluster-model");
}

}  // namespace
}  // namespace btm
