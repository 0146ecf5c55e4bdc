#include "compat/fairseq/indexed_dataset.h"

#include <algorithm>
#include <array>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/fairseq/huffman_dataset.h"
#include "compat/fairseq/indexed_dataset_layout.h"
#include "compat/fairseq/zst_dataset.h"
#include "compat/fairseq/zst_dataset_layout.h"

namespace compat {
namespace {

using FilePtr = std::shared_ptr<const MappedFile>;

/// The entries of a table of the index, read in place. They are not aligned.
template <class T>
class Table {
 public:
  Table() = default;
  explicit Table(std::span<const std::byte> bytes) : bytes_(bytes) {}
  T operator[](std::uint64_t i) const noexcept {
    T value;
    std::memcpy(&value, bytes_.data() + i * sizeof(T), sizeof(T));
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
};

template <class T>
Table<T> take_table(ByteReader& in, std::uint64_t count, std::string_view what) {
  if (count > in.remaining() / sizeof(T))
    in.fail(
        concat(count, " entries of ", what, " need more bytes than the ", in.remaining(), " left"));
  return Table<T>(in.take(count * sizeof(T), what));
}

template <class T>
void widen(const std::byte* source, std::int64_t shift, std::span<std::int64_t> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, source + i * sizeof(T), sizeof(T));
    // Unsigned arithmetic: a hostile uint64 or the least int64 must not overflow.
    out[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(value) -
                                       static_cast<std::uint64_t>(shift));
  }
}

/// Copies token ids from a place in a .bin and subtracts `shift` from each.
void read_tokens(const TokenType& type, const std::byte* source, std::int64_t shift,
                 std::span<std::int64_t> out) {
  switch (type.kind) {
    case TokenKind::kUInt8:
      return widen<std::uint8_t>(source, shift, out);
    case TokenKind::kInt8:
      return widen<std::int8_t>(source, shift, out);
    case TokenKind::kInt16:
      return widen<std::int16_t>(source, shift, out);
    case TokenKind::kInt32:
      return widen<std::int32_t>(source, shift, out);
    case TokenKind::kInt64:
      return widen<std::int64_t>(source, shift, out);
    case TokenKind::kUInt16:
      return widen<std::uint16_t>(source, shift, out);
    case TokenKind::kUInt32:
      return widen<std::uint32_t>(source, shift, out);
    case TokenKind::kUInt64:
      return widen<std::uint64_t>(source, shift, out);
    case TokenKind::kFloat:
      return;  // such types are refused on opening
  }
}

const TokenType& read_type(ByteReader& in, std::uint64_t code) {
  const TokenType* const type = token_type_of_code(code);
  if (type == nullptr) in.fail(concat("unknown dtype code ", code, ", expected 1 to 10"));
  if (type->kind == TokenKind::kFloat)
    in.fail(concat("dtype code ", code, " is floating point, expected token ids"));
  return *type;
}

void check_version(ByteReader& in) {
  const auto version = in.read<std::uint64_t>("the version");
  if (version != 1) in.fail(concat("version ", version, ", expected 1"));
}

[[noreturn]] void fail_sequence(const ByteReader& in, std::uint64_t i, const std::string& problem) {
  in.fail(concat("sequence ", i, ": ", problem));
}

/// The index of Megatron-LM and GPT-NeoX has the same magic, but a count of documents before the
/// sizes and their table at the end.
void refuse_megatron(const ByteReader& at_sizes, std::uint64_t count) {
  constexpr std::uint64_t kEntry = sizeof(std::int32_t) + sizeof(std::int64_t);
  ByteReader in = at_sizes;
  if (in.remaining() < 8 || count > in.remaining() / kEntry || in.remaining() == count * kEntry)
    return;
  const auto documents = in.read<std::uint64_t>("the number of documents");
  if (in.remaining() < count * kEntry || documents != (in.remaining() - count * kEntry) / 8 ||
      (in.remaining() - count * kEntry) % 8 != 0)
    return;
  throw UnsupportedError(concat(to_string(at_sizes.where()),
                                ": is an index of Megatron-LM or GPT-NeoX (", documents,
                                " documents stand before the sizes), expected fairseq's"));
}

/// The MMIDIDX layout. The tokens of sequence i start at byte pointers[i] of the .bin.
class MmapDataset final : public IndexedDataset {
 public:
  MmapDataset(FilePtr index, FilePtr tokens)
      : index_(std::move(index)), tokens_(std::move(tokens)) {
    ByteReader in(index_->bytes(), {index_->path(), {}, 0});
    in.take(kMmapMagic.size(), "the magic");
    check_version(in);
    type_ = &read_type(in, in.read<std::uint8_t>("the dtype code"));
    const auto count = in.read<std::uint64_t>("the number of sequences");
    refuse_megatron(in, count);
    const auto sizes = take_table<std::int32_t>(in, count, "sizes");
    pointers_ = take_table<std::int64_t>(in, count, "pointers");
    if (!in.at_end()) in.fail(concat(in.remaining(), " bytes follow the pointers"));
    const std::uint64_t available = tokens_->bytes().size();
    sizes_.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::int32_t size = sizes[i];
      const std::int64_t pointer = pointers_[i];
      if (size < 0) fail_sequence(in, i, concat("negative size ", size));
      const std::uint64_t bytes = static_cast<std::uint64_t>(size) * type_->size;
      if (pointer < 0 || static_cast<std::uint64_t>(pointer) > available ||
          bytes > available - static_cast<std::uint64_t>(pointer))
        fail_sequence(in, i,
                      concat(bytes, " bytes at ", pointer, " lie beyond the ", available,
                             " bytes of ", printable(tokens_->path(), 4096)));
      if (static_cast<std::uint64_t>(pointer) % type_->size != 0)
        fail_sequence(in, i, concat("pointer ", pointer, " is not a multiple of ", type_->size));
      sizes_.push_back(size);
      total_tokens_ += size;
      // fairseq's sequences follow each other. If many could share the same bytes, a small file
      // could claim endless tokens.
      if (static_cast<std::uint64_t>(total_tokens_) > available / type_->size)
        fail_sequence(
            in, i,
            concat("the sizes up to here add up to ", total_tokens_, " tokens, more than the ",
                   available / type_->size, " of ", printable(tokens_->path(), 4096)));
    }
  }

