// Clusterers of c-BTM: their predictions, both layouts of idf, and what is refused.
#include "btm/cluster/cbtm_clusterer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "btm/cluster/cluster_notes.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::expect_error;
using btm_test::golden;

std::vector<std::string> lines() {
  const std::string text = btm_test::read_file(golden("cbtm/lines.txt"));
  std::vector<std::string> lines;
  for (std::size_t from = 0, to; (to = text.find('\n', from)) != std::string::npos; from = to + 1)
    lines.push_back(text.substr(from, to - from));
  return lines;
}

class CbtmClusterer : public testing::TestWithParam<const char*> {};

// Distances are kmeans_pytorch's in fp32, with six decimals.
TEST_P(CbtmClusterer, PredictsAsItsOwnCode) {
  const std::string folder = std::string("cbtm/") + GetParam();
  const ClusterModel model = ClusterModel::load(golden(folder));
  EXPECT_EQ(model.clusters(), 4U);
  EXPECT_EQ(model.dimensions(), 8U);
  EXPECT_EQ(model.sha256(), ClusterModel::load(golden(folder + "/tfidf.pkl")).sha256());
  const auto expected =
      nlohmann::json::parse(btm_test::read_file(golden(folder + "/expected.json")));
  const std::vector<std::string> documents = lines();
  ASSERT_EQ(documents.size(), 1000U);
  ASSERT_EQ(expected.size(), documents.size());
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const std::vector<double> distances = model.distances(documents[i]);
    EXPECT_EQ(model.nearest(documents[i]), expected[i][0].get<std::uint32_t>()) << i;
    for (std::size_t j = 0; j < distances.size(); ++j)
      EXPECT_NEAR(distances[j], expected[i][j + 1].get<double>(), 2e-6) << "line " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(BothLayoutsOfIdf, CbtmClusterer, testing::Values("1.2.1", "1.6.1"),
                         [](const auto& test) { return std::string("v") + test.param[2]; });

TEST(CbtmClusterers, AreSavedInOurFormat) {
  const btm_test::TempDir dir;
  const ClusterModel model = ClusterModel::load(golden("cbtm/1.2.1"));
  model.save(dir / "model");
  const ClusterModel copy = ClusterModel::load(dir / "model");
  EXPECT_EQ(copy.rule(), TermRule::kPythonWords);
  EXPECT_EQ(copy.distances("ĚŠŲ ÌŸØÞ 12"), model.distances("ĚŠŲ ÌŸØÞ 12"));
}

TEST(CbtmClusterers, GiveUnknownWordsTheOrigin) {
  const ClusterModel model = ClusterModel::load(golden("cbtm/1.6.1"));
  EXPECT_EQ(model.distances("12 the"), model.distances(""));
}

/// The pickle with `from` replaced by `to`, which is as long.
std::string with(std::string bytes, std::string_view from, std::string_view to) {
  EXPECT_EQ(from.size(), to.size());
  const std::size_t at = bytes.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return bytes.replace(at, from.size(), to);
}

TEST(CbtmClusterers, RefuseOtherFiles) {
  struct Row {
    const char *file, *from, *to, *phrase;
    bool is_damaged = true;
  };
  const std::vector<Row> rows{
      {"tfidf", "NumberNormalizingVectorizer", "NumberNormalizingVectorizes",
       "has the step __main__.NumberNormalizingVectorizes", false},
      {"tfidf", "TruncatedSVD", "TruncatedSVT", "has the step sklearn.decomposition", false},
      {"tfidf", "word\x94\x8c\x09lowercase", "char\x94\x8c\x09lowercase", "analyzer is 'char'",
       false},
      {"tfidf", "lowercase\x94\x88", "lowercase\x94\x89", "lowercase is not True", false},
      {"tfidf", "(?u)\\b\\w\\w+\\b", "(?u)\\b\\w\\w*\\b", "token_pattern is", false},
      {"tfidf", "strip_accents\x94N", "strip_accents\x94\x88", "strip_accents is", false},
      {"tfidf", "\x89\x8c\x0en_features_in_", "\x88\x8c\x0en_features_in_",
       "sublinear_tf is not False", false},
      {"tfidf", "sklearn.pipeline", "sklearn.pipelinf", "expected scikit-learn's Pipeline"},
      {"tfidf", "\x8c\x0bvocabulary_", "\x8c\x0bvocabularyX", "[vocabulary_]: is missing in"},
      {"tfidf", "_idf_diag", "_idf_diax", "[_idf_diag]: is missing in"},
      {"tfidf", "components_", "componentsX", "[components_]: is missing in"},
      {"tfidf", "n_components\x94K\x08", "n_components\x94K\x09", nullptr},  // is not read
      {"tfidf", "_reconstruct", "_reconstrucX", "expected a numpy array"},
      {"kmeans", "KMeans", "KMeanz", "expected kmeans_pytorch's KMeans"},
      {"kmeans", "cluster_centers", "cluster_centerX", "[cluster_centers]: is missing in"},
      {"kmeans", "FloatStorage", "DoubleStorag", "DoubleStorag"},
      {"kmeans", "_load_from_bytes", "_load_from_bytex", "a tensor over"},
      {"kmeans", "K\x04K\x08\x86", "K\x05K\x08\x86", "bad tensor"},
      {"kmeans", "K\x04K\x08\x86", "K\x02K\x07\x86", "are no float32 matrix of 8 columns"},
  };
  for (const Row& row : rows) {
    const btm_test::TempDir dir;
    for (const std::string name : {"tfidf", "kmeans"}) {
      std::string bytes = btm_test::read_file(golden("cbtm/1.2.1/" + name + ".pkl"));
      if (name == row.file) bytes = with(std::move(bytes), row.from, row.to);
      btm_test::write_file(dir / (name + ".pkl"), bytes);
    }
    const auto load = [&] { ClusterModel::load(dir.path()); };
    SCOPED_TRACE(row.from);
    if (row.phrase == nullptr)
      EXPECT_NO_THROW(load());
    else if (row.is_damaged)
      expect_error<compat::FormatError>(load, row.phrase);
    else
      expect_error<compat::UnsupportedError>(load, row.phrase);
  }
}

TEST(CbtmClusterers, AreRefusedWhenTheyAreCut) {
  const btm_test::TempDir dir;
  const std::string tfidf = btm_test::read_file(golden("cbtm/1.6.1/tfidf.pkl"));
  const std::string kmeans = btm_test::read_file(golden("cbtm/1.6.1/kmeans.pkl"));
  btm_test::write_file(dir / "kmeans.pkl", kmeans);
  for (std::size_t size = 0; size < tfidf.size(); size += 997) {
    btm_test::write_file(dir / "tfidf.pkl", tfidf.substr(0, size));
    EXPECT_THROW(ClusterModel::load(dir.path()), compat::FormatError) << size;
  }
  btm_test::write_file(dir / "tfidf.pkl", tfidf + "x");
  expect_error<compat::FormatError>([&] { ClusterModel::load(dir.path()); }, "behind the pickle");
  btm_test::write_file(dir / "tfidf.pkl", tfidf);
  for (std::size_t size = 0; size < kmeans.size(); size += 7) {
    btm_test::write_file(dir / "kmeans.pkl", kmeans.substr(0, size));
    EXPECT_THROW(ClusterModel::load(dir.path()), compat::FormatError) << size;
  }
}

TEST(CbtmClusterer, KeepsItsNamesHoweverItIsNamed) {
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "tfidf.pkl", "a pickle");
  write_cluster_names(dir.path().string() + "/", "digest", {"law", "sports"});
  for (const std::string& path : {dir.path().string(), (dir / "tfidf.pkl").string()})
    EXPECT_EQ(cluster_names(path, "digest", 2), (std::vector<std::string>{"law", "sports"}));
}

TEST(ClusterWeights, OfTheCodeSquareOnceMore) {
  const std::vector<double> squared{0.5, 1.0};
  const auto paper = cluster_weights(squared, 0.5, 0),
             code = cluster_weights(squared, 0.5, 0, WeightRule::kCode);
  EXPECT_NEAR(paper[0] / paper[1], std::exp(0.5 / 0.5), 1e-12);
  EXPECT_NEAR(code[0] / code[1], std::exp(0.75 / 0.5), 1e-12);
}

}  // namespace
}  // namespace btm
