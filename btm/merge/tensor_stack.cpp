#include "btm/merge/tensor_stack.h"

#include <algorithm>
#include <cstring>

#include "btm/model/clones.h"
#include "compat/base/parallel.h"
#include "compat/io/crc32.h"
#include "compat/io/mapped_file.h"
#include "compat/torch/half_float.h"

namespace btm {
namespace {

using compat::DType;

// Loops for which the processor's widest vectors pay.
BTM_CLONES("avx2") void load_halves(const std::uint16_t* in, float* out, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) out[i] = compat::float_of_half(in[i]);
}
BTM_CLONES("avx2") void load_bfloats(const std::uint16_t* in, float* out, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) out[i] = compat::float_of_bfloat16(in[i]);
}
BTM_CLONES("avx2") void store_halves(const float* in, std::uint16_t* out, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) out[i] = compat::half_of_float(in[i]);
}
BTM_CLONES("avx2") void store_bfloats(const float* in, std::uint16_t* out, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) out[i] = compat::bfloat16_of_float(in[i]);
}

void load_floats(std::span<const std::byte> bytes, DType dtype, std::span<float> out) {
  const auto* const halves = reinterpret_cast<const std::uint16_t*>(bytes.data());
  if (dtype == DType::kFloat16)
    load_halves(halves, out.data(), out.size());
  else if (dtype == DType::kBFloat16)
    load_bfloats(halves, out.data(), out.size());
  else
    std::copy_n(reinterpret_cast<const double*>(bytes.data()), out.size(), out.data());
}

}  // namespace

bool is_floating(DType dtype) noexcept {
  return dtype == DType::kFloat64 || dtype == DType::kFloat32 || dtype == DType::kFloat16 ||
         dtype == DType::kBFloat16;
}

void store_floats(std::span<const float> values, DType dtype, std::vector<std::byte>& out) {
  out.resize(values.size() * compat::element_size(dtype));
  auto* const halves = reinterpret_cast<std::uint16_t*>(out.data());
  if (dtype == DType::kFloat16)
    store_halves(values.data(), halves, values.size());
  else if (dtype == DType::kBFloat16)
    store_bfloats(values.data(), halves, values.size());
  else if (dtype == DType::kFloat64)
    std::ranges::copy(values, reinterpret_cast<double*>(out.data()));
  else
    std::memcpy(out.data(), values.data(), out.size());
}

TensorStack::TensorStack(std::string name, std::vector<const compat::TensorView*> views,
                         bool whole_rows)
    : name_(std::move(name)) {
  numel_ = views.front()->numel();
  if (const auto& shape = views.front()->shape; whole_rows && !shape.empty() && numel_ > 0)
    piece_elements_ = std::max<std::int64_t>(1, kPieceElements / shape.back()) * shape.back();
  for (const compat::TensorView* view : views) {
    Source& source = sources_.emplace_back();
    source.view = view;
    const auto all = view->storage->unverified_bytes();
    const auto aligned = [&] {
      return reinterpret_cast<std::uintptr_t>(all.data()) % compat::element_size(view->dtype()) ==
             0;
    };
    if (view->is_contiguous() && view->size_bytes() == all.size() && aligned()) {
      source.bytes = all;
      source.sum_pieces = view->storage->checksum().has_value();
      if (source.sum_pieces) source.crcs.resize(pieces());
      continue;
    }
    // A part of a storage, or a transposed view: rare, and small enough to copy.
    const auto bytes = view->contiguous_bytes(source.copy);
    if (source.copy.empty()) source.copy.assign(bytes.begin(), bytes.end());
    source.bytes = source.copy;
    view->storage->release_pages();
  }
}

std::span<const std::byte> TensorStack::piece_bytes(const Source& source, std::size_t piece) const {
  const auto element = compat::element_size(source.view->dtype());
  const auto begin = static_cast<std::int64_t>(piece) * piece_elements_;
  const auto count = std::min(piece_elements_, numel_ - begin);
  return source.bytes.subspan(static_cast<std::size_t>(begin) * element,
                              static_cast<std::size_t>(count) * element);
}

std::span<const std::byte> TensorStack::raw(std::size_t model, std::size_t piece) const {
  const Source& source = sources_[model];
  const auto bytes = piece_bytes(source, piece);
  if (source.sum_pieces) source.crcs[piece] = compat::crc32(bytes);
  return bytes;
}

std::span<const float> TensorStack::read(std::size_t model, std::size_t piece,
                                         std::vector<float>& scratch) const {
  const auto bytes = raw(model, piece);
  const DType dtype = sources_[model].view->dtype();
  const std::size_t count = bytes.size() / compat::element_size(dtype);
  if (dtype == DType::kFloat32) return {reinterpret_cast<const float*>(bytes.data()), count};
  scratch.resize(count);
  load_floats(bytes, dtype, scratch);
  return scratch;
}

void TensorStack::release(std::size_t piece) const noexcept {
  constexpr std::size_t kAround = 65536;
  for (const Source& source : sources_) {
    if (!source.copy.empty() || !source.view->storage->is_mapped()) continue;
    const auto bytes = piece_bytes(source, piece);
    // Pages before the piece as well: Linux maps pages around the one that is touched, and two
    // pieces may share a page.
    const auto before = std::min<std::size_t>(
        kAround, static_cast<std::size_t>(bytes.data() - source.bytes.data()));
    compat::drop_pages({bytes.data() - before, bytes.size() + before});
  }
}

void TensorStack::release() const noexcept {
  for (const Source& source : sources_) source.view->storage->release_pages();
}

void for_each_piece(const TensorStack& stack, int threads,
                    const std::function<void(std::size_t piece, int thread)>& work) {
  compat::for_each_piece(stack.pieces(), threads, [&](std::size_t piece, int thread) {
    work(piece, thread);
    stack.release(piece);
  });
  stack.release();
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