  DatasetImpl impl() const noexcept override { return DatasetImpl::kMmap; }
  std::string_view dtype() const noexcept override { return type_->name; }
  const std::string& path() const noexcept override { return tokens_->path(); }

  void read(std::int64_t i, std::int64_t from, std::span<std::int64_t> out) const override {
    const auto start = static_cast<std::uint64_t>(pointers_[static_cast<std::uint64_t>(i)]) +
                       static_cast<std::uint64_t>(from) * type_->size;
    read_tokens(*type_, tokens_->bytes().data() + start, 0, out);
  }

 private:
  FilePtr index_, tokens_;
  const TokenType* type_ = nullptr;
  Table<std::int64_t> pointers_;
};

/// The TNTIDX layout ('cached', 'lazy'). Stored ids are one higher, because fairseq kept Lua's
/// counting from 1.
class LegacyDataset final : public IndexedDataset {
 public:
  LegacyDataset(FilePtr index, FilePtr tokens)
      : index_(std::move(index)), tokens_(std::move(tokens)) {
    ByteReader in(index_->bytes(), {index_->path(), {}, 0});
    in.take(kLegacyMagic.size(), "the magic");
    check_version(in);
    type_ = &read_type(in, in.read<std::uint64_t>("the dtype code"));
    const auto element = in.read<std::uint64_t>("the element size");
    if (element != type_->size)
      in.fail(concat("element size ", element, ", expected ", type_->size, " for ", type_->name));
    const auto count = in.read<std::uint64_t>("the number of sequences");
    const auto dimensions = in.read<std::uint64_t>("the number of sizes");
    if (count != dimensions)
      in.fail(concat(count, " sequences with ", dimensions, " sizes, expected one each"));
    if (count > in.remaining() / 8) in.fail(concat(count, " sequences do not fit the file"));
    const auto dim_offsets = take_table<std::int64_t>(in, count + 1, "dimension offsets");
    offsets_ = take_table<std::int64_t>(in, count + 1, "data offsets");
    const auto sizes = take_table<std::int64_t>(in, count, "sizes");
    if (!in.at_end()) in.fail(concat(in.remaining(), " bytes follow the sizes"));
    check_tables(in, count, dim_offsets, sizes);
  }

