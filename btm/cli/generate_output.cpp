#include "btm/cli/generate_output.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "compat/base/numbers.h"
#include "compat/io/json_line.h"

namespace btm {
namespace {

using Json = nlohmann::ordered_json;

/// A number with the digits that fp32 scores have. null for one that was not computed.
Json score_json(double value) {
  if (!std::isfinite(value)) return nullptr;
  return std::round(value * 1e6) / 1e6;
}

Json hypothesis_json(const Hypothesis& hypothesis, const std::string& text,
                     const std::vector<std::string>& pieces) {
  Json scores = Json::array();
  for (const double score : hypothesis.positional_scores) scores.push_back(score_json(score));
  Json json{{"tokens", hypothesis.tokens},
            {"positional_scores", std::move(scores)},
            {"score", score_json(hypothesis.score)},
            {"text", text},
            {"pieces", pieces}};
  if (!hypothesis.posterior.empty()) {
    Json steps = Json::array();
    for (const std::vector<double>& weights : hypothesis.posterior) {
      Json step = Json::array();
      for (const double weight : weights) step.push_back(score_json(weight));
      steps.push_back(std::move(step));
    }
    json["posterior"] = std::move(steps);
  }
  if (!hypothesis.experts.empty()) json["experts"] = hypothesis.experts;
  return json;
}

Json result_json(const PromptResult& result, const std::vector<std::string>& experts) {
  if (!result.error.empty()) return {{"text", result.prompt}, {"error", result.error}};
  Json hypotheses = Json::array();
  for (std::size_t i = 0; i < result.hypotheses.size(); ++i)
    hypotheses.push_back(hypothesis_json(result.hypotheses[i], result.texts[i], result.pieces[i]));
  Json json{{"prompt", result.prompt}, {"prompt_tokens", result.tokens}};
  if (!experts.empty()) json["experts"] = experts;
  json["hypotheses"] = std::move(hypotheses);
  return json;
}

/// A text as one field of a row: tabs, line ends and backslashes are escaped.
std::string field(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\t' || c == '\n' || c == '\r' || c == '\\') out += '\\';
    out += c == '\t' ? 't' : c == '\n' ? 'n' : c == '\r' ? 'r' : c;
  }
  return out;
}

}  // namespace

GenerateOutput::GenerateOutput(std::ostream& out, TextFormat format,
                               std::vector<std::string> experts)
    : out_(out), format_(format), experts_(std::move(experts)) {
  if (format_ == TextFormat::kTsv) out_ << "number\thypothesis\tscore\ttokens\terror\ttext\n";
  if (format_ == TextFormat::kJson)
    out_ << "{\"experts\": " << compat::json_line(Json(experts_)) << ", \"texts\": [";
}

void GenerateOutput::add(std::size_t number, PromptResult result) {
  early_.emplace(number, std::move(result));
  for (auto first = early_.begin(); first != early_.end() && first->first == next_;
       first = early_.begin(), ++next_) {
    print(first->first, first->second);
    early_.erase(first);
  }
  out_.flush();
}

void GenerateOutput::print(std::size_t number, const PromptResult& result) {
  switch (format_) {
    case TextFormat::kTable:
      return print_table(result);
    case TextFormat::kTsv:
      return print_rows(number, result);
    case TextFormat::kJsonl:
      out_ << compat::json_line(result_json(result, experts_)) << "\n";
      return;
    case TextFormat::kJson:
      out_ << (number == 0 ? "\n" : ",\n") << compat::json_line(result_json(result, experts_));
  }
}

/// One text as it is; several with their scores.
void GenerateOutput::print_table(const PromptResult& result) {
  for (std::size_t i = 0; i < result.hypotheses.size(); ++i) {
    if (result.hypotheses.size() > 1)
      out_ << compat::right_aligned(compat::decimal(result.hypotheses[i].score, 4), 9) << "  ";
    out_ << result.texts[i] << "\n";
  }
}

void GenerateOutput::print_rows(std::size_t number, const PromptResult& result) {
  if (!result.error.empty())
    out_ << number + 1 << "\t\t\t\t" << field(result.error) << "\t" << field(result.prompt) << "\n";
  for (std::size_t i = 0; i < result.hypotheses.size(); ++i) {
    const Hypothesis& hypothesis = result.hypotheses[i];
    out_ << number + 1 << "\t" << i + 1 << "\t" << compat::decimal(hypothesis.score, 6) << "\t"
         << hypothesis.tokens.size() << "\t\t" << field(result.texts[i]) << "\n";
  }
}

void GenerateOutput::end() {
  if (format_ == TextFormat::kJson) out_ << "\n]}\n";
  out_.flush();
}

}  // namespace btm
