#include "btm/cli/score_output.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <ostream>
#include <utility>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/io/json_line.h"
#include "compat/program/console.h"

namespace btm {
namespace {

using Json = nlohmann::ordered_json;
using compat::decimal;
using compat::right_aligned;

/// Six digits after the point, as fairseq's scores have; null for what is not finite.
Json rounded(double value) {
  constexpr double kUnit = 1e6;
  return std::isfinite(value) ? Json(std::round(value * kUnit) / kUnit) : Json();
}

template <class Values>
Json rounded_list(const Values& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(rounded(value));
  return list;
}

template <class Values>
std::size_t best_of(const Values& values) {
  std::size_t best = 0;
  for (std::size_t e = 1; e < values.size(); ++e)
    if (std::isnan(values[best]) || values[e] > values[best]) best = e;
  return best;
}

/// `text` as a field of a row: tabs, line ends and backslashes are escaped.
std::string as_field(const std::string& text) {
  std::string field;
  for (const char c : text) {
    if (c == '\t' || c == '\n' || c == '\r' || c == '\\') field += '\\';
    field += c == '\t' ? 't' : c == '\n' ? 'n' : c == '\r' ? 'r' : c;
  }
  return field;
}

/// Cut to about `width` columns.
std::string cut(const std::string& text, std::size_t width) {
  return compat::printable(text, std::max<std::size_t>(width, 8));
}

/// Left-aligned.
std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(text.size(), width), ' ');
  return text;
}

/// A column of a row for each expert.
std::string weight_fields(const std::vector<double>& weights) {
  std::string fields;
  for (const double weight : weights) fields += "\t" + decimal(weight, 4);
  return fields;
}

constexpr std::size_t kNameWidth = 14, kNumberWidth = 6, kWeightWidth = 10;
/// Of the lines of --tokens, beside the weights: score, best expert, token.
constexpr std::size_t kTokenRest = 11 + 2 + kNameWidth + 2 + 12;

}  // namespace

ScoreOutput::ScoreOutput(std::ostream& out, ScoreOutputOptions options)
    : out_(out), options_(std::move(options)) {
  print_header();
}

void ScoreOutput::print_header() {
  const bool tokens = options_.tokens;
  if (options_.format == TextFormat::kJson) {
    out_ << "{\"experts\": " << compat::json_line(Json(options_.experts)) << ", \"texts\": [";
  } else if (options_.format == TextFormat::kTsv) {
    out_ << "number" << (options_.nbest ? "\tid\trank" : "")
         << (tokens ? "\ttoken\tid\tlog_prob\ttext"
                    : "\tlog_prob\ttokens\tperplexity\tbits_per_byte");
    if (ensemble()) {
      out_ << "\tbest_expert";
      for (const std::string& expert : options_.experts) out_ << "\tposterior_" << as_field(expert);
    }
    out_ << (tokens ? "" : "\terror\ttext") << "\n";
  } else if (options_.format == TextFormat::kTable && !tokens) {
    out_ << right_aligned("no", kNumberWidth) << (options_.nbest ? "      id  rank" : "")
         << "   log-prob  tokens        ppl  bits/byte  "
         << (ensemble() ? padded("expert", kNameWidth + 7) : "") << "text\n";
  }
}

void ScoreOutput::add(ScoredItem item) {
  ++totals_.texts;
  if (item.score) {
    totals_.tokens += std::ssize(item.score->log_probs);
    totals_.bytes += std::ssize(item.item.text);
    totals_.log_prob += item.score->total();
  } else {
    ++totals_.failed;
  }
  if (!options_.nbest) return print(item, 0);
  if (!list_.empty() && list_.front().item.id != item.item.id) print_list();
  list_.push_back(std::move(item));
}

void ScoreOutput::print_list() {
  std::vector<std::size_t> order(list_.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t i) {
    return list_[i].score ? list_[i].score->total() : -HUGE_VAL;
  });
  std::vector<std::size_t> rank(list_.size());
  for (std::size_t i = 0; i < order.size(); ++i) rank[order[i]] = i + 1;
  for (std::size_t i = 0; i < list_.size(); ++i) print(list_[i], list_[i].score ? rank[i] : 0);
  list_.clear();
}