  DatasetImpl impl() const noexcept override { return DatasetImpl::kLegacy; }
  std::string_view dtype() const noexcept override { return type_->name; }
  const std::string& path() const noexcept override { return tokens_->path(); }

  void read(std::int64_t i, std::int64_t from, std::span<std::int64_t> out) const override {
    const auto start =
        static_cast<std::uint64_t>(offsets_[static_cast<std::uint64_t>(i)] + from) * type_->size;
    read_tokens(*type_, tokens_->bytes().data() + start, 1, out);
  }

 private:
  void check_tables(const ByteReader& in, std::uint64_t count,
                    const Table<std::int64_t>& dim_offsets, const Table<std::int64_t>& sizes) {
    const auto available = static_cast<std::int64_t>(tokens_->bytes().size() / type_->size);
    if (offsets_[0] != 0 || dim_offsets[0] != 0) fail_sequence(in, 0, "does not start at 0");
    sizes_.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::int64_t size = sizes[i], start = offsets_[i], end = offsets_[i + 1];
      if (dim_offsets[i + 1] != static_cast<std::int64_t>(i) + 1)
        fail_sequence(in, i, "is not one-dimensional");
      if (size < 0 || size > INT32_MAX)
        fail_sequence(in, i, concat("size ", size, ", expected 0 to 2147483647"));
      if (end < start || end - start != size)
        fail_sequence(in, i,
                      concat("size ", size, ", but its data reaches from ", start, " to ", end));
      if (end > available)
        fail_sequence(in, i,
                      concat("ends at token ", end, ", beyond the ", available, " tokens of ",
                             printable(tokens_->path(), 4096)));
      sizes_.push_back(static_cast<std::int32_t>(size));
      total_tokens_ += size;
    }
  }

  FilePtr index_, tokens_;
  const TokenType* type_ = nullptr;
  Table<std::int64_t> offsets_;
};

/// Raw text with one sequence per line, encoded with the dictionary.
class RawDataset final : public IndexedDataset {
 public:
  RawDataset(const FilePtr& file, const Dictionary& dictionary) : path_(file->path()) {
    const std::string_view text = as_chars(file->bytes());
    if (const std::size_t bad = first_invalid_utf8(text); bad != std::string_view::npos)
      throw FormatError({path_, {}, bad}, "not UTF-8, expected text");
    for_each_line(text, [&](std::string_view line) {
      const auto ids = dictionary.encode_line(line);
      starts_.push_back(ids_.size());
      sizes_.push_back(static_cast<std::int32_t>(ids.size()));
      ids_.insert(ids_.end(), ids.begin(), ids.end());
    });
    total_tokens_ = static_cast<std::int64_t>(ids_.size());
  }

  DatasetImpl impl() const noexcept override { return DatasetImpl::kRaw; }
  std::string_view dtype() const noexcept override { return "text"; }
  const std::string& path() const noexcept override { return path_; }

  void read(std::int64_t i, std::int64_t from, std::span<std::int64_t> out) const override {
    const std::size_t start = starts_[static_cast<std::size_t>(i)] + static_cast<std::size_t>(from);
    std::copy_n(ids_.begin() + static_cast<std::ptrdiff_t>(start), out.size(), out.begin());
  }

 private:
  std::string path_;
  std::vector<std::int32_t> ids_;
  std::vector<std::size_t> starts_;
};

std::filesystem::path with_suffix(const std::filesystem::path& prefix, std::string_view suffix) {
  return prefix.string() + std::string(suffix);
}

/// The PREFIX in PREFIX.idx or PREFIX.bin.
std::filesystem::path without_suffix(const std::filesystem::path& path) {
  return path.extension() == ".idx" || path.extension() == ".bin"
             ? std::filesystem::path(path).replace_extension()
             : path;
}

