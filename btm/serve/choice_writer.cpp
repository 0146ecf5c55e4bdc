#include "btm/serve/choice_writer.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <ranges>
#include <utility>

#include "compat/base/code_points.h"

namespace btm {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kImpossible = -9999;  // JSON has no infinity

double finite(double log_prob) { return std::isfinite(log_prob) ? log_prob : kImpossible; }

double rounded(double weight) { return std::round(weight * 1e6) / 1e6; }

}  // namespace

/// What is said of tokens, one entry each.
struct ChoiceWriter::Columns {
  Json tokens = Json::array(), log_probs = Json::array(), top = Json::array();
  Json offsets = Json::array(), weights = Json::array();

  void drop_last() {
    for (Json* const column : {&tokens, &log_probs, &top, &offsets, &weights})
      column->erase(column->size() - 1);
  }
  /// Leaves out the tokens from `offset` on.
  void cut(std::int64_t offset) {
    while (!offsets.empty() && offsets.back().get<std::int64_t>() >= offset) drop_last();
  }
};

ChoiceWriter::ChoiceWriter(const compat::TextCodec& codec, const ChoiceStyle& style,
                           const std::vector<std::int64_t>& prompt, bool begun)
    : codec_(&codec),
      style_(style),
      begun_(begun),
      pieces_(compat::TextStream::stepwise(codec,
                                           style_.echo ? std::span<const std::int64_t>() : prompt)),
      offset_(compat::code_points(pieces_.before())) {}

const std::string& ChoiceWriter::symbol(std::int64_t token) const {
  return codec_->dictionary().symbol(token);
}

/// The symbol that begins a text has no score.
void ChoiceWriter::add_begin(Columns& columns) {
  columns.tokens.push_back(symbol(codec_->dictionary().eos()));
  columns.log_probs.push_back(nullptr);
  columns.top.push_back(nullptr);
  columns.offsets.push_back(0);
  columns.weights.push_back(nullptr);
  first_token_ = false;
}

/// The chosen token is always among them.
Json ChoiceWriter::top_json(const WrittenPart& part, std::size_t i) const {
  Json json = Json::object();
  if (i < part.tokens.top.size())
    for (const TopToken& top : part.tokens.top[i])
      if (static_cast<std::int64_t>(json.size()) < *style_.logprobs)
        json[symbol(top.token)] = finite(top.log_prob);
  const std::string& chosen = symbol(part.tokens.tokens[i]);
  if (!json.contains(chosen)) json[chosen] = finite(part.tokens.positional_scores[i]);
  return json;
}

void ChoiceWriter::add_token(Columns& columns, const WrittenPart& part, std::size_t i, bool last) {
  const std::int64_t token = part.tokens.tokens[i];
  std::string piece = pieces_.push(token);
  if (last) piece += pieces_.finish();
  // The protocol has no score for a prompt's first token.
  const bool scored = !(first_token_ && i < part.read);
  first_token_ = false;
  columns.tokens.push_back(symbol(token));
  columns.offsets.push_back(offset_);
  columns.log_probs.push_back(scored ? Json(finite(part.tokens.positional_scores[i])) : Json());
  columns.top.push_back(scored && style_.logprobs ? top_json(part, i) : Json());
  Json weights;
  if (i < part.tokens.posterior.size())
    for (const double weight : part.tokens.posterior[i]) weights.push_back(rounded(weight));
  columns.weights.push_back(std::move(weights));
  offset_ += compat::code_points(piece);
}

/// Leaves out the tokens of a stop string, as it is left out of a whole text.
void ChoiceWriter::cut_stop(Columns& columns, const WrittenPart& part) const {
  const std::int64_t end = compat::code_points(part.before) + compat::code_points(part.text);
  if (codec_->is_stepwise()) return columns.cut(end);
  // Offsets are not those of the text: a token belongs to it where those before it are shorter.
  const std::span<const std::int64_t> all(part.tokens.tokens);
  const auto counts = std::views::iota(std::size_t{0}, all.size());
  const auto kept = std::ranges::partition_point(counts, [&](std::size_t before) {
    return compat::code_points(codec_->decode(all.first(before))) < end;
  });
  for (auto i = kept; i != counts.end() && !columns.offsets.empty(); ++i) columns.drop_last();
}

Json ChoiceWriter::write(const WrittenPart& part, std::size_t index) {
  Columns columns;
  if (std::exchange(first_part_, false) && style_.echo && begun_) add_begin(columns);
  std::string text = style_.echo ? part.before + part.text : part.text;
  const std::size_t count = part.tokens.tokens.size();
  if (style_.logprobs || style_.posterior)
    for (std::size_t i = style_.echo ? 0 : std::min(part.read, count); i < count; ++i)
      add_token(columns, part, i, part.finish != nullptr && i + 1 == count);
  const bool ended = count > 0 && part.tokens.tokens.back() == codec_->dictionary().eos();
  if (part.whole && part.finish == std::string_view("stop") && !ended) cut_stop(columns, part);
  Json choice{{"index", index}, {"text", std::move(text)}, {"logprobs", nullptr}};
  if (style_.logprobs)
    choice["logprobs"] = {{"tokens", columns.tokens},
                          {"token_logprobs", columns.log_probs},
                          {"top_logprobs", columns.top},
                          {"text_offset", columns.offsets}};
  choice["finish_reason"] = part.finish == nullptr ? Json() : Json(part.finish);
  if (style_.posterior)
    choice["posterior"] = {{"experts", *style_.experts}, {"weights", columns.weights}};
  return choice;
}

}  // namespace btm
