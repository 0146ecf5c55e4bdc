// Tensors as torch stores them: a view (offset, shape, stride) into a typed storage that views may
// share.
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
/// torch's name: "float32", "int64", "bool".
std::string_view dtype_name(DType dtype) noexcept;
/// The storage class torch pickles for it: "FloatStorage". storage_dtype() is the inverse; throws
/// nothing, sets `found`.
std::string_view storage_class(DType dtype) noexcept;
bool storage_dtype(std::string_view storage_class, DType& dtype) noexcept;

/// "[2, 512]".
std::string shape_text(const std::vector<std::int64_t>& shape);

class MappedFile;

/// The CRC-32 that a file states for bytes of it.
struct Checksum {
  std::uint32_t crc = 0;
  Location where;

  /// FormatError when `found`, the CRC-32 of the bytes, is another.
  void compare(std::uint32_t found) const;
};

/// The bytes behind one or more tensors. Reading from a file, the bytes stay on disk until bytes()
/// is called.
class Storage {
 public:
  /// Takes the next bytes of a storage.
  using Sink = std::function<void(std::span<const std::byte>)>;

  /// `owner` keeps `bytes` alive (a mapping, a buffer). The checksum is compared once, by the first
  /// bytes().
  Storage(DType dtype, std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
          std::optional<Checksum> checksum = {});

  /// The same of bytes inside a mapped file, whose pages can be given back.
  Storage(DType dtype, std::span<const std::byte> bytes, std::shared_ptr<const MappedFile> file,
          std::optional<Checksum> checksum = {});

  /// A storage of `numel` elements that are computed when they are wanted: `produce` hands all
  /// bytes to its sink, front to back, in pieces of any size. stream() keeps none of them, bytes()
  /// all.
  static std::shared_ptr<const Storage> computed(DType dtype, std::uint64_t numel,
                                                 std::function<void(const Sink&)> produce);

  /// A storage of its own memory, holding a copy of `bytes`.
  static std::shared_ptr<const Storage> copy_of(DType dtype, std::span<const std::byte> bytes);

  DType dtype() const noexcept { return dtype_; }
  std::uint64_t size_bytes() const noexcept { return size_; }
  std::uint64_t numel() const noexcept { return size_ / element_size(dtype_); }
  /// Verified bytes. FormatError when they are damaged. Thread safe.
  std::span<const std::byte> bytes() const;
  /// All bytes in pieces, front to back, a mapped file's pages given back behind them. FormatError
  /// after the last piece when they are damaged.
  void stream(const Sink& sink) const;
  /// The same without verification: for showing what a damaged file holds, and for reading in
  /// pieces that checksum() is compared with afterwards. Of a computed storage nothing.
  std::span<const std::byte> unverified_bytes() const noexcept { return bytes_; }
  const std::optional<Checksum>& checksum() const noexcept { return checksum_; }
  const std::shared_ptr<const void>& owner() const noexcept { return owner_; }
  bool is_mapped() const noexcept { return mapped_; }
  /// The file that the bytes are mapped from; null for others.
  std::shared_ptr<const MappedFile> mapped_file() const;
  /// Gives the memory of bytes that were read back to the system; they come back from the file when
  /// touched again. Without effect on a storage that is not mapped from a file.
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

/// One tensor. `offset` and `stride` count elements. Readers guarantee that every element lies
/// inside the storage.
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

  /// The elements in row-major order: in place when contiguous, otherwise copied into `scratch`.
  std::span<const std::byte> contiguous_bytes(std::vector<std::byte>& scratch) const;

  /// A row-major view of the whole of `storage`.
  static TensorView contiguous(std::shared_ptr<const Storage> storage,
                               std::vector<std::int64_t> shape);
};

/// The same elements negated, conjugated (the imaginary parts of complex ones), or both, computed
/// when they are read: what torch's negative and conjugate bits of a view mean. `view` lies inside
/// its storage.
TensorView with_signs_changed(const TensorView& view, bool negative, bool conjugate);

/// Throws nothing: "" when every element of the view lies inside a storage of `storage_numel`
/// elements and the shape is sane (equal ranks <= 64, no negative shape or stride, no overflow),
/// else what is wrong.
std::string view_problem(std::int64_t offset, std::span<const std::int64_t> shape,
                         std::span<const std::int64_t> stride, std::uint64_t storage_numel);

std::vector<std::int64_t> row_major_stride(std::span<const std::int64_t> shape);

}  // namespace compat