/// The raw text of a split: PREFIX itself, or PREFIX.None-None as fairseq-preprocess names it.
/// Empty when neither exists.
std::filesystem::path raw_path(const std::filesystem::path& prefix) {
  for (const auto& path : {prefix, with_suffix(prefix, ".None-None")})
    if (std::filesystem::is_regular_file(path)) return path;
  return {};
}

}  // namespace

std::string_view impl_name(DatasetImpl impl) noexcept {
  constexpr std::array<std::string_view, 5> kNames{"mmap", "lazy", "raw", "huffman", "zst"};
  return kNames[static_cast<std::size_t>(impl)];
}

std::unique_ptr<IndexedDataset> IndexedDataset::open(FilePtr index, FilePtr tokens) {
  const std::string_view start = as_chars(index->bytes());
  if (start.starts_with(kMmapMagic))
    return std::make_unique<MmapDataset>(std::move(index), std::move(tokens));
  if (start.starts_with(kLegacyMagic))
    return std::make_unique<LegacyDataset>(std::move(index), std::move(tokens));
  if (start.starts_with(kZstMagic)) return open_zst_dataset(std::move(index), std::move(tokens));
  if (start.empty())
    throw FormatError({index->path(), {}, {}}, "is empty, expected the index of a data-bin");
  throw FormatError(
      {index->path(), {}, 0},
      "starts with '" + printable(start.substr(0, 8)) +
          "', expected MMIDIDX, TNTIDX, HUFFIDX or BTMZSTD (the index of a data-bin)");
}

std::unique_ptr<IndexedDataset> IndexedDataset::open(const std::filesystem::path& path,
                                                     const Dictionary* dictionary) {
  const auto prefix = without_suffix(path);
  const auto index_path = with_suffix(prefix, ".idx"), tokens_path = with_suffix(prefix, ".bin");
  if (std::filesystem::exists(index_path) || std::filesystem::exists(tokens_path)) {
    auto index = MappedFile::open(index_path);
    auto tokens = MappedFile::open(tokens_path);
    if (as_chars(index->bytes()).starts_with(kHuffmanMagic))
      return open_huffman_dataset(index, tokens, *MappedFile::open(with_suffix(prefix, ".vocab")),
                                  dictionary);
    return open(std::move(index), std::move(tokens));
  }
  const auto raw = raw_path(prefix);
  if (raw.empty())
    throw IoError(prefix.string(), "no data set has this name: neither " +
                                       printable(index_path.filename().string()) +
                                       " nor raw text exists");
  if (dictionary == nullptr)
    throw UnsupportedError(printable(raw.string(), 4096) + ": raw text needs a dictionary");
  return std::make_unique<RawDataset>(MappedFile::open(raw), *dictionary);
}

bool IndexedDataset::exists(const std::filesystem::path& path) {
  const auto prefix = without_suffix(path);
  return std::filesystem::exists(with_suffix(prefix, ".idx")) || !raw_path(prefix).empty();
}

std::vector<std::int64_t> IndexedDataset::sequence(std::int64_t i) const {
  std::vector<std::int64_t> tokens(static_cast<std::size_t>(sizes_[static_cast<std::size_t>(i)]));
  read(i, 0, tokens);
  return tokens;
}

void check_token_ids(const IndexedDataset& dataset, const Dictionary& dictionary) {
  constexpr std::int64_t kBlock = 1 << 16;
  std::vector<std::int64_t> block;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const std::int64_t size = dataset.sizes()[static_cast<std::size_t>(i)];
    for (std::int64_t from = 0; from < size; from += kBlock) {
      block.resize(static_cast<std::size_t>(std::min(kBlock, size - from)));
      dataset.read(i, from, block);
      const auto bad = std::ranges::find_if(
          block, [&](std::int64_t id) { return id < 0 || id >= dictionary.size(); });
      if (bad != block.end())
        throw FormatError({dataset.path(), {}, {}},
                          concat("sequence ", i, " holds the token id ", *bad, " at ",
                                 from + (bad - block.begin()), ", the dictionary has ",
                                 dictionary.size(), " symbols"));
    }
  }
}

}  // namespace compat
