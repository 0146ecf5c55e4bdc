#include "btm/cluster/cluster_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "btm/cluster/stop_words.h"
#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/io/sha256.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::expect_error;

/// Documents about ships and about bread, alternating.
std::vector<std::string> two_topics() {
  const std::vector<std::string> ships{"sail", "harbour", "anchor", "captain", "wind", "mast"};
  const std::vector<std::string> bread{"flour", "oven", "yeast", "baker", "crust", "dough"};
  std::vector<std::string> documents;
  for (std::size_t i = 0; i < 40; ++i) {
    const auto& words = i % 2 == 0 ? ships : bread;
    documents.push_back(words[i % 6] + " " + words[(i / 2) % 6] + " " + words[(i / 3) % 6] +
                        " the " + words[(i * 7) % 6]);
  }
  return documents;
}

ClusterTrainingOptions two_clusters() {
  ClusterTrainingOptions options;
  options.clusters = 2;
  options.dimensions = 4;
  return options;
}

TEST(Terms, AreLowerCaseWordsWithoutNumbers) {
  std::string terms;
  for_each_term("The 3 CATS, 2nd co-op_x a \xC3\x89t\xC3\xA9 \xC3\xA9.", TermRule::kWords,
                [&](std::string_view t) { terms += std::string(t) + "|"; });
  EXPECT_EQ(terms, "the|cats|co|op_x|\xC3\x89t\xC3\xA9|");
}

TEST(Terms, OfTokenisedTextStandBetweenWhiteSpace) {
  std::string terms;
  for_each_term(" \xE2\x96\x81The 13\tX ", TermRule::kPieces,
                [&](std::string_view t) { terms += std::string(t) + "|"; });
  EXPECT_EQ(terms, "\xE2\x96\x81The|13|X|");
}

TEST(ClusterModel, TellsTopicsApart) {
  const ClusterModel model = ClusterModel::train(two_topics(), two_clusters());
  EXPECT_EQ(model.sizes(), (std::vector<std::uint64_t>{20, 20}));
  const std::uint32_t ships = model.nearest("the captain at anchor");
  EXPECT_NE(ships, model.nearest("yeast in the oven"));
  for (const std::string& term : model.top_terms(ships, 4))
    EXPECT_NE(std::string("sail harbour anchor captain wind mast").find(term), std::string::npos)
        << term;
}

TEST(ClusterModel, GivesAGrowingTextTheDistancesOfADocument) {
  const ClusterModel model = ClusterModel::train(two_topics(), two_clusters());
  ClusterModel::Context context(model);
  EXPECT_EQ(context.distances().size(), 2U);
  for (const char* const word : {"flour", "unheard", "wind", "flour"}) context.add(word);
  EXPECT_EQ(context.distances(), model.distances("flour unheard wind flour"));
}

TEST(ClusterModel, SurvivesItsFile) {
  const btm_test::TempDir dir;
  const ClusterModel model = ClusterModel::train(two_topics(), two_clusters());
  model.save(dir / "model");
  const ClusterModel loaded = ClusterModel::load(dir / "model");
  EXPECT_EQ(loaded.sizes(), model.sizes());
  EXPECT_EQ(loaded.rule(), model.rule());
  EXPECT_EQ(loaded.distances("anchor and dough"), model.distances("anchor and dough"));
  EXPECT_EQ(loaded.top_terms(1, 3), model.top_terms(1, 3));
  loaded.save(dir / "again");
  EXPECT_EQ(btm_test::read_file(dir / "again"), btm_test::read_file(dir / "model"));
}

TEST(ClusterModel, KeepsWhatAReaderWantsToSee) {
  const btm_test::TempDir dir;
  const std::vector<std::string> documents = two_topics();
  ClusterTrainingOptions options = two_clusters();
  for (const std::string& document : documents)
    options.weights.push_back(static_cast<double>(document.size()));
  options.weighs_tokens = true;
  ClusterModel::train(documents, options).save(dir / "model");
  const ClusterNotes notes = ClusterModel::load(dir / "model").notes();
  EXPECT_EQ(notes.unit, "tokens");
  ASSERT_EQ(notes.weights.size(), 2u);
  EXPECT_NEAR(notes.weights[0] / notes.weights[1], 1, 0.05) << "a document is 5% of a cluster";
  for (const auto& samples : notes.samples) {
    ASSERT_EQ(samples.size(), 3u);
    EXPECT_NE(std::ranges::find(documents, samples.front()), documents.end());
  }
  EXPECT_EQ(notes.documents.size(), 40u);
  EXPECT_EQ(notes.centers.size(), 2u);
  EXPECT_NE(notes.centers[0].x, notes.centers[1].x);
}

TEST(ClusterNotes, RefuseWhatTheyAreNot) {
  for (const char* bad :
       {"", "[]", "{}", R"({"unit":"bytes","weights":1,"samples":[],"documents":[],"centers":[]})",
        R"({"unit":"bytes","weights":[1],"samples":[["a"]],"documents":[],"centers":[]})",
        R"({"unit":"bytes","weights":[1,1],"samples":[["a"],[]],"documents":[[1]],"centers":[]})"})
    expect_error<compat::FormatError>([&] { notes_of_text(bad, 2, "model"); }, "model[notes]");
}

