#include "btm/evaluator/score_accumulator.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>

#include "btm/evaluator/eval_data.h"
#include "btm/model/transformer_lm.h"
#include "compat/error.h"

namespace btm {
namespace {

template <class... Args>
std::string formatted(const char* format, Args... args) {
  std::array<char, 512> text{};
  std::snprintf(text.data(), text.size(), format, args...);
  return text.data();
}

}  // namespace

void ScoreAccumulator::add(const Batch& batch, std::span<const float> scores, EvalLmReport& report) {
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    row_tokens_.clear();
    row_scores_.clear();
    std::int64_t padding = 0;
    for (std::int64_t column = batch.first_scored[static_cast<std::size_t>(row)]; column < batch.columns; ++column) {
      const auto at = static_cast<std::size_t>(row * batch.columns + column);
      const std::int64_t target = batch.targets[at];
      if (target == TransformerLM::kPaddingIdx) {
        ++padding;
        continue;
      }
      padding_amid_rows_ += std::exchange(padding, 0);
      row_tokens_.push_back(target);
      row_scores_.push_back(scores[at]);
    }
    add_row(batch.ids[static_cast<std::size_t>(row)], row_tokens_, row_scores_, report);
  }
  report.evaluated_tokens += batch.num_tokens;
  report.samples += batch.rows;
  ++report.batches;
  report.loss_base2 = report.tokens > 0 ? report.loss_sum / static_cast<double>(report.tokens) / std::log(2.0) : 0;
  report.perplexity = std::exp2(report.loss_base2);
}

void ScoreAccumulator::add_row(std::int64_t id, std::span<const std::int64_t> tokens, std::vector<double>& scores,
                               EvalLmReport& report) {
  const std::int64_t joined = words_.join_pieces(tokens, scores);
  std::int64_t infinite = 0;
  for (const double score : scores) {
    if (std::isinf(score))
      ++infinite;
    else
      report.loss_sum -= score;
  }
  if (infinite > 0) observer_.warn("sample " + std::to_string(id) + ": " + std::to_string(infinite) + " tokens of probability 0 are left out");
  report.tokens += static_cast<std::int64_t>(scores.size()) - infinite - joined;
  if (options_.output_word_stats) words_.gather(tokens, scores);
  if (!options_.output_word_probs) return;
  std::string line = std::to_string(id);
  line += " ";
  bool first = true;
  for (const auto& [word, score] : words_.words(tokens, scores)) {
    line += (first ? "" : "\t") + compat::without_controls(word) + formatted(" [%f]", score);
    first = false;
  }
  observer_.log(line);
}

void log_results(const EvalLmReport& report, const EvalLmObserver& observer) {
  observer.log("Evaluated " + grouped(report.evaluated_tokens) +
               formatted(" tokens in %.1fs (%.2f tokens/s)", report.seconds,
                         report.seconds > 0 ? static_cast<double>(report.evaluated_tokens) / report.seconds : 0.0));
  for (const WordStat& stat : report.word_stats)
    observer.log(compat::without_controls(stat.word) + "\t" + std::to_string(stat.count) + "\t" +
                 formatted("%.6f\t%s\t%.6f\t", stat.log_prob, stat.is_bpe ? "True" : "False", stat.next_word_prob) +
                 std::to_string(stat.count - stat.missing_next_words));
  observer.log(formatted("Loss (base 2): %.4f, Perplexity: %.2f", report.loss_base2, report.perplexity));
}

}  // namespace btm
