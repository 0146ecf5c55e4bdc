#include "compat/torch/tensor.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "compat/base/concat.h"
#include "compat/base/numbers.h"
#include "compat/io/crc32.h"
#include "compat/io/mapped_file.h"

namespace compat {
namespace {

struct DTypeRow {
  std::string_view name, storage_class;
  std::size_t size;
};

// In the order of DType.
constexpr std::array<DTypeRow, 12> kDTypes{{{"float64", "DoubleStorage", 8},
                                            {"float32", "FloatStorage", 4},
                                            {"float16", "HalfStorage", 2},
                                            {"bfloat16", "BFloat16Storage", 2},
                                            {"complex128", "ComplexDoubleStorage", 16},
                                            {"complex64", "ComplexFloatStorage", 8},
                                            {"int64", "LongStorage", 8},
                                            {"int32", "IntStorage", 4},
                                            {"int16", "ShortStorage", 2},
                                            {"int8", "CharStorage", 1},
                                            {"uint8", "ByteStorage", 1},
                                            {"bool", "BoolStorage", 1}}};

const DTypeRow& row(DType dtype) noexcept { return kDTypes[static_cast<std::size_t>(dtype)]; }

constexpr std::int64_t kMaxElements = std::int64_t{1} << 58;  // times 16 bytes still fits 63 bits

/// Copies the elements of `view` from dimension `dim` on, in row-major order. Returns the end of
/// the output.
std::byte* copy_strided(const TensorView& view, std::size_t dim, const std::byte* source,
                        std::byte* out) {
  const std::size_t element = element_size(view.dtype());
  if (dim == view.shape.size()) {
    std::memcpy(out, source, element);
    return out + element;
  }
  const auto step =
      static_cast<std::ptrdiff_t>(view.stride[dim]) * static_cast<std::ptrdiff_t>(element);
  const bool innermost = dim + 1 == view.shape.size();
  if (innermost && view.stride[dim] == 1) {
    const std::size_t run = static_cast<std::size_t>(view.shape[dim]) * element;
    std::memcpy(out, source, run);
    return out + run;
  }
  for (std::int64_t i = 0; i < view.shape[dim]; ++i, source += step)
    out = copy_strided(view, dim + 1, source, out);
  return out;
}

template <class T>
void negate_integers(std::span<std::byte> bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(T)) {
    T value;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    value = static_cast<T>(std::uint64_t{0} - static_cast<std::uint64_t>(value));
    std::memcpy(bytes.data() + at, &value, sizeof value);
  }
}

/// `bytes` holds whole elements. Of floating-point numbers only the sign bit changes.
void change_signs(std::span<std::byte> bytes, DType dtype, bool negative, bool conjugate) {
  const std::size_t element = element_size(dtype);
  const bool complex = dtype == DType::kComplex64 || dtype == DType::kComplex128;
  switch (dtype) {
    case DType::kInt64:
      return negate_integers<std::uint64_t>(bytes);
    case DType::kInt32:
      return negate_integers<std::uint32_t>(bytes);
    case DType::kInt16:
      return negate_integers<std::uint16_t>(bytes);
    case DType::kInt8:
    case DType::kUInt8:
      return negate_integers<std::uint8_t>(bytes);
    default:
      break;
  }
  const std::size_t part = complex ? element / 2 : element;
  for (std::size_t at = 0; at < bytes.size(); at += part) {
    const bool imaginary = complex && at % element != 0;
    if (negative != (conjugate && imaginary)) bytes[at + part - 1] ^= std::byte{0x80};
  }
}

}  // namespace

std::size_t element_size(DType dtype) noexcept { return row(dtype).size; }
std::string_view dtype_name(DType dtype) noexcept { return row(dtype).name; }
std::string_view storage_class(DType dtype) noexcept { return row(dtype).storage_class; }

bool storage_dtype(std::string_view storage_class, DType& dtype) noexcept {
  const auto found = std::ranges::find(kDTypes, storage_class, &DTypeRow::storage_class);
  if (found == kDTypes.end()) return false;
  dtype = static_cast<DType>(found - kDTypes.begin());
  return true;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return concat('[', join(shape, ", "), ']');
}

void Checksum::compare(std::uint32_t found) const {
  if (found == crc) return;
  throw FormatError(
      where, concat("damaged: CRC-32 ", hexadecimal(found, 8), ", expected ", hexadecimal(crc, 8)));
}

Storage::Storage(DType dtype, std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                 std::optional<Checksum> checksum)
    : dtype_(dtype),
      size_(bytes.size()),
      bytes_(bytes),
      owner_(std::move(owner)),
      checksum_(std::move(checksum)) {}

Storage::Storage(DType dtype, std::span<const std::byte> bytes,
                 std::shared_ptr<const MappedFile> file, std::optional<Checksum> checksum)
    : Storage(dtype, bytes, std::shared_ptr<const void>(file), std::move(checksum)) {
  mapped_ = file->is_mapped();
}

std::shared_ptr<const Storage> Storage::computed(DType dtype, std::uint64_t numel,
                                                 std::function<void(const Sink&)> produce) {
  auto storage =
      std::make_shared<Storage>(dtype, std::span<const std::byte>{}, std::shared_ptr<const void>{});
  storage->size_ = numel * element_size(dtype);
  storage->produce_ = std::move(produce);
  return storage;
}

std::shared_ptr<const MappedFile> Storage::mapped_file() const {
  return mapped_ ? std::static_pointer_cast<const MappedFile>(owner_) : nullptr;
}

void Storage::release_pages() const noexcept {
  if (mapped_) drop_pages(bytes_);
}

