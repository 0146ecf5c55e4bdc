// Tensors as torch stores them: a view (offset, shape, stride) into a typed storage. Views may
// share a storage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compat/base/error.h"

namespace compat {

enum class DType : std::uint8_t {
  kFloat64,
  kFloat32,
  kFloat16,
  kBFloat16,
  kComplex128,
  kComplex64,
  kInt64,
  kInt32,
  kInt16,
  kInt8,
  kUInt8,
  kBool,
};

std::size_t element_size(DType dtype) noexcept;
/// The name of the type in torch: "float32", "int64", "bool".
std::string_view dtype_name(DType dtype) noexcept;
/// The class under which torch pickles a storage of this type: "FloatStorage". storage_dtype() is
/// the inverse: it sets `dtype`, or returns false for an unknown class.
std::string_view storage_class(DType dtype) noexcept;
bool storage_dtype(std::string_view storage_class, DType& dtype) noexcept;

/// "[2, 512]".
std::string shape_text(const std::vector<std::int64_t>& shape);

class MappedFile;

/// The CRC-32 that a file states for some of its bytes.
struct Checksum {
  std::uint32_t crc = 0;
  Location where;

  /// FormatError when `found`, the CRC-32 of the bytes, differs.
  void compare(std::uint32_t found) const;
};

/// The bytes of one or more tensors. Bytes of a mapped file are read only when bytes() or stream()
/// asks for them.
class Storage {
 public:
  /// Receives the next bytes of a storage.
  using Sink = std::function<void(std::span<const std::byte>)>;

  /// `owner` keeps `bytes` alive (a mapping, a buffer). The first call of bytes() compares the
  /// checksum.
  Storage(DType dtype, std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
          std::optional<Checksum> checksum = {});

  /// The same for bytes of a mapped file, whose pages can be released.
  Storage(DType dtype, std::span<const std::byte> bytes, std::shared_ptr<const MappedFile> file,
          std::optional<Checksum> checksum = {});

  /// A storage of `numel` elements that are computed on demand. `produce` passes all bytes to its
  /// sink, from front to back, in pieces of any size. bytes() keeps them, stream() does not.
  static std::shared_ptr<const Storage> computed(DType dtype, std::uint64_t numel,
                                                 std::function<void(const Sink&)> produce);

  /// A storage with a copy of `bytes`.
  static std::shared_ptr<const Storage> copy_of(DType dtype, std::span<const std::byte> bytes);

  DType dtype() const noexcept { return dtype_; }
  std::uint64_t size_bytes() const noexcept { return size_; }
  std::uint64_t numel() const noexcept { return size_ / element_size(dtype_); }
  /// The bytes, verified against the checksum. FormatError when they are damaged. Thread safe.
  std::span<const std::byte> bytes() const;
  /// Passes all bytes to `sink` in pieces, from front to back, and releases a mapped file's pages
  /// behind them. FormatError after the last piece when the bytes are damaged.
  void stream(const Sink& sink) const;
  /// The bytes without verification: to show what a damaged file holds, or to read pieces and
  /// compare checksum() afterwards. Empty for a computed storage that bytes() has not filled.
  std::span<const std::byte> unverified_bytes() const noexcept { return bytes_; }
  const std::optional<Checksum>& checksum() const noexcept { return checksum_; }
  const std::shared_ptr<const void>& owner() const noexcept { return owner_; }
  bool is_mapped() const noexcept { return mapped_; }
  /// The file that the bytes are mapped from, or null.
  std::shared_ptr<const MappedFile> mapped_file() const;
  /// Releases the memory of bytes that were read from a mapped file. The kernel reads them again at
  /// the next access. No effect on other storages.
  void release_pages() const noexcept;

 private:
  DType dtype_;
  std::uint64_t size_;
  mutable std::span<const std::byte> bytes_;
  mutable std::shared_ptr<const void> owner_;
  bool mapped_ = false;
  std::optional<Checksum> checksum_;
  std::function<void(const Sink&)> produce_;
  mutable std::once_flag ready_;
};

/// One tensor. `offset` and `stride` count elements. Readers ensure that every element lies inside
/// the storage.
struct TensorView {
  std::shared_ptr<const Storage> storage;
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape, stride;
  bool requires_grad = false;

  DType dtype() const noexcept { return storage->dtype(); }
  std::int64_t numel() const noexcept;
  std::uint64_t size_bytes() const noexcept {
    return static_cast<std::uint64_t>(numel()) * element_size(dtype());
  }
  bool is_contiguous() const noexcept;

  /// The elements in row-major order. Copied into `scratch` unless they are contiguous.
  std::span<const std::byte> contiguous_bytes(std::vector<std::byte>& scratch) const;

  /// A row-major view of all of `storage`.
  static TensorView contiguous(std::shared_ptr<const Storage> storage,
                               std::vector<std::int64_t> shape);
};

/// The elements negated, conjugated (imaginary parts negated), or both, computed when they are
/// read. These are torch's negative and conjugate bits of a view. `view` lies inside its storage.
TensorView with_signs_changed(const TensorView& view, bool negative, bool conjugate);

/// The most dimensions of a tensor. torch has the same limit.
inline constexpr std::size_t kMaxRank = 64;

/// "" when a tensor can have this shape, else the problem: more than kMaxRank dimensions, a
/// negative size, or more elements than any storage has. Empty dimensions are counted as one, so
/// that a 0 hides no overflow. Throws nothing.
std::string shape_problem(std::span<const std::int64_t> shape);

/// "" when the view is valid in a storage of `storage_numel` elements, else the problem. Valid: at
/// most 64 dimensions, as many strides, none of them negative, no overflow, every element inside
/// the storage. Throws nothing.
std::string view_problem(std::int64_t offset, std::span<const std::int64_t> shape,
                         std::span<const std::int64_t> stride, std::uint64_t storage_numel);

std::vector<std::int64_t> row_major_stride(std::span<const std::int64_t> shape);

}  // namespace compat