void ScoreOutput::end() {
  print_list();
  if (options_.format != TextFormat::kJson) return;
  const TextScore total{{totals_.log_prob}, {}, {}};
  const Json json{
      {"texts", totals_.texts},
      {"failed", totals_.failed},
      {"tokens", totals_.tokens},
      {"log_prob", rounded(totals_.log_prob)},
      {"perplexity", rounded(std::exp(-totals_.log_prob / static_cast<double>(totals_.tokens)))},
      {"bits_per_byte", rounded(total.bits_per_byte(totals_.bytes))}};
  out_ << "\n], \"total\": " << json.dump() << "}\n";
}

void ScoreOutput::print(const ScoredItem& item, std::size_t rank) {
  ++printed_;
  switch (options_.format) {
    case TextFormat::kJson:
      out_ << (printed_ > 1 ? ",\n" : "\n");
      [[fallthrough]];
    case TextFormat::kJsonl:
      return print_json(item, rank);
    case TextFormat::kTsv:
      return options_.tokens && item.score ? print_token_rows(item) : print_tsv(item, rank);
    case TextFormat::kTable:
      return options_.tokens && item.score ? print_token_rows(item) : print_table(item, rank);
  }
}

void ScoreOutput::print_json(const ScoredItem& item, std::size_t rank) {
  Json json{{"text", item.item.text}};
  if (options_.context) json["context"] = item.item.context;
  if (options_.nbest) json["id"] = item.item.id;
  if (!item.score) {
    json["error"] = item.item.where + ": " + item.item.error;
  } else {
    const TextScore& score = *item.score;
    if (options_.nbest) json["rank"] = rank;
    json["tokens"] = item.tokens;
    if (options_.tokens) json["pieces"] = item.pieces;
    json["positional_scores"] = rounded_list(score.log_probs);
    json["score"] = rounded(score.mean());
    json["log_prob"] = rounded(score.total());
    json["perplexity"] = rounded(score.perplexity());
    json["bits_per_byte"] = rounded(score.bits_per_byte(std::ssize(item.item.text)));
    if (ensemble()) {
      if (options_.format == TextFormat::kJsonl) json["experts"] = options_.experts;
      Json& posterior = json["posterior"] = Json::array();
      Json best = Json::array();
      if (!options_.tokens) posterior = rounded_list(score.weights.back());
      for (std::size_t t = 0; t < score.weights.size() && options_.tokens; ++t) {
        posterior.push_back(rounded_list(score.weights[t]));
        best.push_back(options_.experts[best_of(score.expert_log_probs[t])]);
      }
      if (options_.tokens) json["best_experts"] = std::move(best);
      const std::vector<double> evidence = evidence_of(score);
      json["evidence"] = rounded_list(evidence);
      json["best_expert"] = options_.experts[best_of(evidence)];
    }
  }
  out_ << compat::json_line(json);
  if (options_.format == TextFormat::kJsonl) out_ << "\n";
}

void ScoreOutput::print_tsv(const ScoredItem& item, std::size_t rank) {
  out_ << printed_;
  if (options_.nbest) out_ << "\t" << as_field(item.item.id) << "\t" << rank;
  if (options_.tokens) {
    out_ << "\t\t\t\terror: " << as_field(item.item.error) << "\n";
    return;
  }
  if (item.score) {
    const TextScore& score = *item.score;
    out_ << "\t" << decimal(score.total(), 6) << "\t" << score.log_probs.size() << "\t"
         << decimal(score.perplexity(), 4) << "\t"
         << decimal(score.bits_per_byte(std::ssize(item.item.text)), 6);
    if (ensemble())
      out_ << "\t" << as_field(options_.experts[best_of(evidence_of(score))])
           << weight_fields(score.weights.back());
  } else {
    out_ << "\t\t\t\t" << std::string(ensemble() ? 1 + options_.experts.size() : 0, '\t');
  }
  out_ << "\t" << as_field(item.item.error) << "\t" << as_field(item.item.text) << "\n";
}

