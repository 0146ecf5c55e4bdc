// Continues many prompts at once. They join when there is room, and leave when they have ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "btm/generate/continuation.h"
#include "btm/generate/prefix_cache.h"
#include "btm/mixing/predictor.h"

namespace btm {

/// What became of a prompt.
struct Generated {
  std::size_t prompt = 0;  ///< The number that submit() gave.
  std::vector<Hypothesis> hypotheses;
  std::string error;             ///< Why there are none.
  bool is_models_fault = false;  ///< The error: a model gave NaN.
};

/// What was computed so far.
struct GenerateCounts {
  std::int64_t steps = 0;
  std::int64_t prompt_tokens = 0;  ///< That were read.
  std::int64_t reused_tokens = 0;  ///< Of prompts, that an earlier prompt had read.
  std::int64_t new_tokens = 0;
  /// How often an expert's weights were read: once for a step in which it computes. Exact where one
  /// expert is drawn per token; otherwise all experts of every step.
  std::int64_t expert_reads = 0;
};

struct GenerateLimits {
  std::int64_t batch = 16;  ///< Hypotheses that grow at once, unless those of one prompt are more.
  std::size_t prompt_tokens = SIZE_MAX;  ///< Tokens of prompts in a step, so that no prompt holds
                                         ///< up the texts that grow.
  std::size_t prefixes = 0;  ///< Prompts that are kept for others with the same beginning.
};

class Generator {
 public:
  Generator(Predictor& predictor, const Symbols& symbols, const GenerateLimits& limits);

  /// Queues a prompt. std::invalid_argument for tokens that are padding or outside the dictionary,
  /// and for options as Continuation has it.
  std::size_t submit(std::vector<std::int64_t> prompt, const GenerateOptions& options,
                     OnToken on_token = {});
  /// Advances all prompts that have joined. Returns those that ended; a prompt for which a model
  /// gives NaN ends alone. What a model throws ends all that have joined; the next call returns
  /// those that had ended before.
  std::vector<Generated> step();
  /// Gives up a prompt, if it waits or grows.
  void cancel(std::size_t prompt);
  /// Gives up all prompts that have joined, for example after an exception of step(), and all that
  /// was kept of others. Returns their numbers.
  std::vector<std::size_t> drop_joined();
  /// Whether prompts wait or grow, or have ended and were not returned.
  bool busy() const noexcept { return !waiting_.empty() || !joined_.empty() || !ended_.empty(); }
  /// Hypotheses that wait or grow.
  std::int64_t load() const;
  std::size_t waiting() const noexcept { return waiting_.size(); }
  std::size_t joined() const noexcept { return joined_.size(); }
  const GenerateCounts& counts() const noexcept { return counts_; }

 private:
  struct Item {
    std::size_t number = 0;
    std::int64_t beam = 1;
    std::unique_ptr<Continuation> text;
    bool failed = false;
  };

  std::int64_t promised(const Item& item) const;
  bool join(Item& item, std::int64_t promised);
  bool waits_for_prefix(const Item& item) const;
  void admit();
  void advance();
  void answer(std::span<Readout> readouts, std::span<const std::size_t> asked);
  void count(const Predictor::Step& step);

  Predictor& predictor_;
  Symbols symbols_;
  GenerateLimits limits_;
  std::size_t submitted_ = 0;
  PrefixCache prefixes_;
  std::deque<Item> waiting_;
  std::vector<Item> joined_;
  std::vector<Generated> ended_;  ///< Not returned yet.
  GenerateCounts counts_;
};

}  // namespace btm
