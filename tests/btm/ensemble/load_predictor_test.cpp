// Scores of texts as fairseq's hub interface gives them: tests/golden/generate/rows.jsonl.
#include "btm/ensemble/load_predictor.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "btm/evaluator/text_scorer.h"
#include "compat/base/error.h"
#include "compat/tokenizer/text_codec.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"
#include "tests/support/opened_models.h"

namespace btm {
namespace {

using btm_test::golden;

compat::TextCodec golden_codec() {
  const std::string dictionary = golden("data-bin/dict.txt"), model = golden("corpus/spm.model");
  return {compat::Dictionary::load(dictionary), dictionary, compat::load_sentencepiece(model),
          model};
}

std::unique_ptr<Predictor> average_of(std::span<const OpenedModel> models,
                                      const compat::TextCodec& codec,
                                      const PredictorRoom& room = {4096, {}}) {
  return load_predictor(models, {Prior::uniform(models.size()), PosteriorRule::kNone}, {},
                        codec.dictionary(), "dict.txt", room);
}

TEST(LoadPredictor, ScoresTextsAsFairseq) {
  compat::TextCodec codec = golden_codec();
  std::istringstream lines(btm_test::read_file(golden("generate/rows.jsonl")));
  std::map<std::string, std::vector<nlohmann::json>> rows;  // by models
  for (std::string line; std::getline(lines, line);)
    if (auto row = nlohmann::json::parse(line); row.at("kind") == "score")
      rows[row.at("models").dump()].push_back(std::move(row));
  EXPECT_EQ(rows.size(), 7U);
  for (const auto& [names, texts] : rows) {
    const auto models = btm_test::opened_models(nlohmann::json::parse(names));
    const auto predictor = average_of(models, codec);
    std::vector<TextToScore> ids;
    for (const auto& row : texts) {
      auto tokens = row.at("tokens").get<std::vector<std::int64_t>>();
      EXPECT_EQ(tokens.back(), codec.dictionary().eos());
      tokens.pop_back();  // which the hub interface does not score
      ids.push_back({{}, codec.encode(row.at("text").get<std::string>())});
      EXPECT_EQ(ids.back().tokens, tokens);
    }
    const auto scores = TextScorer(*predictor, codec.dictionary().eos(), 300).score(ids);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto expected = texts[i].at("positional_scores").get<std::vector<double>>();
      ASSERT_EQ(scores[i].log_probs.size(), expected.size());
      // The two sum in fp32 in different orders; rows.jsonl has six digits.
      for (std::size_t t = 0; t < expected.size(); ++t)
        EXPECT_NEAR(scores[i].log_probs[t], expected[t], 2e-4) << names << " " << i << " " << t;
      EXPECT_NEAR(scores[i].mean(), texts[i].at("score").get<double>(), 2e-4);
      EXPECT_EQ(scores[i].weights.empty(), models.size() == 1);
    }
  }
}

/// The texts of an ensemble's first batch, without padding.
std::vector<std::vector<std::int64_t>> first_texts(const nlohmann::json& row) {
  std::vector<std::vector<std::int64_t>> texts;
  for (const auto& source : row.at("first_batch").at("src")) {
    auto& text = texts.emplace_back(source.get<std::vector<std::int64_t>>());
    std::erase(text, 1);
  }
  return texts;
}

TEST(LoadPredictor, MixesAsTheRelease) {
  const std::string file = golden("data-bin/dict.txt");
  const compat::Dictionary dictionary = compat::Dictionary::load(file);
  for (const auto& row : nlohmann::json::parse(btm_test::read_file(golden("ensemble.json")))) {
    auto names = nlohmann::json::array();
    for (const auto& expert : row.at("experts"))
      names.push_back("checkpoints/elm_" + expert.get<std::string>() + "/checkpoint_last.pt");
    const auto models = btm_test::opened_models(names);
    const EnsembleType type = ensemble_type_of(row.at("type").get<std::string>()).value();
    std::vector<double> prior(models.size(), 1.0 / static_cast<double>(models.size()));
    if (!row.at("prior").is_null()) prior = row.at("prior").get<std::vector<double>>();
    if (!row.at("topk").is_null()) prior = top_k_prior(prior, row.at("topk"));
    const auto predictor =
        load_predictor(models, {Prior::of_type(type, models.size(), prior), default_rule(type)}, {},
                       dictionary, file, {4096, {}});
    const auto texts = first_texts(row);
    Predictor::Step step;
    for (const auto& text : texts) {
      step.rows.push_back(predictor->open(0).value());
      step.counts.push_back(std::ssize(text));
      step.tokens.insert(step.tokens.end(), text.begin(), text.end());
      for (std::size_t t = 0; t < text.size(); ++t)
        step.wants.emplace_back().target = text[(t + 1) % text.size()];
    }
    const auto readouts = predictor->advance(step);
    auto found = readouts.begin();
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto& scores = row.at("first_batch").at("positional_scores").at(i);
      // The sources do not say which token follows the last one of a row.
      for (std::size_t t = 0; t + 1 < texts[i].size(); ++t)
        ASSERT_NEAR(found[static_cast<std::ptrdiff_t>(t)].log_prob, scores.at(t).get<double>(),
                    2e-5)
            << row.at("type") << " " << i << " " << t;  // fp32 sums in another order
      found += std::ssize(texts[i]);
    }
  }
}

TEST(LoadPredictor, LetsAWindowBeginWithSoManyTokens) {
  compat::TextCodec codec = golden_codec();
  const auto models = btm_test::opened_models({"checkpoints/seed/checkpoint_last.pt"});
  std::string text;
  for (int i = 0; i < 60; ++i) text += "the law of perl ";
  TextToScore ids{{}, codec.encode(text)};
  ids.tokens.resize(200);
  const auto whole =
      average_of(models, codec, {4096, 28});  // 128 positions: windows from 0 and 100
  const auto scores = TextScorer(*whole, 2, 150).score(std::span(&ids, 1));
  // Input 128 is the first of the second window: token 100 of the inputs begins it.
  const auto row = whole->open(128).value();
  Predictor::Step step{{row}, {100}, {ids.tokens.begin() + 99, ids.tokens.begin() + 199}, {}};
  for (int i = 0; i < 100; ++i)
    step.wants.emplace_back().target = ids.tokens[static_cast<std::size_t>(100 + i)];
  const auto readouts = whole->advance(step);
  for (std::size_t i = 28; i < 100; ++i)
    EXPECT_NEAR(scores[0].log_probs[100 + i], readouts[i].log_prob, 1e-5) << i;
  btm_test::expect_error<compat::UsageError>(
      [&] {
        average_of(models, codec, {4096, 128});
      },
      "--context-window is 128, expected less than the 128 positions");
}

}  // namespace
}  // namespace btm
