// One tensor of several models, read in pieces as floats.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "compat/torch/tensor.h"

namespace btm {

/// Elements in a piece: small enough for a core's cache with a few models, large enough to write
/// well.
inline constexpr std::int64_t kPieceElements = std::int64_t{1} << 17;

class TensorStack {
 public:
  /// Views of equal shape. read() is for floating-point dtypes. With `whole_rows` a piece ends
  /// where a row ends, and has one row at least.
  TensorStack(std::string name, std::vector<const compat::TensorView*> views,
              bool whole_rows = false);

  const std::string& name() const noexcept { return name_; }
  std::size_t models() const noexcept { return sources_.size(); }
  std::int64_t numel() const noexcept { return numel_; }
  const std::vector<std::int64_t>& shape() const noexcept { return sources_.front().view->shape; }
  /// The length of the last dimension; 1 of a tensor without dimensions.
  std::int64_t row() const noexcept { return shape().empty() ? 1 : shape().back(); }
  std::size_t pieces() const noexcept {
    return static_cast<std::size_t>((numel_ + piece_elements_ - 1) / piece_elements_);
  }
  /// The number of a piece's first element.
  std::uint64_t begin(std::size_t piece) const noexcept {
    return static_cast<std::uint64_t>(piece) * static_cast<std::uint64_t>(piece_elements_);
  }

  /// Values of one model's piece: in place where the file holds floats, otherwise in `scratch`.
  /// release() returns the pages to the system. Thread safe for different pieces.
  std::span<const float> read(std::size_t model, std::size_t piece,
                              std::vector<float>& scratch) const;
  /// The same piece as the file has it, in the tensor's dtype.
  std::span<const std::byte> raw(std::size_t model, std::size_t piece) const;
  void release(std::size_t piece) const noexcept;
  void release()
      const noexcept;  ///< For all pieces: pieces that were read together leave some pages behind.

  /// Call it after every piece of every model was read. FormatError when a file's bytes are
  /// damaged.
  void check() const;

 private:
  struct Source {
    const compat::TensorView* view;
    std::span<const std::byte> bytes;  ///< Row-major.
    std::vector<std::byte> copy;       ///< Holds `bytes` of a view that is strided, or not aligned.
    bool sum_pieces =
        false;  ///< The view is a whole storage, so that its checksum can be compared.
    mutable std::vector<std::uint32_t> crcs;
  };
  std::span<const std::byte> piece_bytes(const Source& source, std::size_t piece) const;

  std::string name_;
  std::vector<Source> sources_;
  std::int64_t numel_ = 0, piece_elements_ = kPieceElements;
};

/// The values of a piece of all models of a stack.
struct PieceInputs {
  PieceInputs(const TensorStack& stack, std::size_t piece) : scratch(stack.models()) {
    for (std::size_t i = 0; i < stack.models(); ++i)
      values.push_back(stack.read(i, piece, scratch[i]));
  }
  std::vector<std::vector<float>> scratch;
  std::vector<std::span<const float>> values;
};

/// A pass over a stack: calls work(piece, thread) for all its pieces, as compat::for_each_piece(),
/// and gives their pages back.
void for_each_piece(const TensorStack& stack, int threads,
                    const std::function<void(std::size_t piece, int thread)>& work);

/// Whether tensors of this type are merged.
bool is_floating(compat::DType dtype) noexcept;

/// Replaces `out` by `values` as bytes of `dtype`, rounded to nearest.
void store_floats(std::span<const float> values, compat::DType dtype, std::vector<std::byte>& out);

}  // namespace btm
