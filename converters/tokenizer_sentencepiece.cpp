// sentencepiece models, by the library itself.
#include <sentencepiece_processor.h>

#include "compat/byte_reader.h"
#include "compat/error.h"
#include "compat/mapped_file.h"
#include "converters/tokenizer.h"

namespace converters {
namespace {

class SentencePiece final : public Tokenizer {
 public:
  explicit SentencePiece(std::shared_ptr<const sentencepiece::SentencePieceProcessor> processor)
      : processor_(std::move(processor)), unknown_id_(processor_->unk_id()) {}

  std::unique_ptr<Tokenizer> clone() const override { return std::make_unique<SentencePiece>(processor_); }

  void encode(std::string_view text, Tokens& out) override {
    const auto status = processor_->Encode(text, pieces_.mutable_proto());
    if (!status.ok()) throw compat::UnsupportedError(std::string("sentencepiece cannot encode a text: ") + status.message());
    const auto count = static_cast<int>(pieces_.pieces_size());
    for (int i = 0; i < count; ++i) {
      const auto piece = pieces_.pieces(i);
      const auto id = static_cast<std::int32_t>(piece.id());
      out.ids.push_back(id);
      if (id == unknown_id_) out.unknown.push_back(piece.piece());
    }
  }

  std::int32_t size() const noexcept override { return processor_->GetPieceSize(); }
  std::int32_t unknown_id() const noexcept override { return unknown_id_; }
  std::string symbol(std::int32_t id) const override { return processor_->IdToPiece(id); }
  std::string symbol_of_special(const std::string& name) const override { return name; }

  std::string decode(std::span<const std::string_view> symbols) const override {
    std::string text;
    const auto status = processor_->Decode(std::vector<std::string_view>(symbols.begin(), symbols.end()), &text);
    if (!status.ok()) throw compat::UnsupportedError(std::string("sentencepiece cannot decode pieces: ") + status.message());
    return text;
  }

 private:
  std::shared_ptr<const sentencepiece::SentencePieceProcessor> processor_;
  std::int32_t unknown_id_;
  sentencepiece::ImmutableSentencePieceText pieces_;  ///< Kept between texts for its memory.
};

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& model) {
  const auto file = compat::MappedFile::open(model);
  auto processor = std::make_shared<sentencepiece::SentencePieceProcessor>();
  const auto status = processor->LoadFromSerializedProto(compat::as_chars(file->bytes()));
  if (!status.ok() || processor->GetPieceSize() == 0)
    throw compat::FormatError({file->path(), {}, {}}, "not a sentencepiece model");
  return std::make_unique<SentencePiece>(std::move(processor));
}

}  // namespace converters
