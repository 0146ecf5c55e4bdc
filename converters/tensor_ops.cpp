#include "converters/tensor_ops.h"

#include <cmath>
#include <cstring>

#include "compat/torch/half_float.h"

namespace converters {
namespace {

using compat::DType;
using compat::Storage;
using compat::TensorView;

constexpr std::size_t kPiece = std::size_t{1} << 16;

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

float float_at(DType dtype, const std::byte* at) {
  if (dtype == DType::kFloat16) return compat::float_of_half(load<std::uint16_t>(at));
  if (dtype == DType::kBFloat16) return compat::float_of_bfloat16(load<std::uint16_t>(at));
  if (dtype == DType::kFloat64) return static_cast<float>(load<double>(at));
  return load<float>(at);
}

void append(std::vector<std::byte>& out, DType dtype, float value) {
  const auto put = [&](auto stored) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&stored);
    out.insert(out.end(), bytes, bytes + sizeof stored);
  };
  if (dtype == DType::kFloat16)
    put(compat::half_of_float(value));
  else if (dtype == DType::kBFloat16)
    put(compat::bfloat16_of_float(value));
  else if (dtype == DType::kFloat64)
    put(static_cast<double>(value));
  else
    put(value);
}

/// A view's elements in row-major order. A computed storage would keep its bytes; here they are
/// freed with this object. Writing a model so holds one tensor at a time.
class Elements {
 public:
  explicit Elements(const TensorView& view) : storage_(view.storage) {
    TensorView source = view;
    if (view.storage->unverified_bytes().empty() && view.storage->size_bytes() > 0) {
      whole_.reserve(view.storage->size_bytes());
      view.storage->stream([&](std::span<const std::byte> piece) {
        whole_.insert(whole_.end(), piece.begin(), piece.end());
      });
      source.storage = std::make_shared<const Storage>(
          view.dtype(), std::span<const std::byte>(whole_), std::shared_ptr<const void>());
    }
    bytes = source.contiguous_bytes(scratch_);
  }
  ~Elements() { storage_->release_pages(); }
  Elements(const Elements&) = delete;
  Elements& operator=(const Elements&) = delete;

  std::span<const std::byte> bytes;

 private:
  std::shared_ptr<const Storage> storage_;
  std::vector<std::byte> whole_, scratch_;
};

TensorView computed(DType dtype, std::vector<std::int64_t> shape,
                    std::function<void(const Storage::Sink&)> produce) {
  std::uint64_t numel = 1;
  for (const std::int64_t size : shape) numel *= static_cast<std::uint64_t>(size);
  return TensorView::contiguous(Storage::computed(dtype, numel, std::move(produce)),
                                std::move(shape));
}

/// A floating-point tensor of `dtype`, whose elements are `change` of the elements of `view`.
template <class Change>
TensorView mapped(const TensorView& view, DType dtype, Change change) {
  return computed(dtype, view.shape, [view, dtype, change](const Storage::Sink& sink) {
    std::vector<std::byte> out;
    stream_floats(view, [&](std::span<const float> values) {
      out.clear();
      for (const float value : values) append(out, dtype, change(value));
      sink(out);
    });
  });
}

}  // namespace

bool is_floating(DType dtype) noexcept {
  return dtype == DType::kFloat64 || dtype == DType::kFloat32 || dtype == DType::kFloat16 ||
         dtype == DType::kBFloat16;
}

void stream_floats(const TensorView& view,
                   const std::function<void(std::span<const float>)>& sink) {
  const Elements elements(view);
  const auto bytes = elements.bytes;
  const std::size_t element = compat::element_size(view.dtype());
  std::vector<float> values;
  for (std::size_t at = 0; at < bytes.size(); at += kPiece * element) {
    const auto piece = bytes.subspan(at, std::min(kPiece * element, bytes.size() - at));
    values.resize(piece.size() / element);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = float_at(view.dtype(), piece.data() + i * element);
    sink(values);
  }
}

TensorView as_dtype(const TensorView& view, DType dtype) {
  if (view.dtype() == dtype || !is_floating(view.dtype())) return view;
  return mapped(view, dtype, [](float value) { return value; });
}

TensorView scaled(const TensorView& view, double factor) {
  return mapped(view, DType::kFloat32,
                [factor = static_cast<float>(factor)](float value) { return value * factor; });
}

TensorView transposed(const TensorView& view) {
  TensorView turned = view;
  std::swap(turned.shape[0], turned.shape[1]);
  std::swap(turned.stride[0], turned.stride[1]);
  return computed(view.dtype(), turned.shape,
                  [turned](const Storage::Sink& sink) { sink(Elements(turned).bytes); });
}

TensorView joined_rows(const std::vector<TensorView>& parts) {
  std::vector<std::int64_t> shape = parts.front().shape;
  shape[0] = 0;
  for (const TensorView& part : parts) shape[0] += part.shape[0];
  return computed(parts.front().dtype(), shape, [parts](const Storage::Sink& sink) {
    for (const TensorView& part : parts) sink(Elements(part).bytes);
  });
}

TensorView rows(const TensorView& view, std::int64_t from, std::int64_t count) {
  TensorView part = view;
  part.offset += from * view.stride[0];
  part.shape[0] = count;
  return part;
}

TensorView tensor_of(std::span<const float> values, std::vector<std::int64_t> shape) {
  return TensorView::contiguous(Storage::copy_of(DType::kFloat32, std::as_bytes(values)),
                                std::move(shape));
}

TensorView sinusoid_table(std::int64_t row_count, std::int64_t width) {
  return computed(
      DType::kFloat32, {row_count, width}, [row_count, width](const Storage::Sink& sink) {
        const std::int64_t half = width / 2;
        const auto step = static_cast<float>(-std::log(10000.0) / static_cast<double>(half - 1));
        std::vector<float> row(static_cast<std::size_t>(width));
        for (std::int64_t position = 0; position < row_count; ++position) {
          for (std::int64_t i = 0; i < half; ++i) {
            const float angle =
                static_cast<float>(position) * std::exp(static_cast<float>(i) * step);
            row[static_cast<std::size_t>(i)] = position == 1 ? 0 : std::sin(angle);
            row[static_cast<std::size_t>(half + i)] = position == 1 ? 0 : std::cos(angle);
          }
          sink(std::as_bytes(std::span(row)));
        }
      });
}

bool equal_when_scaled(const TensorView& view, const TensorView& other, double factor) {
  if (view.shape != other.shape) return false;
  const Elements elements(view), other_elements(other);
  const auto bytes = elements.bytes, other_bytes = other_elements.bytes;
  const std::size_t element = compat::element_size(view.dtype()),
                    other_element = compat::element_size(other.dtype());
  for (std::size_t i = 0; i * element < bytes.size(); ++i)
    if (float_at(view.dtype(), bytes.data() + i * element) !=
        float_at(other.dtype(), other_bytes.data() + i * other_element) *
            static_cast<float>(factor))
      return false;
  return true;
}

}  // namespace converters
