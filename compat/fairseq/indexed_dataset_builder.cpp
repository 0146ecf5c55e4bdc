#include "compat/fairseq/indexed_dataset_builder.h"

#include <algorithm>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/fairseq/indexed_dataset_layout.h"
#include "compat/fairseq/zst_dataset.h"
#include "compat/io/atomic_file.h"

namespace compat {
namespace {

class Builder final : public IndexedDatasetBuilder {
 public:
  Builder(const std::filesystem::path& prefix, DatasetImpl impl, const TokenType& type)
      : impl_(impl),
        type_(type),
        tokens_(prefix.string() + ".bin"),
        index_(prefix.string() + ".idx"),
        path_(prefix.string() + ".bin") {}

  void add(std::span<const std::int64_t> tokens) override {
    const std::int64_t shift = impl_ == DatasetImpl::kLegacy ? 1 : 0;
    check_ids_fit(type_, shift, tokens, sizes_.size(), path_);
    std::string bytes;
    bytes.reserve(tokens.size() * type_.size);
    for (const std::int64_t token : tokens) {
      const std::int64_t stored = token + shift;
      bytes.append(reinterpret_cast<const char*>(&stored),
                   type_.size);  // little-endian: low bytes first
    }
    tokens_.write(bytes);
    sizes_.push_back(static_cast<std::int32_t>(tokens.size()));
  }

  void finalize() override {
    if (impl_ == DatasetImpl::kMmap)
      write_mmap_index();
    else
      write_legacy_index();
    // The index is put in place last, so that a reader that finds it also finds its data.
    const SignalsWait together;
    tokens_.commit();
    index_.commit();
  }

 private:
  void write_mmap_index() {
    std::string header(kMmapMagic);
    append_number<std::uint64_t>(header, 1);
    append_number<std::uint8_t>(header, type_.code);
    append_number<std::uint64_t>(header, sizes_.size());
    index_.write(header);
    index_.write(std::as_bytes(std::span(sizes_)));
    std::int64_t pointer = 0;
    for (const std::int32_t size : sizes_) {
      index_.write(std::as_bytes(std::span(&pointer, 1)));
      pointer += std::int64_t{size} * type_.size;
    }
  }

  void write_legacy_index() {
    std::string header(kLegacyMagic);
    append_number<std::uint64_t>(header, 1);
    append_number<std::uint64_t>(header, type_.code);
    append_number<std::uint64_t>(header, type_.size);
    append_number<std::uint64_t>(header, sizes_.size());
    append_number<std::uint64_t>(header, sizes_.size());
    index_.write(header);
    const auto write = [&](std::int64_t value) {
      index_.write(std::as_bytes(std::span(&value, 1)));
    };
    for (std::size_t i = 0; i <= sizes_.size(); ++i) write(static_cast<std::int64_t>(i));
    std::int64_t offset = 0;
    write(offset);
    for (const std::int32_t size : sizes_) write(offset += size);
    for (const std::int32_t size : sizes_) write(size);
  }

  DatasetImpl impl_;
  const TokenType& type_;
  AtomicFile tokens_, index_;
  std::string path_;
  std::vector<std::int32_t> sizes_;
};

}  // namespace

const TokenType& token_type_for(DatasetImpl impl, std::int64_t vocab_size, std::string_view dtype) {
  if (dtype.empty())
    dtype = impl == DatasetImpl::kLegacy ? "int32" : vocab_size < 65500 ? "uint16" : "uint32";
  const auto found = std::ranges::find(kTokenTypes, dtype, &TokenType::name);
  if (found == kTokenTypes.end() || found->kind == TokenKind::kFloat)
    throw UnsupportedError(
        "a data-bin of '" + printable(dtype) +
        "' (supported: uint8, int8, int16, int32, int64, uint16, uint32, uint64)");
  return *found;
}

void check_ids_fit(const TokenType& type, std::int64_t shift, std::span<const std::int64_t> ids,
                   std::uint64_t sequence, const std::string& file) {
  if (ids.size() > INT32_MAX)
    throw UnsupportedError("a sequence of more than 2^31-1 tokens in a data-bin");
  for (const std::int64_t id : ids) {
    std::int64_t stored = 0;
    const bool fits = !__builtin_add_overflow(id, shift, &stored) && stored >= type.lowest &&
                      (stored < 0 || static_cast<std::uint64_t>(stored) <= type.highest);
    if (!fits)
      throw FormatError({file, {}, {}}, concat("token id ", id, " of sequence ", sequence,
                                               " does not fit ", type.name));
  }
}

std::unique_ptr<IndexedDatasetBuilder> IndexedDatasetBuilder::create(
    const std::filesystem::path& prefix, DatasetImpl impl, std::int64_t vocab_size,
    std::string_view dtype) {
  if (impl == DatasetImpl::kZst) return create_zst_builder(prefix, vocab_size, dtype);
  if (impl != DatasetImpl::kMmap && impl != DatasetImpl::kLegacy)
    throw UnsupportedError("writing a data-bin as " + std::string(impl_name(impl)) +
                           " (supported: mmap, lazy, zst)");
  return std::make_unique<Builder>(prefix, impl, token_type_for(impl, vocab_size, dtype));
}

}  // namespace compat
