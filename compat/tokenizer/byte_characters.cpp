#include "compat/tokenizer/byte_characters.h"

#include <array>
#include <functional>
#include <unordered_map>
#include <utility>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/tokenizer/sentencepiece_model.h"

namespace compat {
namespace {

/// The symbols put together, with spaces in the place of U+2581.
std::string joined(std::span<const std::string_view> symbols) {
  std::string text;
  for (const std::string_view symbol : symbols) text += symbol == kSpacePiece ? " " : symbol;
  return text;
}

/// Symbols without numbers: each is given as unknown.
class Unnumbered : public Tokenizer {
 public:
  std::int32_t size() const noexcept override { return 1; }
  std::int32_t unknown_id() const noexcept override { return 0; }
  std::string symbol(std::int32_t) const override { return {}; }
  std::string symbol_of_special(const std::string& name) const override { return name; }
};

class Characters final : public Unnumbered {
 public:
  std::unique_ptr<Tokenizer> clone() const override { return std::make_unique<Characters>(); }

  void encode(std::string_view text, Tokens& out) override {
    while (!text.empty()) {
      const std::size_t length = std::max<std::size_t>(utf8_length(text), 1);
      out.ids.push_back(0);
      out.unknown.emplace_back(text.front() == ' ' ? kSpacePiece : text.substr(0, length));
      text.remove_prefix(length);
    }
  }
  std::optional<bool> writes(std::string_view symbol) const override {
    return !symbol.empty() && utf8_length(symbol) == symbol.size();
  }
  std::string decode(std::span<const std::string_view> symbols) const override {
    return joined(symbols);
  }
};

class Words final : public Unnumbered {
 public:
  std::unique_ptr<Tokenizer> clone() const override { return std::make_unique<Words>(); }
  void encode(std::string_view text, Tokens& out) override {
    for_each_word(text, [&](std::string_view word) {
      out.ids.push_back(0);
      out.unknown.emplace_back(word);
    });
  }
  std::optional<bool> writes(std::string_view) const override { return true; }
  std::string decode(std::span<const std::string_view> symbols) const override {
    return join(symbols, " ");
  }
};

bool is_printable_latin(int byte) {
  return (byte >= 0x20 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

/// The symbol of each byte.
const std::array<std::string, 256>& byte_symbols() {
  static const std::array<std::string, 256> symbols = [] {
    std::array<std::string, 256> table;
    for (int byte = 0; byte < 256; ++byte) {
      const int code = is_printable_latin(byte) ? byte : 0x100 + byte;
      std::string& symbol = table[static_cast<std::size_t>(byte)];
      if (code < 0x80)
        symbol = static_cast<char>(code);
      else
        symbol = {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
    }
    table[' '] = kSpacePiece;
    return table;
  }();
  return symbols;
}

/// The text without the bytes that are not UTF-8.
std::string only_utf8(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    const std::size_t length = utf8_length(bytes);
    text += bytes.substr(0, length);
    bytes.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return text;
}

class Bytes final : public Tokenizer {
 public:
  std::unique_ptr<Tokenizer> clone() const override { return std::make_unique<Bytes>(); }

  void encode(std::string_view text, Tokens& out) override {
    for (const char c : single_spaces(text)) out.ids.push_back(static_cast<unsigned char>(c));
  }
  std::int32_t size() const noexcept override { return 256; }
  std::int32_t unknown_id() const noexcept override { return -1; }
  std::string symbol(std::int32_t id) const override {
    return byte_symbols().at(static_cast<std::size_t>(id));
  }
  std::string symbol_of_special(const std::string& name) const override { return name; }
  std::string decode(std::span<const std::string_view> symbols) const override {
    static const std::unordered_map<std::string_view, char> kBytes = [] {
      std::unordered_map<std::string_view, char> bytes;
      for (std::size_t i = 0; i < byte_symbols().size(); ++i)
        bytes.emplace(byte_symbols()[i], static_cast<char>(i));
      return bytes;
    }();
    std::string bytes;
    for (const std::string_view symbol : symbols) {
      const auto found = kBytes.find(symbol);
      if (found != kBytes.end())
        bytes += found->second;
      else
        bytes += symbol;
    }
    return only_utf8(bytes);
  }
};

/// A tokenizer of texts that were changed before.
class Changed final : public Tokenizer {
 public:
  using Change = std::string (*)(std::string_view text);
  Changed(std::unique_ptr<Tokenizer> inner, Change change)
      : inner_(std::move(inner)), change_(change) {}

  std::unique_ptr<Tokenizer> clone() const override {
    return std::make_unique<Changed>(inner_->clone(), change_);
  }
  void encode(std::string_view text, Tokens& out) override { inner_->encode(change_(text), out); }
  std::int32_t size() const noexcept override { return inner_->size(); }
  std::int32_t unknown_id() const noexcept override { return inner_->unknown_id(); }
  std::string symbol(std::int32_t id) const override { return inner_->symbol(id); }
  std::string symbol_of_special(const std::string& name) const override {
    return inner_->symbol_of_special(name);
  }
  std::optional<bool> writes(std::string_view symbol) const override {
    return inner_->writes(symbol);
  }
  std::string decode(std::span<const std::string_view> symbols) const override {
    return inner_->decode(symbols);
  }

 private:
  std::unique_ptr<Tokenizer> inner_;
  Change change_;
};

}  // namespace

std::string single_spaces(std::string_view text) {
  std::string out;
  bool in_space = false;
  while (!text.empty()) {
    const unsigned char kind = text_detail::kByteKind[static_cast<unsigned char>(text.front())];
    const std::size_t space = kind == text_detail::kInWord  ? 0
                              : kind == text_detail::kSpace ? 1
                                                            : text_detail::wide_space_length(text);
    if (space == 0) out += text.front();
    if (space > 0 && !in_space) out += ' ';
    in_space = space > 0;
    text.remove_prefix(std::max<std::size_t>(space, 1));
  }
  return out;
}

std::unique_ptr<Tokenizer> character_tokenizer() { return std::make_unique<Characters>(); }

std::unique_ptr<Tokenizer> word_tokenizer() { return std::make_unique<Words>(); }

std::unique_ptr<Tokenizer> byte_tokenizer() { return std::make_unique<Bytes>(); }

std::unique_ptr<Tokenizer> with_single_spaces(std::unique_ptr<Tokenizer> tokenizer) {
  return std::make_unique<Changed>(std::move(tokenizer), single_spaces);
}

std::unique_ptr<Tokenizer> with_prefix_space(std::unique_ptr<Tokenizer> tokenizer) {
  return std::make_unique<Changed>(std::move(tokenizer), [](std::string_view text) {
    return (text.empty() || text.starts_with(' ') ? "" : " ") + std::string(text);
  });
}

}  // namespace compat
