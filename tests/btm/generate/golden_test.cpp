// Every text of fairseq 0.12.2's SequenceGenerator in tests/golden/generate/rows.jsonl, and a
// product of experts that scripts/make_product_golden.py computes.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "btm/ensemble/load_predictor.h"
#include "btm/generate/generator.h"
#include "compat/io/json_text.h"
#include "tests/support/files.h"
#include "tests/support/opened_models.h"

namespace btm {
namespace {

using nlohmann::json;
using Tokens = std::vector<std::int64_t>;

/// fairseq sums in fp32 in another order than we do.
constexpr double kScoreTolerance = 2e-4;
/// Hypotheses whose scores are closer may change places.
constexpr double kTie = 1e-4;

std::vector<json> golden_rows() {
  std::istringstream lines(btm_test::read_file(btm_test::golden("generate/rows.jsonl")));
  std::vector<json> rows;
  for (std::string line; std::getline(lines, line);) {
    json row = compat::parse_json(line);
    if (row.at("kind") == "generate") rows.push_back(std::move(row));
  }
  return rows;
}

GenerateOptions options_of(const json& row) {
  const json& given = row.at("options");
  GenerateOptions options;
  options.beam = given.value("beam", options.beam);
  options.lenpen = given.value("lenpen", options.lenpen);
  options.min_len = given.value("min_len", options.min_len);
  options.max_len_b = given.value("max_len_b", options.max_len_b);
  options.unkpen = given.value("unkpen", options.unkpen);
  options.temperature = given.value("temperature", options.temperature);
  // Not no_repeat_ngram_size, which blocks nothing in fairseq 0.12.2 on a CPU.
  return options;
}

std::unique_ptr<Predictor> predictor_of(const json& models, Posterior posterior) {
  const auto experts = btm_test::opened_models(models);
  const auto dictionary_file = btm_test::golden("data-bin/dict.txt");
  const auto dictionary = compat::Dictionary::load(dictionary_file);
  MachineOptions machine;
  machine.cpu = true;
  return load_predictor(experts, std::move(posterior), machine, dictionary,
                        dictionary_file.string(), {1 << 16, {}});
}

void expect_near(const std::vector<double>& found, const json& expected, const std::string& where) {
  ASSERT_EQ(found.size(), expected.size()) << where;
  for (std::size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], expected[i].get<double>(), kScoreTolerance) << where << ", token " << i;
}

/// The same texts, but for the order of ties.
void expect_same(const std::vector<Hypothesis>& found, const json& expected,
                 const std::string& where) {
  ASSERT_EQ(found.size(), expected.size()) << where;
  std::vector<bool> taken(found.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    const Tokens tokens = expected[i].at("tokens");
    std::size_t at = 0;
    while (at < found.size() && (taken[at] || found[at].tokens != tokens)) ++at;
    ASSERT_LT(at, found.size()) << where << ": no hypothesis " << i;
    taken[at] = true;
    EXPECT_NEAR(found[at].score, expected[i].at("score").get<double>(), kScoreTolerance) << where;
    EXPECT_LE(std::abs(found[at].score - found[i].score), at == i ? 0 : kTie) << where;
    expect_near(found[at].positional_scores, expected[i].at("positional_scores"), where);
  }
}

TEST(Golden, GivesFairseqsTextsAndScores) {
  std::map<std::string, std::vector<json>> by_models;
  for (json& row : golden_rows()) by_models[row.at("models").dump()].push_back(std::move(row));
  std::size_t compared = 0;
  for (const auto& [models, rows] : by_models) {
    const json& names = rows.front().at("models");
    const auto predictor =
        predictor_of(names, Posterior(Prior::uniform(names.size()), PosteriorRule::kNone));
    Generator generator(*predictor, {}, {.batch = 12});  // all rows of these models in one batch
    for (const json& row : rows) generator.submit(row.at("prompt_tokens"), options_of(row));
    while (generator.busy())
      for (const Generated& ended : generator.step()) {
        const json& row = rows[ended.prompt];
        expect_same(
            ended.hypotheses, row.at("hypotheses"),
            models + " '" + std::string(row.at("prompt")) + "' " + row.at("options").dump());
        ++compared;
      }
  }
  EXPECT_EQ(compared, 54U);
}

/// What is wanted of </s> and the tokens after it: the next one's score; at the end the best ones.
Predictor::Step step_of(Predictor& predictor, const Tokens& tokens, std::int64_t top,
                        double temperature) {
  Predictor::Step step{{predictor.open(std::ssize(tokens) + 1).value()},
                       {std::ssize(tokens) + 1},
                       {2},
                       std::vector<Want>(tokens.size() + 1)};
  step.tokens.insert(step.tokens.end(), tokens.begin(), tokens.end());
  for (std::size_t i = 0; i < tokens.size(); ++i)
    step.wants[i] = {.target = tokens[i], .temperature = temperature};
  step.wants.back() = {.top = top, .temperature = temperature};
  return step;
}

TEST(Golden, MultipliesExperts) {
  const json data = json::parse(btm_test::read_file(btm_test::golden("generate/product.json")));
  ASSERT_EQ(data.at("rows").size(), 4U);
  for (const json& row : data.at("rows")) {
    const PosteriorRule rule = posterior_rule_of(row.at("rule").get<std::string>()).value();
    const auto predictor =
        predictor_of(data.at("models"),
                     Posterior(Prior::given(data.at("prior")), rule, 0, Combination::kProduct));
    for (std::size_t i = 0; i < data.at("temperatures").size(); ++i) {
      const json& best = row.at("best").at(i);
      std::vector<Readout> readouts = predictor->advance(
          step_of(*predictor, row.at("tokens"), std::ssize(best), data.at("temperatures")[i]));
      std::vector<double> scores;
      for (const Readout& readout : readouts) scores.push_back(readout.log_prob);
      scores.pop_back();
      expect_near(scores, row.at("scores"), row.at("rule"));  // at any temperature
      for (std::size_t n = 0; n < best.size(); ++n) {
        EXPECT_EQ(readouts.back().top.at(n).token, best[n][0]) << i << ' ' << n;
        EXPECT_NEAR(readouts.back().top.at(n).log_prob, best[n][1].get<double>(), kScoreTolerance);
      }
    }
  }
}

}  // namespace
}  // namespace btm
