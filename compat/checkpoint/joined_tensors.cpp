#include "compat/checkpoint/joined_tensors.h"

#include <utility>
#include <vector>

#include "compat/base/concat.h"

namespace compat {
namespace {

using Shape = std::vector<std::int64_t>;

/// Sums the sizes of `axis` into `shape`. The other sizes and the types have to be equal, and the
/// elements of all pieces together must not overflow.
std::string join_shapes(std::span<const TensorView> pieces, std::size_t axis, Shape& shape) {
  shape = pieces.front().shape;
  if (shape.size() <= axis) return "has a piece of shape " + compat::shape_text(shape);
  for (const TensorView& piece : pieces.subspan(1)) {
    Shape other = piece.shape;
    if (other.size() == shape.size()) {
      if (__builtin_add_overflow(shape[axis], other[axis], &shape[axis]))
        return "has pieces whose sizes overflow";
      other[axis] = shape[axis];
    }
    if (other != shape || piece.dtype() != pieces.front().dtype())
      return concat("has pieces of ", dtype_name(pieces.front().dtype()), ' ',
                    compat::shape_text(pieces.front().shape), " and of ", dtype_name(piece.dtype()),
                    ' ', compat::shape_text(piece.shape));
  }
  const std::string problem = shape_problem(shape);
  return problem.empty()
             ? problem
             : concat("has the joined shape ", compat::shape_text(shape), ": ", problem);
}

TensorView computed(DType dtype, Shape shape, std::function<void(const Storage::Sink&)> produce) {
  std::uint64_t numel = 1;
  for (const std::int64_t size : shape) numel *= static_cast<std::uint64_t>(size);
  return TensorView::contiguous(Storage::computed(dtype, numel, std::move(produce)),
                                std::move(shape));
}

}  // namespace

TensorView rows_of(const TensorView& view, std::int64_t from, std::int64_t count) {
  TensorView part = view;
  part.offset += from * view.stride[0];
  part.shape[0] = count;
  return part;
}

std::string join_rows(std::span<const TensorView> pieces, TensorView& out) {
  Shape shape;
  if (std::string problem = join_shapes(pieces, 0, shape); !problem.empty()) return problem;
  if (pieces.size() == 1) {
    out = pieces.front();
    return {};
  }
  out = computed(pieces.front().dtype(), std::move(shape),
                 [kept = std::vector(pieces.begin(), pieces.end())](const Storage::Sink& sink) {
                   std::vector<std::byte> scratch;
                   for (const TensorView& piece : kept) sink(piece.contiguous_bytes(scratch));
                 });
  return {};
}

std::string join_columns(std::span<const TensorView> pieces, TensorView& out) {
  Shape shape;
  if (std::string problem = join_shapes(pieces, 1, shape); !problem.empty()) return problem;
  if (shape.size() != 2) return "has a piece of shape " + compat::shape_text(pieces.front().shape);
  if (pieces.size() == 1) {
    out = pieces.front();
    return {};
  }
  const DType dtype = pieces.front().dtype();
  const auto rows = static_cast<std::size_t>(shape[0]);
  out = computed(
      dtype, std::move(shape),
      [rows, kept = std::vector(pieces.begin(), pieces.end())](const Storage::Sink& sink) {
        std::vector<std::vector<std::byte>> scratch(kept.size());
        std::vector<std::span<const std::byte>> bytes;
        for (std::size_t i = 0; i < kept.size(); ++i)
          bytes.push_back(kept[i].contiguous_bytes(scratch[i]));
        std::vector<std::byte> row;
        for (std::size_t r = 0; r < rows; ++r) {
          row.clear();
          for (const auto piece : bytes) {
            const auto part = piece.subspan(r * (piece.size() / rows), piece.size() / rows);
            row.insert(row.end(), part.begin(), part.end());
          }
          sink(row);
        }
      });
  return {};
}

}  // namespace compat
