#include "btm/ensemble/mixture.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::expect_error;
using btm_test::TempDir;
using Weights = std::vector<double>;

const std::vector<compat::NamedModel> kExperts{{"a", "forest/a.pt"}, {"b", "forest/b.pt"}};

MixtureOptions cached(const std::string& prior) {
  MixtureOptions options;
  options.ensemble_type = EnsembleType::kCachedPrior;
  options.precomputed_prior = prior;
  return options;
}

TEST(Mixture, ReadsAPriorOfNumbersOrOfAFile) {
  const TempDir dir;
  const std::string file = dir / "weigh.json";
  btm_test::write_file(file, R"({"experts": ["b", "a"], "posterior": [0.25, 0.75], "k": 1})");
  EXPECT_EQ(read_prior("0.5,0.5", kExperts), (Weights{0.5, 0.5}));
  EXPECT_EQ(read_prior(file, kExperts), (Weights{0.75, 0.25}));
  EXPECT_EQ(given_prior(cached(file), kExperts), (Weights{0.75, 0.25}));
  MixtureOptions best = cached(file);
  best.eval_topk = 1;
  best.sparse = true;
  const Posterior posterior = make_posterior(best, kExperts, compat::Dictionary());
  EXPECT_EQ(posterior.prior().active(), std::vector<std::size_t>{0});
}

TEST(Mixture, RefusesAFileThatIsNoPrior) {
  const TempDir dir;
  const std::string file = dir / "weigh.json";
  const auto refused = [&](const char* text) {
    btm_test::write_file(file, text);
    return [&] { read_prior(file, kExperts); };
  };
  for (const auto& [text, phrase] : std::vector<std::pair<const char*, const char*>>{
           {"", "expected the JSON of btm weigh"},
           {"[1, 2]", "expected the JSON of btm weigh"},
           {R"({"experts": ["a", "b"]})", "has no key 'posterior'"},
           {R"({"experts": "a", "posterior": [1]})", "expected the JSON of btm weigh"},
           {R"({"experts": ["a", "b"], "posterior": [null, 1]})", "holds null"},
           {R"({"experts": ["a", "b"], "posterior": [1]})", "has 2 experts and 1 weights"}})
    expect_error<compat::FormatError>(refused(text), phrase);
  for (const auto& [text, phrase] : std::vector<std::pair<const char*, const char*>>{
           {R"({"experts": ["a"], "posterior": [1]})", "is about 1 experts, and there are 2"},
           {R"({"experts": ["a", "c"], "posterior": [0.5, 0.5]})", "has no expert 'b'"},
           {R"({"experts": ["a", "b"], "posterior": [0.5, 0.7]})", "the sum is 1.2"},
           {R"({"experts": ["a", "b"], "posterior": [-1, 2]})", "expected a probability"}})
    expect_error<compat::UsageError>(refused(text), phrase);
}

TEST(Mixture, NeedsWhatItsTypeNeeds) {
  const auto refused = [](MixtureOptions options) {
    return [options] { make_posterior(options, kExperts, compat::Dictionary()); };
  };
  expect_error<compat::UsageError>(refused(cached("")), "needs --precomputed-prior");
  MixtureOptions sparse;
  sparse.ensemble_type = EnsembleType::kUpdatingPrior;
  sparse.sparse = true;
  expect_error<compat::UsageError>(refused(sparse), "--sparse needs a prior");
  MixtureOptions cluster;
  cluster.ensemble_type = EnsembleType::kClusterPrior;
  expect_error<compat::UsageError>(refused(cluster), "needs --cluster-model");
}

}  // namespace
}  // namespace btm
