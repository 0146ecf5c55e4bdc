#include "btm/merge/tensor_stack.h"

#include <algorithm>
#include <cstring>

#include "compat/crc32.h"
#include "compat/half_float.h"
#include "compat/mapped_file.h"

namespace btm {
namespace {

using compat::DType;

template <class Stored, class Convert>
void convert_to(std::span<const std::byte> bytes, std::span<float> out, Convert convert) {
  const auto* const in = reinterpret_cast<const Stored*>(bytes.data());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = convert(in[i]);
}

template <class Stored, class Convert>
void convert_from(std::span<const float> values, std::vector<std::byte>& out, Convert convert) {
  auto* const stored = reinterpret_cast<Stored*>(out.data());
  for (std::size_t i = 0; i < values.size(); ++i) stored[i] = convert(values[i]);
}

void load_floats(std::span<const std::byte> bytes, DType dtype, std::span<float> out) {
  switch (dtype) {
    case DType::kFloat64: return convert_to<double>(bytes, out, [](double x) { return static_cast<float>(x); });
    case DType::kFloat16: return convert_to<std::uint16_t>(bytes, out, compat::float_of_half);
    case DType::kBFloat16: return convert_to<std::uint16_t>(bytes, out, compat::float_of_bfloat16);
    default: std::memcpy(out.data(), bytes.data(), bytes.size());
  }
}

}  // namespace

bool is_floating(DType dtype) noexcept {
  return dtype == DType::kFloat64 || dtype == DType::kFloat32 || dtype == DType::kFloat16 || dtype == DType::kBFloat16;
}

void store_floats(std::span<const float> values, DType dtype, std::vector<std::byte>& out) {
  out.resize(values.size() * compat::element_size(dtype));
  switch (dtype) {
    case DType::kFloat64: return convert_from<double>(values, out, [](float x) { return static_cast<double>(x); });
    case DType::kFloat16: return convert_from<std::uint16_t>(values, out, compat::half_of_float);
    case DType::kBFloat16: return convert_from<std::uint16_t>(values, out, compat::bfloat16_of_float);
    default: std::memcpy(out.data(), values.data(), out.size());
  }
}

TensorStack::TensorStack(std::string name, std::vector<const compat::TensorView*> views) : name_(std::move(name)) {
  numel_ = views.front()->numel();
  for (const compat::TensorView* view : views) {
    Source& source = sources_.emplace_back();
    source.view = view;
    const auto all = view->storage->unverified_bytes();
    const auto aligned = [&] { return reinterpret_cast<std::uintptr_t>(all.data()) % compat::element_size(view->dtype()) == 0; };
    if (view->is_contiguous() && view->size_bytes() == all.size() && aligned()) {
      source.bytes = all;
      source.sum_pieces = view->storage->checksum().has_value();
      if (source.sum_pieces) source.crcs.resize(pieces());
      continue;
    }
    // A part of a storage, or a transposed one: rare, and small enough to copy.
    const auto bytes = view->contiguous_bytes(source.copy);
    if (source.copy.empty()) source.copy.assign(bytes.begin(), bytes.end());
    source.bytes = source.copy;
    view->storage->release_pages();
  }
}

std::span<const std::byte> TensorStack::piece_bytes(const Source& source, std::size_t piece) const {
  const auto element = compat::element_size(source.view->dtype());
  const auto begin = static_cast<std::int64_t>(piece) * kPieceElements;
  const auto count = std::min(kPieceElements, numel_ - begin);
  return source.bytes.subspan(static_cast<std::size_t>(begin) * element, static_cast<std::size_t>(count) * element);
}

std::span<const float> TensorStack::read(std::size_t model, std::size_t piece, std::vector<float>& scratch) const {
  const Source& source = sources_[model];
  const auto bytes = piece_bytes(source, piece);
  if (source.sum_pieces) source.crcs[piece] = compat::crc32(bytes);
  const DType dtype = source.view->dtype();
  const std::size_t count = bytes.size() / compat::element_size(dtype);
  if (dtype == DType::kFloat32) return {reinterpret_cast<const float*>(bytes.data()), count};
  scratch.resize(count);
  load_floats(bytes, dtype, scratch);
  return scratch;
}

void TensorStack::release(std::size_t piece) const noexcept {
  constexpr std::size_t kPage = 4096;
  for (const Source& source : sources_) {
    if (!source.copy.empty() || !source.view->storage->is_mapped()) continue;
    const auto bytes = piece_bytes(source, piece);
    // From a page before on: the page that two pieces share lies wholly inside neither.
    const auto before = std::min<std::size_t>(kPage, static_cast<std::size_t>(bytes.data() - source.bytes.data()));
    compat::drop_pages({bytes.data() - before, bytes.size() + before});
  }
}

void TensorStack::check() const {
  for (const Source& source : sources_) {
    if (!source.sum_pieces) continue;
    std::uint32_t crc = 0;
    for (std::size_t piece = 0; piece < pieces(); ++piece)
      crc = compat::crc32_joined(crc, source.crcs[piece], piece_bytes(source, piece).size());
    source.view->storage->checksum()->compare(crc);
  }
}

}  // namespace btm
