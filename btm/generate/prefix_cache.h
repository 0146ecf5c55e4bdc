// Rows that have read a prompt, kept for later prompts with the same beginning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <span>

#include "btm/generate/continuation.h"
#include "btm/mixing/predictor.h"

namespace btm {

class PrefixCache {
 public:
  /// Keeps at most `most` rows of the predictor.
  PrefixCache(Predictor& predictor, std::size_t most) : predictor_(predictor), most_(most) {}
  ~PrefixCache() { clear(); }
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  /// What `text` can take over of the rows that are kept: the longest beginning that was read by
  /// the same experts and with the same scores. Nothing where there is none. The row stays the
  /// cache's.
  std::optional<ReadPrefix> find(const Continuation& text);
  /// Tokens that find() would give.
  std::size_t longest(const Continuation& text) const { return best(text).length; }
  /// Keeps the beginning of a row that has read `text`'s prompt. Where there is no room for it,
  /// nothing happens.
  void keep(Predictor::Row row, const Hypothesis& read, const GenerateOptions& options);
  /// Gives up the row that was not used for longest. False where there is none.
  bool drop_oldest();
  void clear();
  std::size_t size() const noexcept { return kept_.size(); }

 private:
  struct Kept {
    Predictor::Row row = 0;
    Hypothesis read;
    GenerateOptions options;
  };

  struct Best {
    std::list<Kept>::const_iterator kept;
    std::size_t length = 0;  ///< 0: none.
  };
  Best best(const Continuation& text) const;

  Predictor& predictor_;
  std::size_t most_;
  std::list<Kept> kept_;  ///< The last used first.
};

/// Tokens at the beginning that two prompts have in common.
std::size_t common_prefix(std::span<const std::int64_t> a, std::span<const std::int64_t> b);

/// Whether what was read for the one is, to the last bit, what the other would read.
bool reads_alike(const GenerateOptions& read, const GenerateOptions& wanted);

}  // namespace btm
