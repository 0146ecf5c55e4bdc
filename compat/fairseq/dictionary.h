// fairseq's dict.txt. Grammar and special cases: compat/fairseq/dictionary.md
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace compat {

class Dictionary {
 public:
  /// A dictionary of only the special symbols <s> <pad> </s> <unk> (ids 0 to 3).
  Dictionary();

  /// Reads dict.txt as fairseq's Dictionary.load does. FormatError with file and line where fairseq
  /// reports an error, and for a file that is not UTF-8.
  static Dictionary load(const std::filesystem::path& path);

  /// The same for text in memory. `file` is for messages.
  static Dictionary parse(std::string_view text, const std::string& file);

  std::int64_t size() const noexcept { return static_cast<std::int64_t>(symbols_.size()); }
  std::int64_t bos() const noexcept { return 0; }
  std::int64_t pad() const noexcept { return 1; }
  std::int64_t eos() const noexcept { return 2; }
  std::int64_t unk() const noexcept { return 3; }
  std::int64_t index(std::string_view symbol) const noexcept;  ///< unk() when absent.
  bool contains(std::string_view symbol) const noexcept;
  const std::string& symbol(std::int64_t id)
      const;  ///< The symbol of unk for an id outside the dictionary, as in fairseq.
  std::int64_t count(std::int64_t id) const;

  /// fairseq's add_symbol. Adds `count` to a symbol that exists (unless `overwrite`). Returns the
  /// symbol's id.
  std::int64_t add_symbol(std::string_view symbol, std::int64_t count = 1, bool overwrite = false);

  /// fairseq's Dictionary.finalize. Sorts by falling count, and equal counts by symbol. Drops
  /// counts below `threshold`. Keeps at most `nwords` symbols, the special ones included (-1: all).
  /// Pads with madeupwordNNNN to a multiple of `padding_factor`.
  void finalize(std::int64_t threshold = -1, std::int64_t nwords = -1,
                std::int64_t padding_factor = 8);

  /// Adds madeupword0000, madeupword0001, ... until the size is a multiple of `padding_factor`.
  void pad_to_multiple(std::int64_t padding_factor);

  /// Writes dict.txt, byte for byte as fairseq's save does for the same symbols. Atomic.
  void save(const std::filesystem::path& path) const;

  /// The ids of encode_line(add_if_not_exist=False, append_eos=True) for text that is split at
  /// white space.
  std::vector<std::int64_t> encode_line(std::string_view line, bool append_eos = true) const;

  bool operator==(const Dictionary& other) const noexcept { return symbols_ == other.symbols_; }

 private:
  std::vector<std::string> symbols_;
  std::vector<std::int64_t> counts_;
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>> index_;
};

}  // namespace compat