TEST(ClusterNames, BelongToOneModel) {
  const btm_test::TempDir dir;
  const std::string model = (dir / "model").string();
  EXPECT_EQ(cluster_names(model, "sum", 2), (std::vector<std::string>{"c0", "c1"}));
  write_cluster_names(model, "sum", {"law", "c1"});
  EXPECT_EQ(cluster_names(model, "sum", 2), (std::vector<std::string>{"law", "c1"}));
  expect_error<compat::FormatError>([&] { cluster_names(model, "other", 2); },
                                    "names clusters of another model");
  expect_error<compat::FormatError>([&] { cluster_names(model, "sum", 3); }, "2 clusters of 3");
  btm_test::write_file(dir / "model.names", "{}");
  expect_error<compat::FormatError>([&] { cluster_names(model, "sum", 2); }, "model.names");
}

TEST(StopWords, AreThoseOfTheLanguagesInTheText) {
  const std::vector<std::string> german{"der Wind und die Wellen sind nicht von hier",
                                        "ein Schiff auf dem Meer wird von den Wellen getragen"};
  const auto found = stop_words("auto", german);
  EXPECT_TRUE(found.contains("und"));
  EXPECT_FALSE(found.contains("the"));
  EXPECT_TRUE(stop_words("english,german", {}).contains("the"));
  EXPECT_TRUE(stop_words("none", german).empty());
  EXPECT_EQ(stop_word_languages().size(), 4u);
  expect_error<compat::UsageError>([] { stop_words("latin", {}); }, "'latin', expected auto");
}

TEST(StopWords, AreNoTerms) {
  std::vector<std::string> documents = two_topics();
  for (std::string& document : documents) document += " of the and in is or";
  for (std::size_t i = 0; i < documents.size(); i += 3) documents[i] += " with from";
  ClusterTrainingOptions options = two_clusters();
  options.max_document_share = 1;
  const ClusterModel model = ClusterModel::train(documents, options);
  for (std::size_t j = 0; j < 2; ++j)
    for (const std::string& term : model.top_terms(j, 50))
      EXPECT_EQ(std::string(" of the and in is or with from ").find(" " + term + " "),
                std::string::npos)
          << term;
}

TEST(ClusterModel, RefusesDamagedFiles) {
  const btm_test::TempDir dir;
  ClusterModel::train(two_topics(), two_clusters()).save(dir / "model");
  const std::string good = btm_test::read_file(dir / "model");
  const auto refused = [&](std::string bytes, std::string_view phrase, bool sign = true) {
    if (sign) {  // so that it is not refused for its checksum
      bytes.resize(bytes.size() - 64);
      bytes += compat::sha256_hex(compat::as_byte_span(bytes));
    }
    btm_test::write_file(dir / "bad", bytes);
    expect_error<compat::FormatError>([&] { ClusterModel::load(dir / "bad"); }, phrase);
  };
  const auto with = [&](std::size_t at, const std::string& bytes) {
    return std::string(good).replace(at, bytes.size(), bytes);
  };
  refused(with(good.size() / 2, std::string(1, static_cast<char>(good[good.size() / 2] ^ 1))),
          "the checksum is wrong", false);
  refused("", "is no cluster model", false);
  refused(with(0, "BTMCLUS9"), "is no cluster model");
  refused(with(8, std::string("\x07\0\0\0", 4)), "the terms are of kind 7");
  refused(with(12, std::string("\0\0\0\0", 4)), "0 dimensions");
  refused(with(16, "\xFF\xFF\xFF\x7F"), "clusters, expected 1 to");
  refused(with(20, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"), "do not fit in the file");
  refused(with(28, "\xFF\xFF\xFF\x7F"), "needs 2147483647 bytes for a term");
  refused(good.substr(0, good.size() - 64) + "more" + good.substr(good.size() - 64),
          "the checksum is wrong", false);
  refused(good.substr(0, good.size() - 80), "needs", false);
}

TEST(ClusterModel, NeedsAsManyDocumentsAsClusters) {
  ClusterTrainingOptions options = two_clusters();
  expect_error<compat::UsageError>(
      [&] {
        ClusterModel::train(std::vector<std::string>{"one flour", "12 34"}, options);
      },
      "1 document has terms that are kept");
}

TEST(ClusterWeights, FollowTheDistancesByTemperature) {
  const std::vector<double> distances{0.5, 1.0, 2.0};
  const std::vector<double> weights = cluster_weights(distances, 0.5, 0);
  EXPECT_NEAR(weights[1] / weights[0], std::exp(-1.0), 1e-12);
  EXPECT_NEAR(weights[2] / weights[1], std::exp(-2.0), 1e-12);
  EXPECT_NEAR(std::accumulate(weights.begin(), weights.end(), 0.0), 1, 1e-12);
  EXPECT_EQ(cluster_weights(distances, 1e-6, 0), (std::vector<double>{1, 0, 0}));
  EXPECT_EQ(cluster_weights(distances, 0.5, 1), (std::vector<double>{1, 0, 0}));
  const std::vector<double> two = cluster_weights(distances, 0.5, 2);
  EXPECT_EQ(two[2], 0);
  EXPECT_NEAR(two[1] / two[0], std::exp(-1.0), 1e-12);
}

}  // namespace
}  // namespace btm
