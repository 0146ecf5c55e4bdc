#include "btm/evaluator/score_accumulator.h"

#include <cmath>
#include <string>

#include "btm/evaluator/eval_data.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace btm {

using compat::concat;
using compat::decimal;
using compat::grouped;

void ScoreAccumulator::add(const Batch& batch, std::span<const float> scores,
                           EvalLmReport& report) {
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    row_tokens_.clear();
    row_scores_.clear();
    std::int64_t end = batch.first_scored_of(row);  // after the last target
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
  observer_.log(concat(
      id, ' ', compat::join(words_.words(tokens, scores), "\t", [](const auto& word_and_score) {
        const auto& [word, score] = word_and_score;
        return concat(compat::without_controls(word), " [", decimal(score, 6), ']');
      })));
}

void log_results(const EvalLmReport& report, const EvalDataOptions& data,
                 const EvalLmObserver& observer) {
  if (report.tokens == 0)
    throw compat::IoError(data.folder, "split '" + compat::printable(data.gen_subset) +
                                           "' has no target that is not padding");
  const double speed =
      report.seconds > 0 ? static_cast<double>(report.evaluated_tokens) / report.seconds : 0.0;
  observer.log(concat("Evaluated ", grouped(report.evaluated_tokens), " tokens in ",
                      decimal(report.seconds, 1), "s (", decimal(speed, 2), " tokens/s)"));
  for (const WordStat& stat : report.word_stats)
    observer.log(concat(compat::without_controls(stat.word), '\t', stat.count, '\t',
                        decimal(stat.log_prob, 6), '\t', stat.is_bpe ? "True" : "False", '\t',
                        decimal(stat.next_word_prob, 6), '\t',
                        stat.count - stat.missing_next_words));
  if (report.impossible_tokens > 0)
    observer.warn(grouped(report.impossible_tokens) + " of " + grouped(report.tokens) +
                  " tokens have probability 0: the loss is infinite (fairseq leaves them out)");
  observer.log(concat("Loss (base 2): ", decimal(report.loss_base2, 4),
                      ", Perplexity: ", decimal(report.perplexity, 2)));
}

}  // namespace btm
