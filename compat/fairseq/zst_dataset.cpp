#include "compat/fairseq/zst_dataset.h"

#include <libdeflate.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/fairseq/indexed_dataset_layout.h"
#include "compat/fairseq/zst_dataset_layout.h"

namespace compat {
namespace {

struct FreeContext {
  void operator()(ZSTD_DCtx* context) const noexcept { ZSTD_freeDCtx(context); }
};

/// Decompresses one zstd frame to `out`. FormatError unless `bytes` is exactly one frame, whose
/// header states at most `limit` bytes.
void decompress(std::span<const std::byte> frame, std::uint64_t limit,
                std::vector<std::uint8_t>& out, const Location& where) {
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeContext> context(ZSTD_createDCtx());
  if (context == nullptr) throw std::bad_alloc();
  const unsigned long long promised = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (promised == ZSTD_CONTENTSIZE_ERROR) throw FormatError(where, "is no zstd frame");
  if (promised == ZSTD_CONTENTSIZE_UNKNOWN || promised > limit)
    throw FormatError(where,
                      concat("a zstd frame of ",
                             promised == ZSTD_CONTENTSIZE_UNKNOWN ? std::string("unknown size")
                                                                  : concat(promised, " bytes"),
                             ", expected at most ", limit));
  out.resize(promised);
  const std::size_t size =
      ZSTD_decompressDCtx(context.get(), out.data(), out.size(), frame.data(), frame.size());
  if (ZSTD_isError(size) != 0)
    throw FormatError(where, std::string("damaged zstd frame: ") + ZSTD_getErrorName(size));
  if (size != promised)
    throw FormatError(where, concat("holds ", size, " bytes, its header promises ", promised));
}

/// Decodes the ids of a frame. False unless there are exactly `out.size()`.
bool decode_ids(const std::uint8_t* at, const std::uint8_t* const end, std::uint32_t short_ids,
                std::span<std::int64_t> out) {
  std::int64_t* id = out.data();
  std::int64_t* const ids_end = id + out.size();
  while (id != ids_end) {
    // Eight bytes hold at least four ids. There is no branch on an id's length, because lengths are
    // random.
    while (ids_end - id >= 4 && end - at >= 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, at, sizeof word);
      unsigned used = 0;
      bool escaped = false;
      for (int k = 0; k < 4; ++k) {
        const std::uint32_t first = word & 0xFF, is_long = first >= short_ids ? 1 : 0;
        escaped |= first == kEscape;
        id[k] = first + (-is_long & ((first - short_ids) * 255 + (word >> 8 & 0xFF)));
        word >>= 8 + 8 * is_long;
        used += 1 + is_long;
      }
      if (escaped) break;
      id += 4;
      at += used;
    }
    if (id == ids_end) break;
    if (at == end) return false;
    const std::uint8_t first = *at++;
    if (first == kEscape) {
      std::uint64_t zigzag = 0;
      if (!take_leb128(at, end, zigzag)) return false;
      *id++ = static_cast<std::int64_t>(zigzag >> 1 ^ (0 - (zigzag & 1)));
    } else if (first < short_ids) {
      *id++ = first;
    } else {
      if (at == end) return false;
      *id++ = short_ids + (std::int64_t{first} - short_ids) * 256 + *at++;
    }
  }
  return at == end;
}

class ZstDataset final : public IndexedDataset {
 public:
  ZstDataset(std::shared_ptr<const MappedFile> index, std::shared_ptr<const MappedFile> tokens)
      : index_(std::move(index)), tokens_(std::move(tokens)) {
    ByteReader in(index_->bytes(), {index_->path(), {}, 0});
    in.take(kZstMagic.size(), "the magic");
    if (const auto version = in.read<std::uint64_t>("the version"); version != kZstVersion)
      in.fail(concat("version ", version, ", expected ", kZstVersion));
    check_crc(in);
    const auto code = in.read<std::uint8_t>("the dtype code");
    type_ = token_type_of_code(code);
    if (type_ == nullptr || type_->kind == TokenKind::kFloat)
      in.fail(concat("dtype code ", code, ", expected one of token ids (1 to 5, 8 to 10)"));
    short_ids_ = in.read<std::uint8_t>("the number of short ids");
    if (short_ids_ >= kEscape) in.fail(concat(short_ids_, " short ids, expected at most 254"));
    frame_tokens_ = in.read<std::uint32_t>("the tokens of a frame");
    if (frame_tokens_ < 1 || frame_tokens_ > kMaxFrameTokens)
      in.fail(concat("frames of ", frame_tokens_, " tokens, expected 1 to ", kMaxFrameTokens));
    const auto count = in.read<std::uint64_t>("the number of sequences");
    const auto total = in.read<std::uint64_t>("the number of tokens");
    read_sizes(in, count, total);
    read_frame_ends(in);
    in.take(sizeof(std::uint32_t), "the CRC");
    if (!in.at_end()) in.fail(concat(in.remaining(), " bytes follow the CRC"));
  }