std::shared_ptr<const Storage> Storage::copy_of(DType dtype, std::span<const std::byte> bytes) {
  auto memory = std::make_shared<std::vector<std::byte>>(bytes.begin(), bytes.end());
  const std::span<const std::byte> copy = *memory;
  return std::make_shared<const Storage>(dtype, copy, std::move(memory));
}

std::span<const std::byte> Storage::bytes() const {
  std::call_once(ready_, [this] {
    if (checksum_) checksum_->compare(crc32(bytes_));
    if (!produce_) return;
    auto memory = std::make_shared<std::vector<std::byte>>();
    memory->reserve(size_);
    produce_([&](std::span<const std::byte> piece) {
      memory->insert(memory->end(), piece.begin(), piece.end());
    });
    bytes_ = *memory;
    owner_ = std::move(memory);
  });
  return bytes_;
}

void Storage::stream(const Sink& sink) const {
  if (produce_) return produce_(sink);
  constexpr std::size_t kPiece = std::size_t{4} << 20;
  std::uint32_t crc = 0;
  for (std::size_t at = 0; at < bytes_.size(); at += kPiece) {
    const auto piece = bytes_.subspan(at, std::min(kPiece, bytes_.size() - at));
    if (checksum_) crc = crc32(piece, crc);
    sink(piece);
    if (mapped_) drop_pages(piece);
  }
  if (checksum_) checksum_->compare(crc);
}

std::int64_t TensorView::numel() const noexcept {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

bool TensorView::is_contiguous() const noexcept {
  if (numel() <= 1) return true;
  std::int64_t expected = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && stride[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

std::span<const std::byte> TensorView::contiguous_bytes(std::vector<std::byte>& scratch) const {
  const auto all = storage->bytes();
  if (numel() == 0) return {};
  const std::uint64_t start = static_cast<std::uint64_t>(offset) * element_size(dtype());
  if (is_contiguous()) return all.subspan(start, size_bytes());
  scratch.resize(size_bytes());
  copy_strided(*this, 0, all.data() + start, scratch.data());
  return scratch;
}

TensorView TensorView::contiguous(std::shared_ptr<const Storage> storage,
                                  std::vector<std::int64_t> shape) {
  TensorView view{std::move(storage), 0, std::move(shape), {}, false};
  view.stride = row_major_stride(view.shape);
  return view;
}

TensorView with_signs_changed(const TensorView& view, bool negative, bool conjugate) {
  if (view.numel() == 0 || (!negative && !conjugate)) return view;
  std::int64_t span = 1;
  for (std::size_t i = 0; i < view.shape.size(); ++i) span += (view.shape[i] - 1) * view.stride[i];
  TensorView changed = view;
  changed.offset = 0;
  changed.storage = Storage::computed(
      view.dtype(), static_cast<std::uint64_t>(span),
      [view, span, negative, conjugate](const Storage::Sink& sink) {
        constexpr std::size_t kPiece = std::size_t{1} << 20;
        const std::size_t element = element_size(view.dtype());
        auto rest = view.storage->bytes().subspan(static_cast<std::size_t>(view.offset) * element,
                                                  static_cast<std::size_t>(span) * element);
        std::vector<std::byte> piece;
        for (; !rest.empty(); rest = rest.subspan(piece.size())) {
          piece.assign(rest.begin(),
                       rest.begin() + static_cast<std::ptrdiff_t>(std::min(kPiece, rest.size())));
          change_signs(piece, view.dtype(), negative, conjugate);
          sink(piece);
        }
      });
  return changed;
}

std::string shape_problem(std::span<const std::int64_t> shape) {
  if (shape.size() > kMaxRank)
    return concat(shape.size(), " dimensions, at most ", kMaxRank, " expected");
  std::int64_t numel = 1;
  for (const std::int64_t size : shape) {
    if (size < 0) return concat("negative size ", size);
    if (__builtin_mul_overflow(numel, std::max<std::int64_t>(size, 1), &numel) ||
        numel > kMaxElements)
      return "the number of elements overflows";
  }
  return {};
}

std::string view_problem(std::int64_t offset, std::span<const std::int64_t> shape,
                         std::span<const std::int64_t> stride, std::uint64_t storage_numel) {
  if (shape.size() != stride.size())
    return concat(shape.size(), " dimensions but ", stride.size(), " strides");
  if (std::string problem = shape_problem(shape); !problem.empty()) return problem;
  if (offset < 0) return concat("negative storage offset ", offset);
  bool empty = false;
  std::int64_t numel = 1, last = offset;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (stride[i] < 0) return concat("negative stride ", stride[i]);
    empty = empty || shape[i] == 0;
    numel *= shape[i];
  }
  if (!empty) {
    for (std::size_t i = 0; i < shape.size(); ++i) {
      std::int64_t reach = 0;
      if (__builtin_mul_overflow(shape[i] - 1, stride[i], &reach) ||
          __builtin_add_overflow(last, reach, &last))
        return "the strides overflow";
    }
    if (static_cast<std::uint64_t>(last) >= storage_numel)
      return concat("element ", last, " lies beyond its storage of ", storage_numel, " elements");
    // Overlapping views (stride 0, expand) can claim far more elements than the file holds. A copy
    // would fill the memory.
    if (static_cast<std::uint64_t>(numel) > storage_numel && numel > (std::int64_t{1} << 20))
      return concat(numel, " elements are claimed of a storage of ", storage_numel);
  } else if (static_cast<std::uint64_t>(offset) > storage_numel) {
    return concat("offset ", offset, " lies beyond its storage of ", storage_numel, " elements");
  }
  return {};
}

std::vector<std::int64_t> row_major_stride(std::span<const std::int64_t> shape) {
  std::vector<std::int64_t> stride(shape.size());
  std::int64_t step = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    stride[i] = step;
    step *= std::max<std::int64_t>(shape[i], 1);
  }
  return stride;
}

}  // namespace compat
