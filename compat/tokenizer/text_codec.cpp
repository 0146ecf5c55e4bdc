#include "compat/tokenizer/text_codec.h"

#include <algorithm>
#include <stdexcept>
#include <unordered_set>

#include "compat/base/code_points.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace compat {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr int kLongestPart = 3;  // bytes of a character that is not complete

bool is_of_text(const Dictionary& dictionary, std::int64_t id) {
  return id > dictionary.unk() && !dictionary.symbol(id).starts_with("madeupword");
}

/// Bytes at the end of `text` that more ids may change. Each byte of an incomplete character is
/// U+FFFD, or all of them together are one.
std::size_t uncertain_bytes(std::string_view text) {
  std::size_t bytes = 0;
  for (int i = 0; i < kLongestPart && text.ends_with(kReplacement); ++i) {
    bytes += kReplacement.size();
    text.remove_suffix(kReplacement.size());
  }
  return bytes;
}

void check_fit(const Dictionary& dictionary, const std::string& dictionary_file,
               const Tokenizer& tokenizer, const std::string& tokenizer_file) {
  const TokenizerFit fit = tokenizer_fit(dictionary, tokenizer);
  if (fit.foreign_share <= kMostForeign) return;
  throw FormatError(
      {tokenizer_file, {}, {}},
      concat("does not fit ", printable(dictionary_file, 4096), ": ", fit.foreign, " of its ",
             fit.symbols, " symbols (", decimal(fit.foreign_share * 100, 1),
             "% of its tokens) are none of this tokenizer, such as '", printable(fit.example),
             "'; expected the tokenizer that the model was trained with"));
}

}  // namespace

TokenizerFit tokenizer_fit(const Dictionary& dictionary, const Tokenizer& tokenizer) {
  std::unordered_set<std::string> own;
  for (std::int32_t id = 0; id < tokenizer.size(); ++id)
    if (id != tokenizer.unknown_id()) own.insert(tokenizer.symbol(id));
  TokenizerFit fit;
  double all = 0, foreign = 0;
  std::int64_t most = -1;
  for (std::int64_t id = 0; id < dictionary.size(); ++id) {
    if (!is_of_text(dictionary, id)) continue;
    const std::int64_t count = std::max<std::int64_t>(dictionary.count(id), 0);
    ++fit.symbols;
    all += static_cast<double>(count);
    const std::string& symbol = dictionary.symbol(id);
    if (tokenizer.writes(symbol).value_or(own.contains(symbol))) continue;
    ++fit.foreign;
    foreign += static_cast<double>(count);
    if (count > most) most = count, fit.example = dictionary.symbol(id);
  }
  if (fit.symbols == 0) return fit;
  fit.foreign_share =
      all > 0 ? foreign / all : static_cast<double>(fit.foreign) / static_cast<double>(fit.symbols);
  return fit;
}

TextCodec::TextCodec(Dictionary dictionary, const std::string& dictionary_file,
                     std::unique_ptr<Tokenizer> tokenizer, const std::string& tokenizer_file)
    : dictionary_(std::make_shared<const Dictionary>(std::move(dictionary))),
      tokenizer_(std::move(tokenizer)),
      encoder_(*dictionary_, tokenizer_.get(), "") {
  if (tokenizer_) check_fit(*dictionary_, dictionary_file, *tokenizer_, tokenizer_file);
}

TextCodec::TextCodec(const TextCodec& other, DocumentEncoder encoder)
    : dictionary_(other.dictionary_), tokenizer_(other.tokenizer_), encoder_(std::move(encoder)) {}

TextCodec TextCodec::clone() const { return TextCodec(*this, encoder_.clone()); }

std::vector<std::int64_t> TextCodec::encode(std::string_view text) {
  if (const std::size_t bad = first_invalid_utf8(text); bad != std::string_view::npos)
    throw FormatError({"text", {}, bad}, "not UTF-8");
  std::vector<std::int64_t> ids;
  encoder_.encode(text, ids);
  ids.pop_back();  // </s>
  return ids;
}

std::vector<std::string_view> TextCodec::symbols_of(std::span<const std::int64_t> ids) const {
  std::vector<std::string_view> symbols;
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= dictionary_->size())
      throw std::invalid_argument(concat("the id ", id, " is not in the dictionary"));
    if (id >= dictionary_->unk()) symbols.push_back(dictionary_->symbol(id));
  }
  return symbols;
}

std::string TextCodec::decode(std::span<const std::int64_t> ids) const {
  const std::vector<std::string_view> symbols = symbols_of(ids);
  if (tokenizer_) return tokenizer_->decode(symbols);
  std::string text;
  for (const std::string_view symbol : symbols) {
    if (!text.empty()) text += ' ';
    text += symbol;
  }
  return text;
}

std::string TextCodec::decode_stepwise(std::span<const std::int64_t> ids) const {
  return is_stepwise() ? decode(ids) : tokenizer_->stepwise().decode(symbols_of(ids));
}

TextStream::TextStream(const TextCodec& codec, std::span<const std::int64_t> before)
    : TextStream(codec, before, !codec.is_stepwise()) {}

TextStream TextStream::stepwise(const TextCodec& codec, std::span<const std::int64_t> before) {
  return {codec, before, false};
}

TextStream::TextStream(const TextCodec& codec, std::span<const std::int64_t> before, bool holds_all)
    : codec_(&codec), holds_all_(holds_all), ids_(before.begin(), before.end()) {
  before_ = std::make_shared<const std::string>(holds_all_ ? codec_->decode(ids_) : take(false));
}

std::string TextStream::push(std::int64_t id) {
  ids_.push_back(id);
  return holds_all_ ? std::string() : take(false);
}

std::string TextStream::finish() { return holds_all_ ? rest() : take(true); }

std::vector<std::string> pieces_of(const TextCodec& codec, std::span<const std::int64_t> ids,
                                   std::span<const std::int64_t> before) {
  TextStream stream = TextStream::stepwise(codec, before);
  std::vector<std::string> pieces;
  for (const std::int64_t id : ids) pieces.push_back(stream.push(id));
  if (!pieces.empty()) pieces.back() += stream.finish();
  return pieces;
}

/// What follows may change the text of `before`: that text ends where the whole differs from it.
std::string TextStream::rest() {
  const std::string whole = codec_->decode(ids_);
  auto common =
      static_cast<std::size_t>(std::ranges::mismatch(*before_, whole).in1 - before_->begin());
  while (common > 0 && common < whole.size() && code_points({&whole[common], 1}) == 0) --common;
  before_ = std::make_shared<const std::string>(whole, 0, common);
  return whole.substr(common);
}

std::string TextStream::take(bool all) {
  const std::string text = codec_->decode_stepwise(ids_);
  const std::size_t end = all ? text.size() : text.size() - uncertain_bytes(text);
  if (end <= given_) return {};
  const std::string more = text.substr(given_, end - given_);
  given_ = end;
  // The last id alone stands for all before it, if a text can go on from it: what follows depends
  // only on whether there is text before.
  if (end == text.size()) {
    const std::size_t alone = codec_->decode_stepwise(std::span(ids_).last(1)).size();
    if (alone > 0) {
      ids_.erase(ids_.begin(), ids_.end() - 1);
      given_ = alone;
    }
  }
  return more;
}

}  // namespace compat
