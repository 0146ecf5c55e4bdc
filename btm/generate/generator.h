// Continues many prompts at once. They join when there is room, and leave when they have ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "btm/generate/continuation.h"
#include "btm/mixing/predictor.h"

namespace btm {

/// What became of a prompt.
struct Generated {
  std::size_t prompt = 0;  ///< The number that submit() gave.
  std::vector<Hypothesis> hypotheses;
  std::string error;  ///< Why there are none.
};

/// What was computed so far.
struct GenerateCounts {
  std::int64_t steps = 0;
  std::int64_t new_tokens = 0;
  /// How often an expert's weights were read: once for a step in which it computes. Exact where one
  /// expert is drawn per token; otherwise all experts of every step.
  std::int64_t expert_reads = 0;
};

class Generator {
 public:
  /// At most `batch` hypotheses grow at once, or those of one prompt.
  Generator(Predictor& predictor, const Symbols& symbols, std::int64_t batch);

  /// Queues a prompt. std::invalid_argument for tokens that are padding, end of sentence or outside
  /// the dictionary, and for options as Continuation has it.
  std::size_t submit(std::vector<std::int64_t> prompt, const GenerateOptions& options,
                     OnToken on_token = {});
  /// Advances all prompts that have joined. Returns those that ended. What a model throws ends all.
  std::vector<Generated> step();
  /// Whether prompts wait or grow.
  bool busy() const noexcept { return !waiting_.empty() || !joined_.empty(); }
  /// Hypotheses that wait or grow.
  std::int64_t load() const;
  const GenerateCounts& counts() const noexcept { return counts_; }

 private:
  struct Item {
    std::size_t number = 0;
    std::int64_t beam = 1;
    std::unique_ptr<Continuation> text;
  };

  void admit(std::vector<Generated>& ended);
  void count(const Predictor::Step& step);

  Predictor& predictor_;
  Symbols symbols_;
  std::int64_t batch_ = 1;
  std::size_t submitted_ = 0;
  std::deque<Item> waiting_;
  std::vector<Item> joined_;
  GenerateCounts counts_;
};

}  // namespace btm
