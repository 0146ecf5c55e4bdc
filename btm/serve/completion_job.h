// The work of one request: prompts that are continued, and what becomes of them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "btm/generate/continuation.h"
#include "btm/generate/stop_strings.h"

namespace btm {

/// A text as far as it has grown, or a part of it.
struct WrittenPart {
  std::size_t prompt = 0, sample = 0;
  Hypothesis tokens;     ///< With what is known of each: those that are new since the last part.
  std::size_t read = 0;  ///< How many of them belong to the prompt.
  /// The prompt's text, in one part of each text: the first, or the last where what is written may
  /// change it (--tokenizer moses).
  std::string before;
  std::string text;  ///< That was written: the prompt's text and stop strings are left out.
  const char* finish = nullptr;  ///< "stop" or "length" at its end.
  bool whole = false;            ///< Nothing came before it.
  double score = 0;              ///< At its end: the mean log-probability of a written token.
};

/// What becomes of a job in the end.
struct JobEnd {
  std::vector<WrittenPart> texts;  ///< All of them, each whole, unless they came as parts.
  std::int64_t written = 0;        ///< Tokens, of all texts.
  int status = 200;
  std::string error;          ///< Why there is nothing else.
  double first = 0;           ///< Seconds until the first new token.
  double whole = 0;           ///< Seconds in all.
  std::vector<double> share;  ///< [E] the sum of the experts' weights over the written tokens.
};

struct CompletionJob {
  using Clock = std::chrono::steady_clock;

  std::vector<std::vector<std::int64_t>> prompts;  ///< Without the symbol that begins a text.
  /// Of each prompt. `beam` is the number of its samples, or 1 for the most probable text.
  std::vector<GenerateOptions> options;
  std::int64_t max_tokens = 0;
  StopStrings stops;
  bool in_parts = false;  ///< `on_part` gets each text as it grows.
  std::function<void(WrittenPart part)> on_part;
  std::function<void(JobEnd end)> on_end;  ///< Once, unless the job is cancelled.
  Clock::time_point start = Clock::now(), deadline = Clock::time_point::max();
  std::atomic<bool> cancelled = false;

  /// Tokens that its texts may have: a measure of the memory that it takes. Eight bytes of stop
  /// strings count as one.
  std::int64_t tokens() const {
    auto all = static_cast<std::int64_t>(stops.bytes() / 8);
    for (std::size_t i = 0; i < prompts.size(); ++i)
      all += static_cast<std::int64_t>(prompts[i].size()) + options[i].beam * (max_tokens + 16);
    return all;
  }
};

}  // namespace btm
