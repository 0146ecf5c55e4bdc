// sentencepiece models, encoded by the library. When the model allows it, each distinct word is
// encoded once.
#include <sentencepiece_processor.h>

#include <algorithm>

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/io/mapped_file.h"
#include "compat/tokenizer/sentencepiece_model.h"
#include "compat/tokenizer/token_cache.h"
#include "compat/tokenizer/tokenizer.h"

namespace compat {
namespace {

class SentencePiece final : public Tokenizer {
 public:
  SentencePiece(std::shared_ptr<const sentencepiece::SentencePieceProcessor> processor,
                bool words_apart)
      : processor_(std::move(processor)),
        unknown_id_(processor_->unk_id()),
        words_apart_(words_apart) {}

  std::unique_ptr<Tokenizer> clone() const override {
    return std::make_unique<SentencePiece>(processor_, words_apart_);
  }

  void encode(std::string_view text, Tokens& out) override {
    const std::size_t ids = out.ids.size(), unknown = out.unknown.size();
    if (words_apart_ && text.find(kSpacePiece) == std::string_view::npos && encode_words(text, out))
      return;
    out.ids.resize(ids);
    out.unknown.resize(unknown);
    encode_whole(text, out);
  }

  std::int32_t size() const noexcept override { return processor_->GetPieceSize(); }
  std::int32_t unknown_id() const noexcept override { return unknown_id_; }
  std::string symbol(std::int32_t id) const override { return processor_->IdToPiece(id); }
  std::string symbol_of_special(const std::string& name) const override { return name; }

  std::string decode(std::span<const std::string_view> symbols) const override {
    std::string text;
    const auto status =
        processor_->Decode(std::vector<std::string_view>(symbols.begin(), symbols.end()), &text);
    if (!status.ok())
      throw UnsupportedError(std::string("sentencepiece cannot decode pieces: ") +
                             status.message());
    return text;
  }

 private:
  /// Encodes word by word. Returns false when an unknown token ends one word and another begins the
  /// next: they form one token.
  bool encode_words(std::string_view text, Tokens& out) {
    std::vector<std::int32_t>& ids = out.ids;
    bool after_unknown = false;
    while (!text.empty()) {
      std::size_t end = text.find(' ');
      while (end != std::string_view::npos &&
             (end + 1 == text.size() || !begins_word(text[end + 1])))
        end = text.find(' ', end + 1);
      const std::string_view word = text.substr(0, end);
      text.remove_prefix(std::min(text.size(), word.size() + 1));
      if (word.empty()) continue;
      const std::size_t from = ids.size();
      words_.append(word, ids, [this](std::string_view one, std::vector<std::int32_t>& tokens) {
        Tokens found;
        encode_whole(one, found);
        tokens.insert(tokens.end(), found.ids.begin(), found.ids.end());
      });
      if (ids.size() == from) continue;
      if (after_unknown && ids[from] == unknown_id_) return false;
      after_unknown = ids.back() == unknown_id_;
      if (std::find(ids.begin() + static_cast<std::ptrdiff_t>(from), ids.end(), unknown_id_) !=
          ids.end()) {
        ids.resize(from);
        encode_whole(word, out);  // again, for the texts of the unknown tokens
      }
    }
    return true;
  }

  void encode_whole(std::string_view text, Tokens& out) {
    const auto status = processor_->Encode(text, pieces_.mutable_proto());
    if (!status.ok())
      throw UnsupportedError(std::string("sentencepiece cannot encode a text: ") +
                             status.message());
    const auto count = static_cast<int>(pieces_.pieces_size());
    for (int i = 0; i < count; ++i) {
      const auto piece = pieces_.pieces(i);
      const auto id = static_cast<std::int32_t>(piece.id());
      out.ids.push_back(id);
      if (id == unknown_id_) out.unknown.push_back(piece.piece());
    }
  }

  std::shared_ptr<const sentencepiece::SentencePieceProcessor> processor_;
  std::int32_t unknown_id_;
  bool words_apart_;
  TokenCache words_;
  sentencepiece::ImmutableSentencePieceText pieces_;  ///< A member so that its memory is reused.
};

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& model) {
  const auto file = MappedFile::open(model);
  auto processor = std::make_shared<sentencepiece::SentencePieceProcessor>();
  const auto status = processor->LoadFromSerializedProto(as_chars(file->bytes()));
  if (!status.ok() || processor->GetPieceSize() == 0)
    throw FormatError({file->path(), {}, {}}, "not a sentencepiece model");
  return std::make_unique<SentencePiece>(std::move(processor),
                                         encodes_words_separately(as_chars(file->bytes())));
}

}  // namespace compat
