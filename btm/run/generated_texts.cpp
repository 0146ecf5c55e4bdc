#include "btm/run/generated_texts.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "btm/run/build_steps.h"
#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"

namespace btm {
namespace {

using nlohmann::json;

std::size_t largest(const std::vector<double>& weights) {
  return static_cast<std::size_t>(std::ranges::max_element(weights) - weights.begin());
}

GeneratedText text_of(const json& row) {
  GeneratedText text;
  if (row.contains("error")) {
    text.prompt = row.at("text");
    text.error = row.at("error");
    return text;
  }
  text.prompt = row.at("prompt");
  const json& best = row.at("hypotheses").at(0);
  text.text = best.at("text");
  text.pieces = best.at("pieces");
  if (!row.contains("experts")) return text;
  text.experts = row.at("experts");
  text.posterior = best.at("posterior");
  for (const auto& weights : text.posterior)
    if (weights.size() != text.experts.size() || weights.empty()) text.posterior.clear();
  if (text.posterior.size() != text.pieces.size()) text.posterior.clear();
  return text;
}

void add_posterior(HtmlPage& page, const GeneratedText& text) {
  StackedAreas chart{.x_label = "token", .y_label = "weight", .x = {}, .layers = {}};
  for (const std::string& name : text.experts) chart.layers.push_back({name, {}});
  for (std::size_t t = 0; t < text.posterior.size(); ++t) {
    chart.x.push_back(static_cast<double>(t + 1));
    for (std::size_t e = 0; e < chart.layers.size(); ++e)
      chart.layers[e].y.push_back(text.posterior[t][e]);
  }
  page.add_chart(chart, "The ensemble's weights when each token came.");
}

std::string shown(const GeneratedText& text) {
  return text.error.empty() ? text.text : "no text: " + text.error;
}

}  // namespace

std::vector<GeneratedText> read_generated_texts(const std::filesystem::path& file) {
  const auto mapped = compat::MappedFile::open(file);
  std::vector<GeneratedText> texts;
  std::int64_t number = 0;
  compat::for_each_line(compat::as_chars(mapped->bytes()), [&](std::string_view line) {
    ++number;
    const compat::Location where{file.string(), "line " + std::to_string(number), {}};
    try {
      texts.push_back(text_of(compat::parse_json_object(line, where, "a result of btm generate")));
    } catch (const json::exception& error) {
      throw compat::FormatError(where, compat::json_problem(error));
    }
  });
  return texts;
}

std::vector<TextPart> speaking_experts(const GeneratedText& text) {
  std::vector<TextPart> parts;
  std::vector<double> sum(text.experts.size());
  std::string word;
  double tokens = 0;
  const auto end_word = [&] {
    if (word.empty() || tokens == 0) return;
    const std::size_t expert = largest(sum);
    parts.push_back(
        {std::exchange(word, {}), text.experts[expert],
         text.experts[expert] + " " + compat::decimal(100 * sum[expert] / tokens, 0) + "%"});
    std::ranges::fill(sum, 0);
    tokens = 0;
  };
  for (std::size_t t = 0; t < text.posterior.size(); ++t) {
    const std::string& piece = text.pieces[t];
    if (piece.starts_with(' ') || piece.starts_with('\n')) end_word();
    word += piece;
    ++tokens;
    for (std::size_t e = 0; e < sum.size(); ++e) sum[e] += text.posterior[t][e];
  }
  end_word();
  return parts;
}

void add_generated_texts(HtmlPage& page, const Plan& plan, const std::filesystem::path& output) {
  const auto together = read_generated_texts(output / texts_file("ensemble"));
  const auto seed = read_generated_texts(output / texts_file("seed"));
  page.add_heading("Texts");
  page.add_paragraph(
      "Each prompt is continued by the seed model, by the expert in which the ensemble believes "
      "most at the end, and by the ensemble. A word has the colour of the expert with the most "
      "weight when the word came.");
  for (std::size_t i = 0; i < together.size(); ++i) {
    const GeneratedText& text = together[i];
    page.add_subheading(text.prompt);
    if (i < seed.size()) page.add_paragraph("seed: " + shown(seed[i]));
    if (text.posterior.empty()) {
      page.add_paragraph("ensemble: " + shown(text));
      continue;
    }
    const std::string& nearest = text.experts[largest(text.posterior.back())];
    if (std::ranges::find(plan.experts, nearest) != plan.experts.end()) {
      const auto own = read_generated_texts(output / texts_file("expert." + nearest));
      if (i < own.size()) page.add_paragraph("expert " + nearest + ": " + shown(own[i]));
    }
    page.add_paragraph("ensemble:");
    page.add_text(speaking_experts(text));
    add_posterior(page, text);
  }
}

}  // namespace btm
