#include "btm/ensemble/cluster_prior.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "btm/cluster/cluster_model.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using Origins = std::vector<std::optional<ClusterOrigin>>;

const std::string kModel(64, 'a');
const std::vector<std::string> kThree{"x.pt", "y.pt", "z.pt"};

std::vector<std::size_t> match(const Origins& origins) {
  return experts_of_clusters(origins, kThree, kModel);
}

TEST(ExpertsOfClusters, AreThoseThatWereTrainedForThem) {
  const std::vector<std::size_t> in_order{0, 1, 2};
  EXPECT_EQ(match({}), in_order);
  EXPECT_EQ(match({std::nullopt, std::nullopt, std::nullopt}), in_order);
  EXPECT_EQ(match({std::nullopt, ClusterOrigin{1, {}}, std::nullopt}), in_order);
  EXPECT_EQ(match({ClusterOrigin{2, {}}, ClusterOrigin{0, kModel}, ClusterOrigin{1, {}}}),
            (std::vector<std::size_t>{1, 2, 0}));
}

TEST(ExpertsOfClusters, RefusesExpertsThatDoNotFit) {
  const auto refused = [](const Origins& origins, const std::string& phrase) {
    btm_test::expect_error<compat::UsageError>([&] { match(origins); }, phrase);
  };
  refused({ClusterOrigin{0, {}}, ClusterOrigin{1, std::string(64, 'b')}, ClusterOrigin{2, {}}},
          "expert y.pt was trained for cluster 1 of another cluster model than --cluster-model");
  refused({ClusterOrigin{0, {}}, ClusterOrigin{1, {}}, ClusterOrigin{3, {}}},
          "expert z.pt was trained for cluster 3, but --cluster-model has 3");
  refused({ClusterOrigin{0, {}}, ClusterOrigin{1, {}}, ClusterOrigin{1, {}}},
          "expert z.pt was trained for cluster 1, as expert y.pt was");
  refused({ClusterOrigin{1, {}}, std::nullopt, ClusterOrigin{2, {}}},
          "expert y.pt does not tell its cluster");
}

/// Two clusters of words, and the prior of two experts of theirs.
class TwoClusters : public ::testing::Test {
 protected:
  TwoClusters() {
    ClusterTrainingOptions training;
    training.clusters = 2;
    training.dimensions = 2;
    training.max_document_share = 1;
    const std::vector<std::string> documents{"perl code code", "code perl", "law court",
                                             "court law court"};
    ClusterModel::train(documents, training).save(dir_ / "two.model");
  }

  ClusterPrior prior(std::int64_t top_k) const {
    return {{.model = (dir_ / "two.model").string(),
             .origins = {},
             .post_process = "subword_nmt",
             .encoder_json = {}},
            top_k,
            dictionary_,
            std::vector<std::string>{"x.pt", "y.pt"}};
  }

  std::vector<double> log_prior_of(const TextPrior& prior, const std::string& words) const {
    const auto reader = prior.open();
    for (const std::int64_t token : dictionary_.encode_line(words, /*append_eos=*/false))
      reader->read(token);
    return reader->log_prior();
  }

  const compat::Dictionary dictionary_ =
      compat::Dictionary::parse("perl 1\ncode 1\nlaw 1\ncourt 1\nother 1\n", "dict.txt");

 private:
  btm_test::TempDir dir_;
};

TEST_F(TwoClusters, WeighByTheTextSoFar) {
  const ClusterPrior both = prior(0);
  EXPECT_EQ(both.experts(), 2U);
  const std::vector<double> code = log_prior_of(both, "perl code"),
                            law = log_prior_of(both, "law law court");
  EXPECT_NEAR(std::exp(code[0]) + std::exp(code[1]), 1, 1e-12);
  EXPECT_NE(code[0] > code[1], law[0] > law[1]);
  EXPECT_EQ(log_prior_of(both, "perl other code"), code) << "a word that no cluster knows";
  const std::vector<double> one = log_prior_of(prior(1), "perl code");
  EXPECT_EQ(std::max(one[0], one[1]), 0);
  EXPECT_EQ(std::min(one[0], one[1]), -std::numeric_limits<double>::infinity());
}

TEST(ClusterPrior, ReadsIdsOfGpt2ByTheTokenizersEncoder) {
  const btm_test::TempDir dir;
  const std::string encoder = btm_test::golden("gpt2/encoder.json");
  const auto json = nlohmann::json::parse(btm_test::read_file(encoder));
  compat::Dictionary dictionary;
  std::vector<std::int64_t> ids;
  for (const char* token : {"\u0120people", "\u0120work", "\u0120year", "\u0120time"})
    ids.push_back(dictionary.add_symbol(std::to_string(json.at(token).get<std::int64_t>())));
  ClusterTrainingOptions training;
  training.clusters = 2;
  training.dimensions = 2;
  training.max_document_share = 1;
  const std::vector<std::string> documents{"people work work", "work people", "year time",
                                           "time year time"};
  ClusterPriorOptions options;
  options.model = (dir / "two.model").string();
  options.encoder_json = encoder;
  ClusterModel::train(documents, training).save(options.model);
  const ClusterPrior prior(options, 0, dictionary, std::vector<std::string>{"x.pt", "y.pt"});
  const auto log_prior = [&](std::int64_t first, std::int64_t second) {
    const auto reader = prior.open();
    reader->read(first);
    reader->read(second);
    return reader->log_prior();
  };
  const auto work = log_prior(ids[0], ids[1]), time = log_prior(ids[2], ids[3]);
  EXPECT_NE(work[0] > work[1], time[0] > time[1]);
  options.encoder_json.clear();
  btm_test::expect_error<compat::UsageError>(
      [&] {
        ClusterPrior(options, 0, dictionary, std::vector<std::string>{"x.pt", "y.pt"});
      },
      "--cluster-post-process");
}

TEST_F(TwoClusters, AForkReadsOnByItself) {
  const ClusterPrior both = prior(0);
  const auto reader = both.open();
  const auto read = [&](TextPrior::Reader& to, const char* word) {
    to.read(dictionary_.index(word));
  };
  read(*reader, "perl");
  const std::vector<double> before = reader->log_prior();
  const auto fork = reader->clone();
  read(*fork, "law");
  read(*fork, "court");
  EXPECT_EQ(reader->log_prior(), before);
  EXPECT_EQ(fork->log_prior(), log_prior_of(both, "perl law court"));
}

}  // namespace
}  // namespace btm
