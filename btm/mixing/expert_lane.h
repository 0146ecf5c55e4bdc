// One expert of a predictor: its model, the keys and values of its rows, and what it says about
// places of their texts. C the model's output width, V symbols of the dictionary.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "btm/model/transformer_lm.h"

namespace btm {

class ExpertLane {
 public:
  /// A row of text as this expert has seen it. It may have been fed fewer tokens than the text has:
  /// it catches up when one of the later places is needed.
  struct Row {
    KeyValuePool::Row pool = 0;
    /// Keys and values are there for the tokens [start, fed) of the text, with positions from 0.
    std::int64_t start = 0, fed = 0;
    std::int64_t last = -1;         ///< The place, if any, whose features are kept.
    std::vector<float> features;    ///< [C]
    std::optional<double> log_sum;  ///< log sum exp of the logits at `last`, once it is known.
  };

  /// A place of a text at which the expert is needed, and what is found there. Scores are natural
  /// logs of probabilities.
  struct Need {
    Row* row = nullptr;
    const std::vector<std::int64_t>* text = nullptr;
    std::int64_t place = 0;
    std::optional<std::int64_t> next;    ///< The token after it, if its score is needed.
    std::optional<std::int64_t> target;  ///< Another token whose score is needed.
    bool logits = false;                 ///< All logits are: run() leaves everything to logits().
    float next_score = 0, target_score = 0;
    std::string fault = {};  ///< Why there is a score of NaN or +inf. Empty: there is none.
    std::int64_t at = -1;    ///< Its row of the features, from run() on.
  };

  /// What logits() finds at one place.
  struct Logits {
    const float* values = nullptr;  ///< [V], divided by the temperature.
    double log_sum = 0;             ///< log sum exp of them.
  };

  /// `name` is for messages. Rows have room for `tokens` in all.
  ExpertLane(std::string name, std::shared_ptr<const TransformerLM> model, std::int64_t tokens);

  const TransformerLM& model() const noexcept { return *model_; }
  std::int64_t free_tokens() const noexcept { return pool_.free_tokens(); }

  /// `window`: the tokens that the models of a predictor can see at once. `kept`: those of a full
  /// window that the next one begins with.
  void set_window(std::int64_t window, std::int64_t kept) noexcept {
    window_ = window, kept_ = kept;
  }
  std::optional<Row> open(std::int64_t tokens);
  Row fork(const Row& row);
  /// A row of the first `length` tokens of a text.
  Row fork_prefix(const Row& row, std::int64_t length);
  void close(const Row& row) { pool_.close(row.pool); }
  /// Makes sure that the row has room for a text of `length`. False where there is too little.
  bool reserve(const Row& row, std::int64_t length);

  /// Computes the features at `needs`, which are sorted by row and then by place. Fills in the
  /// scores of those that do not need all logits.
  void run(std::span<Need> needs);
  /// The memory of logits.
  using LogitRows = at::Tensor;
  /// All logits [N, V] at `needs` of the last run(), whose scores it fills in. `temperatures` [N].
  LogitRows logits(std::span<Need* const> needs, std::span<const double> temperatures,
                   std::vector<Logits>& found);
  /// Forgets the features of the last run().
  void release() { features_.reset(); }

 private:
  struct Pending;
  /// The first token of the window in which a place is computed.
  std::int64_t window_start(std::int64_t place) const;
  bool from_kept(Need& need) const;
  void place_at(Row& row, std::int64_t place, std::int64_t length);
  void run_rounds(std::span<Need> needs);
  void run_round(std::span<Need> needs, std::vector<Pending>& pending);
  void keep(Need& need);
  void score(std::span<Need> needs);
  float checked(double score, Need& need) const;

  std::string name_;
  std::shared_ptr<const TransformerLM> model_;
  Head head_;
  KeyValuePool pool_;
  std::int64_t window_, kept_;
  at::Tensor features_;  ///< [N, C]
};

}  // namespace btm
