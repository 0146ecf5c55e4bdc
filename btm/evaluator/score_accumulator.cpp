#include "btm/evaluator/score_accumulator.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <string>

#include "btm/data/scored_columns.h"
#include "btm/evaluator/eval_data.h"
#include "btm/model/transformer_lm.h"
#include "compat/base/error.h"

namespace btm {
namespace {

template <class... Args>
std::string formatted(const char* format, Args... args) {
  std::array<char, 512> text{};
  std::snprintf(text.data(), text.size(), format, args...);
  return text.data();
}

}  // namespace

void ScoreAccumulator::add(const Batch& batch, std::span<const float> scores,
                           EvalLmReport& report) {
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    row_tokens_.clear();
    row_scores_.clear();
    const std::vector<std::int64_t> columns =
        scored_columns(batch, row, TransformerLM::kPaddingIdx);
    if (!columns.empty())
      padding_amid_rows_ += columns.back() + 1 - batch.first_scored[static_cast<std::size_t>(row)] -
                            static_cast<std::int64_t>(columns.size());
    for (const std::int64_t column : columns) {
      const auto at = static_cast<std::size_t>(row * batch.columns + column);
      row_tokens_.push_back(batch.targets[at]);
      row_scores_.push_back(scores[at]);
    }
    add_row(batch.ids[static_cast<std::size_t>(row)], row_tokens_, row_scores_, report);
  }
  report.evaluated_tokens += batch.num_tokens;
  report.samples += batch.rows;
  ++report.batches;
  report.loss_base2 =
      report.loss_sum / static_cast<double>(report.tokens) / std::log(2.0);  // NaN for 0 / 0
  report.perplexity = std::exp2(report.loss_base2);
}

void ScoreAccumulator::add_row(std::int64_t id, std::span<const std::int64_t> tokens,
                               std::vector<double>& scores, EvalLmReport& report) {
  const std::int64_t joined = words_.join_pieces(tokens, scores);
  for (const double score : scores) {
    report.loss_sum -= score;
    if (std::isinf(score)) ++report.impossible_tokens;
  }
  report.tokens += static_cast<std::int64_t>(scores.size()) - joined;
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

void log_results(const EvalLmReport& report, const EvalLmOptions& options,
                 const EvalLmObserver& observer) {
  if (report.tokens == 0)
    throw compat::IoError(options.data, "split '" + compat::printable(options.gen_subset) +
                                            "' has no target that is not padding");
  observer.log("Evaluated " + grouped(report.evaluated_tokens) +
               formatted(" tokens in %.1fs (%.2f tokens/s)", report.seconds,
                         report.seconds > 0
                             ? static_cast<double>(report.evaluated_tokens) / report.seconds
                             : 0.0));
  for (const WordStat& stat : report.word_stats)
    observer.log(compat::without_controls(stat.word) + "\t" + std::to_string(stat.count) + "\t" +
                 formatted("%.6f\t%s\t%.6f\t", stat.log_prob, stat.is_bpe ? "True" : "False",
                           stat.next_word_prob) +
                 std::to_string(stat.count - stat.missing_next_words));
  if (report.impossible_tokens > 0)
    observer.warn(grouped(report.impossible_tokens) + " of " + grouped(report.tokens) +
                  " tokens have probability 0: the loss is infinite (fairseq leaves them out)");
  observer.log(
      formatted("Loss (base 2): %.4f, Perplexity: %.2f", report.loss_base2, report.perplexity));
}

}  // namespace btm
