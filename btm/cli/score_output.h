// What btm score prints for each text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "btm/cli/score_input.h"
#include "btm/cli/text_format.h"
#include "btm/evaluator/text_scorer.h"

namespace btm {

struct ScoreOutputOptions {
  TextFormat format = TextFormat::kTsv;
  bool tokens = false;               ///< Every token with its score.
  bool nbest = false;                ///< Texts have ids, and a rank among those of the same id.
  bool context = false;              ///< Texts have contexts.
  std::vector<std::string> experts;  ///< [E]
};

/// A text and what became of it.
struct ScoredItem {
  ScoreItem item;
  std::vector<std::int64_t> tokens;  ///< With the closing </s>.
  std::vector<std::string> pieces;   ///< The text of each of them; with ScoreOutputOptions::tokens.
  std::optional<TextScore> score;    ///< Nothing where item.error says why.
};

/// Sums over all texts.
struct ScoreTotals {
  std::int64_t texts = 0, failed = 0, tokens = 0, bytes = 0;
  double log_prob = 0;
};

class ScoreOutput {
 public:
  ScoreOutput(std::ostream& out, ScoreOutputOptions options);

  /// Prints a text's result; with n-best lists, once its list is complete.
  void add(ScoredItem item);
  /// Prints what is held back, and what ends a document.
  void end();
  const ScoreTotals& totals() const noexcept { return totals_; }

 private:
  bool ensemble() const { return options_.experts.size() > 1; }
  void print_list();
  void print(const ScoredItem& item, std::size_t rank);
  void print_json(const ScoredItem& item, std::size_t rank);
  void print_tsv(const ScoredItem& item, std::size_t rank);
  void print_token_rows(const ScoredItem& item);
  void print_table(const ScoredItem& item, std::size_t rank);
  void print_header();
  bool weights_fit() const;
  std::string token_head() const;
  std::string shown_weights(const std::vector<double>& weights) const;

  std::ostream& out_;
  ScoreOutputOptions options_;
  std::vector<ScoredItem> list_;  ///< The n-best list so far.
  ScoreTotals totals_;
  std::size_t printed_ = 0;
};

}  // namespace btm
