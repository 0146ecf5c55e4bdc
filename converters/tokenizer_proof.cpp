#include "converters/tokenizer_proof.h"

#include <random>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/io/mapped_file.h"
#include "compat/tokenizer/document_encoder.h"
#include "compat/tokenizer/sentencepiece_model.h"
#include "converters/tokenizer_json.h"

namespace converters {
namespace {

namespace fs = std::filesystem;

/// White space that most normalisations leave, and at which fairseq splits pieces.
constexpr std::string_view kNextLine = "\xC2\x85";

/// `text` with that in its middle.
std::string with_next_line(std::string text) {
  std::size_t middle = text.size() / 2;
  while (middle < text.size() && (static_cast<unsigned char>(text[middle]) & 0xC0) == 0x80)
    ++middle;
  return text.insert(middle, kNextLine);
}

/// Texts that consist of the dictionary's symbols: each alone, then many together, of which some
/// hold a next line.
std::vector<std::string> sample_texts(const Symbols& symbols, const compat::Tokenizer& tokenizer) {
  constexpr std::size_t kMostAlone = 20'000, kLines = 1000, kWords = 24;
  std::vector<std::string_view> all;
  for (std::int64_t id = 0; id < symbols.size(); ++id)
    if (symbols.is_text(id)) all.push_back(symbols[id]);
  std::vector<std::string> texts;
  const std::size_t step = all.size() / kMostAlone + 1;
  for (std::size_t i = 0; i < all.size(); i += step)
    texts.push_back(tokenizer.decode(std::span(&all[i], 1)));
  std::mt19937_64 random(1);
  for (std::size_t line = 0; line < kLines && !all.empty(); ++line) {
    std::vector<std::string_view> drawn;
    for (std::size_t i = 0; i < kWords; ++i) drawn.push_back(all[random() % all.size()]);
    texts.push_back(tokenizer.decode(drawn));
    if (line % 10 == 0) texts.push_back(with_next_line(texts.back()));
  }
  return texts;
}

/// Whether the tokenizer's normalisation leaves `text` as it is: its symbols, put together, are the
/// text without its next line.
bool is_normal(compat::DocumentEncoder& encoder, std::string text, bool sentencepiece) {
  if (!sentencepiece) return true;
  std::string symbols, joined;
  encoder.append_symbols(text, symbols);
  for (std::size_t at = 0; at < symbols.size(); ++at) {
    if (symbols[at] == ' ' || symbols[at] == '\n') continue;
    const bool space = symbols.compare(at, compat::kSpacePiece.size(), compat::kSpacePiece) == 0;
    joined += space ? ' ' : symbols[at];
    if (space) at += compat::kSpacePiece.size() - 1;
  }
  if (const std::size_t at = text.find(kNextLine); at != std::string::npos)
    text.erase(at, kNextLine.size());
  return joined == text || joined == " " + text;
}

std::string list_of(const std::vector<std::int64_t>& ids) {
  std::string text;
  for (std::size_t i = 0; i < ids.size() && i < 8; ++i)
    compat::append(text, i > 0 ? " " : "", ids[i]);
  return ids.size() > 8 ? text + " ..." : text;
}

}  // namespace

void prove_tokenizer(const fs::path& file, const compat::Dictionary& dictionary,
                     const compat::Tokenizer& tokenizer, Symbols& symbols, bool sentencepiece) {
  const auto mapped = compat::MappedFile::open(file);
  const TokenizerJson written(compat::as_chars(mapped->bytes()), file.filename().string());
  compat::DocumentEncoder encoder(dictionary, &tokenizer, "");
  const std::vector<std::string> texts = sample_texts(symbols, tokenizer);
  for (const std::string& text : texts) {
    if (text.empty() || !is_normal(encoder, text, sentencepiece)) continue;
    std::vector<std::int64_t> expected, found = written.encode(text);
    encoder.encode(text, expected);
    expected.pop_back();  // </s>
    const bool tie = found != expected && written.is_tie(found, expected);
    symbols.result.ties += tie ? 1 : 0;
    for (std::int64_t& id : found) id = id < dictionary.size() ? id : dictionary.unk();
    if (found != expected && !tie)
      throw compat::FormatError({"tokenizer.json", {}, {}},
                                "cannot give the data-bin's ids: '" + compat::printable(text, 60) +
                                    "' is " + list_of(expected) + " there, and here " +
                                    list_of(found));
    ++symbols.result.proven_texts;
    symbols.result.proven_tokens += static_cast<std::int64_t>(expected.size());
  }
  if (symbols.result.proven_texts * 2 < static_cast<std::int64_t>(texts.size()))
    throw compat::FormatError(
        {"tokenizer.json", {}, {}},
        "could not be compared: normalisation changes most texts of the dictionary's symbols");
}

}  // namespace converters
