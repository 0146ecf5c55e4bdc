#include "btm/evaluator/score_accumulator.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <string>

#include "btm/evaluator/eval_data.h"
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
    std::int64_t end = batch.first_scored_of(row);  // behind the last target
    batch.for_each_scored_of(row, [&](std::int64_t column, std::size_t at) {
      row_tokens_.push_back(batch.targets[at]);
      row_scores_.push_back(scores[at]);
      end = column + 1;
    });
    padding_amid_rows_ +=
        end - batch.first_scored_of(row) - static_cast<std::int64_t>(row_tokens_.size());
    add_row(batch.id_of(row), row_tokens_, row_scores_, report);
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

void log_results(const EvalLmReport& report, const EvalDataOptions& data,
                 const EvalLmObserver& observer) {
  if (report.tokens == 0)
    throw compat::IoError(data.folder, "split '" + compat::printable(data.gen_subset) +
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