bool ScoreOutput::weights_fit() const {
  return kTokenRest + options_.experts.size() * (kWeightWidth + 1) <= compat::terminal_width();
}

/// The names of the columns of the lines of --tokens; "" for one model.
std::string ScoreOutput::token_head() const {
  if (!ensemble()) return {};
  std::string head =
      right_aligned("log-prob", 11) + "  " + padded("best expert", kNameWidth) + "  ";
  if (!weights_fit()) return head + "largest posteriors\n";
  for (const std::string& expert : options_.experts)
    head += right_aligned(compat::printable(expert, kWeightWidth), kWeightWidth) + " ";
  return head + " token\n";
}

/// The posterior after a token: a column for each expert, or the largest by name.
std::string ScoreOutput::shown_weights(const std::vector<double>& weights) const {
  constexpr std::size_t kNamed = 2;
  std::string text;
  if (weights_fit()) {
    for (const double weight : weights)
      text += right_aligned(decimal(weight, 4), kWeightWidth) + " ";
    return text;
  }
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::ranges::greater{},
                           [&](std::size_t e) { return weights[e]; });
  for (std::size_t i = 0; i < std::min(kNamed, order.size()); ++i)
    text += padded(compat::printable(options_.experts[order[i]], kWeightWidth) + " " +
                       decimal(weights[order[i]], 4),
                   kWeightWidth + 8);
  return text;
}

/// A row for each token.
void ScoreOutput::print_token_rows(const ScoredItem& item) {
  const TextScore& score = *item.score;
  const bool table = options_.format == TextFormat::kTable;
  const std::size_t width = compat::terminal_width();
  if (table)
    out_ << printed_ << "  " << cut(item.item.text, width > 8 ? width - 8 : 8) << "\n   "
         << decimal(score.total(), 4) << " for " << score.log_probs.size() << " tokens, perplexity "
         << decimal(score.perplexity(), 2) << "\n"
         << token_head();
  for (std::size_t t = 0; t < score.log_probs.size(); ++t) {
    const std::string piece = t + 1 == item.tokens.size() ? "</s>" : item.pieces[t];
    if (table)
      out_ << right_aligned(decimal(score.log_probs[t], 4), 11) << "  ";
    else
      out_ << printed_ << "\t" << (options_.nbest ? as_field(item.item.id) + "\t\t" : "") << t + 1
           << "\t" << item.tokens[t] << "\t" << decimal(score.log_probs[t], 6) << "\t"
           << as_field(piece);
    if (ensemble()) {
      const std::string& best = options_.experts[best_of(score.expert_log_probs[t])];
      if (table)
        out_ << padded(compat::printable(best, kNameWidth), kNameWidth) << "  "
             << shown_weights(score.weights[t]) << "  ";
      else
        out_ << "\t" << as_field(best) << weight_fields(score.weights[t]);
    }
    out_ << (table ? compat::printable(piece) : std::string()) << "\n";
  }
}

void ScoreOutput::print_table(const ScoredItem& item, std::size_t rank) {
  std::string line = right_aligned(std::to_string(printed_), kNumberWidth);
  if (options_.nbest)
    line += right_aligned(compat::printable(item.item.id, 7), 8) +
            right_aligned(rank > 0 ? std::to_string(rank) : "-", 6);
  if (item.score) {
    const TextScore& score = *item.score;
    line += right_aligned(decimal(score.total(), 3), 11) +
            right_aligned(std::to_string(score.log_probs.size()), 8) +
            right_aligned(decimal(score.perplexity(), 2), 11) +
            right_aligned(decimal(score.bits_per_byte(std::ssize(item.item.text)), 4), 11) + "  ";
    if (ensemble()) {
      const std::vector<double> evidence = evidence_of(score);
      const std::size_t best = best_of(evidence);
      line += padded(compat::printable(options_.experts[best], kNameWidth), kNameWidth) + " " +
              decimal(evidence[best], 2) + "  ";
    }
  } else {
    line += "  " + item.item.error + ": ";
  }
  const std::size_t width = compat::terminal_width();
  out_ << line << cut(item.item.text, width > line.size() + 4 ? width - line.size() - 4 : 0)
       << "\n";
}

}  // namespace btm
