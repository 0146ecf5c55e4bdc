#include "compat/tokenizer/sentencepiece_model.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>

namespace compat {
namespace {

/// A field of a protocol buffer message: its number, and its value when that is a number or bytes.
struct Field {
  std::uint64_t number = 0, value = 0;
  std::string_view bytes;
};

/// Reads the fields of a message in order. It stops at damage, and ok() is then false.
class Message {
 public:
  explicit Message(std::string_view rest) : rest_(rest) {}

  std::optional<Field> next() {
    if (rest_.empty() || !ok_) return std::nullopt;
    const std::uint64_t tag = varint();
    Field field{tag >> 3, 0, {}};
    switch (tag & 7) {
      case 0:
        field.value = varint();
        break;
      case 1:
        take(8);
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        field.bytes = take(4);
        break;
      default:
        ok_ = false;
    }
    return ok_ ? std::optional(field) : std::nullopt;
  }
  bool ok() const noexcept { return ok_; }

 private:
  std::string_view take(std::uint64_t size) {
    ok_ = ok_ && size <= rest_.size();
    if (!ok_) return {};
    const std::string_view bytes = rest_.substr(0, static_cast<std::size_t>(size));
    rest_.remove_prefix(bytes.size());
    return bytes;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const std::string_view byte = take(1);
      if (byte.empty()) return 0;
      value |= std::uint64_t{static_cast<unsigned char>(byte[0]) & 0x7fU} << shift;
      if ((static_cast<unsigned char>(byte[0]) & 0x80) == 0) return value;
    }
    ok_ = false;
    return 0;
  }

  std::string_view rest_;
  bool ok_ = true;
};

/// SentencePiece: piece = 1, type = 3. A piece of type 5 (UNUSED) is split by the merges of the
/// whole text.
bool may_join_words(std::string_view piece_message) {
  constexpr auto kNone = std::string_view::npos;
  Message message(piece_message);
  while (const auto field = message.next()) {
    if (field->number == 1 &&
        (field->bytes.find(kSpacePiece, 1) != kNone || field->bytes.find(' ') != kNone))
      return true;
    if (field->number == 3 && field->value == 5) return true;
  }
  return !message.ok();
}

/// TrainerSpec: model_type = 3 (BPE is 2), treat_whitespace_as_suffix = 24.
bool is_plain_bpe(std::string_view trainer_spec) {
  std::uint64_t type = 1, suffix = 0;
  Message message(trainer_spec);
  while (const auto field = message.next()) {
    if (field->number == 3) type = field->value;
    if (field->number == 24) suffix = field->value;
  }
  return message.ok() && type == 2 && suffix == 0;
}

/// NormalizerSpec: name = 1, add_dummy_prefix = 3, remove_extra_whitespaces = 4, escape_whitespaces
/// = 5.
bool is_standard_normalizer(std::string_view normalizer_spec) {
  constexpr std::array<std::string_view, 5> kNames{"identity", "nfkc", "nmt_nfkc", "nfkc_cf",
                                                   "nmt_nfkc_cf"};
  std::string_view name;
  bool all_on = true;
  Message message(normalizer_spec);
  while (const auto field = message.next()) {
    if (field->number == 1) name = field->bytes;
    if (field->number >= 3 && field->number <= 5) all_on = all_on && field->value != 0;
  }
  return message.ok() && all_on && std::ranges::find(kNames, name) != kNames.end();
}

/// SentencePiece: piece = 1, score = 2, type = 3.
bool read_piece(std::string_view bytes, SentencePieceModel::Piece& piece) {
  Message message(bytes);
  while (const auto field = message.next()) {
    if (field->number == 1) piece.text = field->bytes;
    if (field->number == 2 && field->bytes.size() == sizeof piece.score)
      std::memcpy(&piece.score, field->bytes.data(), sizeof piece.score);
    if (field->number == 3) piece.type = field->value;
  }
  return message.ok();
}

/// TrainerSpec: model_type = 3, treat_whitespace_as_suffix = 24, byte_fallback = 35.
bool read_trainer_spec(std::string_view bytes, SentencePieceModel& model) {
  Message message(bytes);
  while (const auto field = message.next()) {
    if (field->number == 3) model.algorithm = field->value;
    if (field->number == 24) model.treat_whitespace_as_suffix = field->value != 0;
    if (field->number == 35) model.byte_fallback = field->value != 0;
  }
  return message.ok();
}

/// NormalizerSpec: precompiled_charsmap = 2, add_dummy_prefix = 3, remove_extra_whitespaces = 4,
/// escape_whitespaces = 5.
bool read_normalizer_spec(std::string_view bytes, SentencePieceModel& model) {
  Message message(bytes);
  while (const auto field = message.next()) {
    if (field->number == 2) model.charsmap = field->bytes;
    if (field->number == 3) model.add_dummy_prefix = field->value != 0;
    if (field->number == 4) model.remove_extra_whitespaces = field->value != 0;
    if (field->number == 5) model.escape_whitespaces = field->value != 0;
  }
  return message.ok();
}

}  // namespace

std::optional<SentencePieceModel> read_sentencepiece_model(std::string_view bytes) {
  SentencePieceModel model;
  bool fine = true;
  Message message(bytes);
  while (const auto field = message.next()) {
    if (field->number == 1) fine = read_piece(field->bytes, model.pieces.emplace_back()) && fine;
    if (field->number == 2) fine = read_trainer_spec(field->bytes, model) && fine;
    if (field->number == 3) fine = read_normalizer_spec(field->bytes, model) && fine;
  }
  if (!fine || !message.ok() || model.pieces.empty()) return std::nullopt;
  return model;
}

/// ModelProto: pieces = 1, trainer_spec = 2, normalizer_spec = 3.
bool encodes_words_separately(std::string_view model) noexcept {
  bool trainer_spec = false, normalizer_spec = false;
  Message message(model);
  while (const auto field = message.next()) {
    // A message that occurs twice is merged by the library, so each occurrence must qualify.
    if (field->number == 1 && may_join_words(field->bytes)) return false;
    if (field->number == 2 && !is_plain_bpe(field->bytes)) return false;
    if (field->number == 3 && !is_standard_normalizer(field->bytes)) return false;
    trainer_spec = trainer_spec || field->number == 2;
    normalizer_spec = normalizer_spec || field->number == 3;
  }
  return message.ok() && trainer_spec && normalizer_spec;
}

}  // namespace compat
