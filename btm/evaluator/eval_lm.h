// fairseq-eval-lm: the loss of one model, or of several averaged, over a data set.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "btm/evaluator/eval_options.h"
#include "btm/model/routing.h"

namespace btm {

struct EvalLmOptions {
  std::string path;                    ///< models joined by ':' (compat::resolve_models)
  std::string model_overrides = "{}";  ///< Python literal
  bool ema = false;                    ///< The averaged weights (load_ema_scorer), not the others.
  bool fairseq_gating = false;         ///< Mixtures drop and draw as in fairseq (FairseqGating).
  EvalDataOptions data;
  MachineOptions machine;
  WordOptions words;
};

/// The statistics of a word, for --output-word-stats.
struct WordStat {
  std::string word;
  bool is_bpe = false;  ///< joined from pieces
  std::int64_t count = 0;
  std::int64_t missing_next_words = 0;      ///< how often no word followed in the sample
  double log_prob = 0, next_word_prob = 0;  ///< natural logs, summed
};

/// What FairseqGating did to a model's choices of experts.
struct GatingReport {
  std::string path;
  double capacity_fraction = 0;
  std::string second_expert;
  ChoiceCount first, second;
};

struct EvalLmReport {
  /// NaN before the first token; infinite when a token has probability 0.
  double loss_base2 = std::numeric_limits<double>::quiet_NaN(), perplexity = loss_base2;
  double loss_sum = 0;                 ///< natural log, summed over `tokens`
  std::int64_t impossible_tokens = 0;  ///< of probability 0
  std::int64_t tokens = 0;             ///< words, where pieces are joined
  std::int64_t evaluated_tokens =
      0;  ///< what fairseq counts as evaluated: every token of every sample
  std::int64_t samples = 0, batches = 0;
  std::int64_t skipped_samples = 0, skipped_tokens = 0;  ///< longer than the model's positions
  std::int64_t num_parameters = 0;                       ///< of the first model
  double seconds = 0;                                    ///< spent on evaluation alone
  std::string precision;                                 ///< of precision_name()
  std::vector<WordStat> word_stats;                      ///< by falling count
  std::vector<GatingReport> gating;                      ///< of each model, with fairseq_gating
};

/// Called on the evaluating thread.
struct EvalLmObserver {
  std::function<void(const std::string& line)> log = [](const std::string&) {
  };  ///< what fairseq logs at INFO
  std::function<void(const std::string& line)> warn = [](const std::string&) {};
  std::function<void(std::int64_t batches, std::int64_t of, const EvalLmReport& so_far)> progress =
      [](std::int64_t, std::int64_t, const EvalLmReport&) {};
};

/// Opens and checks the data and the models, then evaluates. Errors of compat's readers. IoError
/// where there is no token to evaluate, DivergedModel for scores that are NaN or infinite.
EvalLmReport eval_lm(const EvalLmOptions& options, const EvalLmObserver& observer = {});

}  // namespace btm