  DatasetImpl impl() const noexcept override { return DatasetImpl::kZst; }
  std::string_view dtype() const noexcept override { return type_->name; }
  const std::string& path() const noexcept override { return tokens_->path(); }

  void read(std::int64_t i, std::int64_t from, std::span<std::int64_t> out) const override {
    std::uint64_t token = starts_[static_cast<std::size_t>(i)] + static_cast<std::uint64_t>(from);
    while (!out.empty()) {
      const std::uint64_t number = token / frame_tokens_, skip = token % frame_tokens_;
      const auto ids = frame(number);
      const std::size_t count = std::min<std::size_t>(out.size(), ids->size() - skip);
      std::copy_n(ids->begin() + static_cast<std::ptrdiff_t>(skip), count, out.begin());
      out = out.subspan(count);
      token += count;
    }
  }

 private:
  using Ids = std::vector<std::int64_t>;

  void check_crc(const ByteReader& in) const {
    const auto bytes = index_->bytes();
    if (in.remaining() < sizeof(std::uint32_t)) in.fail("ends before its CRC");
    std::uint32_t stored = 0;
    std::memcpy(&stored, bytes.data() + bytes.size() - sizeof stored, sizeof stored);
    const std::uint32_t found = libdeflate_crc32(0, bytes.data(), bytes.size() - sizeof stored);
    if (found != stored)
      throw FormatError({index_->path(), {}, {}},
                        concat("its CRC-32 is ", found, ", stored is ", stored));
  }

  void read_sizes(ByteReader& in, std::uint64_t count, std::uint64_t total) {
    const auto plain = in.read<std::uint64_t>("the bytes of the sizes");
    const auto stored = in.read<std::uint64_t>("the stored bytes of the sizes");
    const auto bytes = in.take(stored, "the sizes");
    if (stored > plain || plain / kMaxSizesRatio > stored)
      in.fail(concat("sizes of ", plain, " bytes stored in ", stored));
    std::vector<std::uint8_t> inflated;
    const auto* at = reinterpret_cast<const std::uint8_t*>(bytes.data());
    std::uint64_t size = plain;
    if (stored != plain) {
      decompress(bytes, plain, inflated, {index_->path(), "sizes", {}});
      at = inflated.data();
      size = inflated.size();
    }
    if (size != plain || count > plain)
      in.fail(concat(count, " sequences, but sizes of ", size, " bytes"));
    const std::uint8_t* const end = at + size;
    sizes_.reserve(count);
    starts_.reserve(count);
    for (std::uint64_t i = 0, value = 0; i < count; ++i) {
      if (!take_leb128(at, end, value) || value > INT32_MAX)
        in.fail(concat("sequence ", i, " has no size of 0 to 2147483647"));
      starts_.push_back(static_cast<std::uint64_t>(total_tokens_));
      sizes_.push_back(static_cast<std::int32_t>(value));
      total_tokens_ += static_cast<std::int64_t>(value);
    }
    if (at != end) in.fail(concat(end - at, " bytes follow the last size"));
    if (static_cast<std::uint64_t>(total_tokens_) != total)
      in.fail(concat("the sizes sum up to ", total_tokens_, " tokens, expected ", total));
  }

