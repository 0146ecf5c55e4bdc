// Words from pieces, for --post-process, --output-word-probs and --output-word-stats.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "btm/evaluator/eval_lm.h"
#include "compat/fairseq/dictionary.h"

namespace btm {

class WordScores {
 public:
  /// `post_process` is "" to leave pieces as they are, "@@ " to join pieces that end in "@@", or
  /// subword_nmt, which joins nothing in practice, as in fairseq. UsageError for other text.
  WordScores(const compat::Dictionary& dictionary, const std::string& post_process);

  /// Adds the score of every piece that continues to the next piece. Returns the number of pieces
  /// that are no longer counted.
  std::int64_t join_pieces(std::span<const std::int64_t> tokens, std::vector<double>& scores) const;

  /// The words of a sample with their scores (after join_pieces).
  std::vector<std::pair<std::string, double>> words(std::span<const std::int64_t> tokens,
                                                    std::span<const double> scores) const;

  /// Adds a sample (after join_pieces) to the statistics.
  void gather(std::span<const std::int64_t> tokens, std::span<const double> scores);
  /// In the order of falling counts. Words of equal count keep the order in which they came.
  std::vector<WordStat> sorted_stats() const;

 private:
  template <class Visit>
  void for_each_word(std::span<const std::int64_t> tokens, Visit&& visit) const;

  const compat::Dictionary& dictionary_;
  std::string continuation_;
  std::vector<bool> continues_;  ///< by token id
  std::vector<WordStat> stats_;
  std::unordered_map<std::string, std::size_t> places_;
};

}  // namespace btm
