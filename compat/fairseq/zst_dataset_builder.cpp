#include <libdeflate.h>
#include <zstd.h>

#include <array>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/fairseq/indexed_dataset_layout.h"
#include "compat/fairseq/zst_dataset.h"
#include "compat/fairseq/zst_dataset_layout.h"
#include "compat/io/atomic_file.h"

namespace compat {
namespace {

class Compressor {
 public:
  explicit Compressor(std::int64_t level) : context_(ZSTD_createCCtx()) {
    if (context_ == nullptr) throw std::bad_alloc();
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, static_cast<int>(level));
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
  }

  std::string operator()(std::string_view plain) {
    std::string out(ZSTD_compressBound(plain.size()), '\0');
    const std::size_t size =
        ZSTD_compress2(context_.get(), out.data(), out.size(), plain.data(), plain.size());
    if (ZSTD_isError(size) != 0)
      throw std::runtime_error(std::string("zstd: ") + ZSTD_getErrorName(size));
    out.resize(size);
    return out;
  }

 private:
  struct Free {
    void operator()(ZSTD_CCtx* context) const noexcept { ZSTD_freeCCtx(context); }
  };
  std::unique_ptr<ZSTD_CCtx, Free> context_;
};

class ZstBuilder final : public IndexedDatasetBuilder {
 public:
  ZstBuilder(const std::filesystem::path& prefix, const TokenType& type, const ZstOptions& options)
      : type_(type),
        frame_tokens_(static_cast<std::size_t>(options.frame_tokens)),
        path_(prefix.string() + ".bin"),
        tokens_(path_),
        index_(prefix.string() + ".idx"),
        compress_(options.level) {}

  void add(std::span<const std::int64_t> tokens) override {
    check_ids_fit(type_, 0, tokens, sequences_, path_);
    append_leb128(sizes_, tokens.size());
    ++sequences_;
    total_tokens_ += tokens.size();
    while (!tokens.empty()) {
      const std::size_t count = std::min(tokens.size(), frame_tokens_ - pending_.size());
      pending_.insert(pending_.end(), tokens.begin(),
                      tokens.begin() + static_cast<std::ptrdiff_t>(count));
      tokens = tokens.subspan(count);
      if (pending_.size() == frame_tokens_) write_frame();
    }
  }

  void finalize() override {
    if (!pending_.empty()) write_frame();
    const std::string index = index_bytes();
    const std::uint32_t crc = libdeflate_crc32(0, index.data(), index.size());
    index_.write(index);
    index_.write(std::as_bytes(std::span(&crc, 1)));
    // The index is put in place last, so that a reader that finds it also finds its data.
    const SignalsWait together;
    tokens_.commit();
    index_.commit();
  }

 private:
  void write_frame() {
    if (ends_.empty()) choose_short_ids();
    std::string coded;
    append_coded(coded, pending_, short_ids_);
    const std::string frame = compress_(coded);
    tokens_.write(frame);
    ends_.push_back(tokens_.size());
    pending_.clear();
  }

  /// The number of one-byte ids that makes the first frame smallest.
  void choose_short_ids() {
    std::size_t smallest = SIZE_MAX;
    for (const std::uint8_t candidate : {0, 64, 128, 160, 192, 208, 224, 232, 240, 248}) {
      std::string coded;
      append_coded(coded, pending_, candidate);
      const std::size_t size = compress_(coded).size();
      if (size >= smallest) continue;
      smallest = size;
      short_ids_ = candidate;
    }
  }

  std::string index_bytes() {
    std::string out(kZstMagic);
    const auto append = [&](auto value) {
      out.append(reinterpret_cast<const char*>(&value), sizeof value);
    };
    append(kZstVersion);
    append(type_.code);
    append(short_ids_);
    append(static_cast<std::uint32_t>(frame_tokens_));
    append(sequences_);
    append(total_tokens_);
    const std::string packed = compress_(sizes_);
    const bool use_packed =
        packed.size() < sizes_.size() && sizes_.size() / kMaxSizesRatio <= packed.size();
    const std::string& sizes = use_packed ? packed : sizes_;
    append(std::uint64_t{sizes_.size()});
    append(std::uint64_t{sizes.size()});
    out += sizes;
    for (const std::uint64_t end : ends_) append(end);
    return out;
  }

  const TokenType& type_;
  std::size_t frame_tokens_;
  std::string path_;
  AtomicFile tokens_, index_;
  Compressor compress_;
  std::uint8_t short_ids_ = 0;
  std::uint64_t sequences_ = 0, total_tokens_ = 0;
  std::string sizes_;
  std::vector<std::int64_t> pending_;
  std::vector<std::uint64_t> ends_;
};

}  // namespace

std::unique_ptr<IndexedDatasetBuilder> create_zst_builder(const std::filesystem::path& prefix,
                                                          std::int64_t vocab_size,
                                                          std::string_view dtype,
                                                          const ZstOptions& options) {
  if (options.level < 1 || options.level > 19 || options.frame_tokens < 1 ||
      options.frame_tokens > kMaxFrameTokens)
    throw UnsupportedError(
        concat("a zst data-bin of level ", options.level, " and ", options.frame_tokens,
               " tokens a frame (supported: 1 to 19, 1 to ", kMaxFrameTokens, ')'));
  return std::make_unique<ZstBuilder>(prefix, token_type_for(DatasetImpl::kZst, vocab_size, dtype),
                                      options);
}

}  // namespace compat