  void read_frame_ends(ByteReader& in) {
    const std::uint64_t frames =
        (static_cast<std::uint64_t>(total_tokens_) + frame_tokens_ - 1) / frame_tokens_;
    if (frames > in.remaining() / sizeof(std::uint64_t))
      in.fail(concat(frames, " frames do not fit the file"));
    const std::uint64_t available = tokens_->bytes().size();
    std::uint64_t start = 0;
    for (std::uint64_t i = 0; i < frames; ++i) {
      const auto end = in.read<std::uint64_t>("the end of a frame");
      if (end <= start || end > available)
        in.fail(concat("frame ", i, " ends at byte ", end, ", expected ", start + 1, " to ",
                       available, ", the size of ", printable(tokens_->path(), 4096)));
      ends_.push_back(start = end);
    }
    if (start != available)
      in.fail(concat("the frames end at byte ", start, ", but ", printable(tokens_->path(), 4096),
                     " has ", available));
  }

  /// Decodes a frame into `ids` and reuses its memory.
  void decode(std::uint64_t number, Ids& ids) const {
    thread_local std::vector<std::uint8_t> bytes;
    const std::uint64_t start = number == 0 ? 0 : ends_[number - 1];
    const Location where{tokens_->path(), concat("frame ", number), {}};
    decompress(tokens_->bytes().subspan(start, ends_[number] - start),
               frame_tokens_ * kMaxCodeBytes, bytes, where);
    ids.resize(std::min<std::uint64_t>(
        frame_tokens_, static_cast<std::uint64_t>(total_tokens_) - number * frame_tokens_));
    if (!decode_ids(bytes.data(), bytes.data() + bytes.size(), short_ids_, ids))
      throw FormatError(where, concat("does not hold exactly ", ids.size(), " ids"));
  }

  std::shared_ptr<const Ids> frame(std::uint64_t number) const {
    std::shared_ptr<Ids> ids;
    {
      const std::lock_guard lock(mutex_);
      for (Slot& slot : slots_)
        if (slot.ids != nullptr && slot.number == number) {
          slot.used = ++clock_;
          return slot.ids;
        }
      Slot& oldest = *std::ranges::min_element(slots_, {}, &Slot::used);
      if (oldest.ids.use_count() == 1) {
        ids = std::move(oldest.ids);
        std::atomic_thread_fence(std::memory_order_acquire);  // the last reader's accesses come
                                                              // before this thread's writes
      }
    }
    if (ids == nullptr) ids = std::make_shared<Ids>();
    // Outside the lock, so that threads decode at the same time. At worst two decode the same
    // frame.
    decode(number, *ids);
    const std::lock_guard lock(mutex_);
    *std::ranges::min_element(slots_, {}, &Slot::used) = {number, ++clock_, ids};
    return ids;
  }

  struct Slot {
    std::uint64_t number = 0, used = 0;
    std::shared_ptr<Ids> ids;
  };

  std::shared_ptr<const MappedFile> index_, tokens_;
  const TokenType* type_ = nullptr;
  std::uint32_t short_ids_ = 0, frame_tokens_ = 1;
  std::vector<std::uint64_t> starts_, ends_;
  mutable std::mutex mutex_;
  mutable std::array<Slot, 8> slots_;
  mutable std::uint64_t clock_ = 0;
};

}  // namespace

std::unique_ptr<IndexedDataset> open_zst_dataset(std::shared_ptr<const MappedFile> index,
                                                 std::shared_ptr<const MappedFile> tokens) {
  return std::make_unique<ZstDataset>(std::move(index), std::move(tokens));
}

}  // namespace compat
