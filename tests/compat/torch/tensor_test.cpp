#include "compat/torch/tensor.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

namespace compat {
namespace {

using Sizes = std::vector<std::int64_t>;
using Bytes = std::vector<std::byte>;

std::shared_ptr<const Storage> counting(std::int32_t count) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 0);
  return Storage::copy_of(DType::kInt32, std::as_bytes(std::span(values)));
}

std::vector<std::int32_t> elements(const TensorView& view) {
  Bytes scratch;
  const auto bytes = view.contiguous_bytes(scratch);
  std::vector<std::int32_t> out(bytes.size() / 4);
  if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

TEST(DType, NamesAndStorageClassesGoTogether) {
  EXPECT_EQ(dtype_name(DType::kBFloat16), "bfloat16");
  EXPECT_EQ(element_size(DType::kComplex128), 16U);
  DType dtype = DType::kBool;
  for (const DType each : {DType::kFloat64, DType::kFloat32, DType::kFloat16, DType::kBFloat16,
                           DType::kComplex128, DType::kComplex64, DType::kInt64, DType::kInt32,
                           DType::kInt16, DType::kInt8, DType::kUInt8, DType::kBool}) {
    ASSERT_TRUE(storage_dtype(storage_class(each), dtype));
    EXPECT_EQ(dtype, each);
  }
  EXPECT_FALSE(storage_dtype("QInt8Storage", dtype));
}

TEST(TensorView, GivesContiguousElementsInPlace) {
  const auto view = TensorView::contiguous(counting(6), {2, 3});
  EXPECT_EQ(view.stride, (Sizes{3, 1}));
  EXPECT_TRUE(view.is_contiguous());
  Bytes scratch;
  EXPECT_EQ(view.contiguous_bytes(scratch).data(), view.storage->bytes().data());
  EXPECT_TRUE(scratch.empty());
}

TEST(TensorView, CopiesStridedElementsInOrder) {
  EXPECT_EQ(elements({counting(6), 0, {3, 2}, {1, 3}}),
            (std::vector<std::int32_t>{0, 3, 1, 4, 2, 5}));  // transposed
  EXPECT_EQ(elements({counting(12), 1, {2, 2}, {6, 2}}),
            (std::vector<std::int32_t>{1, 3, 7, 9}));  // every second
  EXPECT_EQ(elements({counting(3), 2, {2, 2}, {0, 0}}),
            (std::vector<std::int32_t>{2, 2, 2, 2}));                             // expanded
  EXPECT_EQ(elements({counting(6), 4, {}, {}}), (std::vector<std::int32_t>{4}));  // a scalar
  EXPECT_TRUE(elements({counting(6), 6, {0, 4}, {4, 1}}).empty());
}

TEST(TensorView, IgnoresTheStrideOfADimensionOfOne) {
  EXPECT_TRUE((TensorView{counting(6), 0, {1, 6}, {77, 1}}.is_contiguous()));
}

TEST(ViewProblem, AcceptsWhatFits) {
  EXPECT_EQ(view_problem(0, Sizes{2, 3}, Sizes{3, 1}, 6), "");
  EXPECT_EQ(view_problem(5, Sizes{}, Sizes{}, 6), "");
  EXPECT_EQ(view_problem(6, Sizes{0}, Sizes{1}, 6), "");
  EXPECT_EQ(view_problem(0, Sizes{1000}, Sizes{0}, 1), "");
}

TEST(ViewProblem, NamesWhatIsWrong) {
  constexpr std::int64_t kBig = std::int64_t{1} << 62;
  struct Row {
    std::int64_t offset;
    Sizes shape, stride;
    std::uint64_t numel;
    const char* phrase;
  };
  const std::vector<Row> rows{
      {0, {2}, {1, 1}, 9, "1 dimensions but 2 strides"},
      {0, Sizes(65, 1), Sizes(65, 1), 9, "65 dimensions, at most 64"},
      {-1, {2}, {1}, 9, "negative storage offset -1"},
      {0, {-2}, {1}, 9, "negative size -2"},
      {0, {2}, {-1}, 9, "negative stride -1"},
      {0, {kBig, 4}, {4, 1}, 9, "the number of elements overflows"},
      {0, {0, kBig, 4}, {1, 4, 1}, 9, "the number of elements overflows"},
      {0, {3}, {kBig}, 9, "the strides overflow"},
      {INT64_MAX, {2}, {1}, 9, "the strides overflow"},
      {0, {10}, {1}, 9, "element 9 lies beyond its storage of 9 elements"},
      {9, {}, {}, 9, "element 9 lies beyond"},
      {10, {0}, {1}, 9, "offset 10 lies beyond"},
      {0, {1 << 22}, {0}, 9, "4194304 elements are claimed of a storage of 9"},
  };
  for (const Row& row : rows) {
    const std::string problem = view_problem(row.offset, row.shape, row.stride, row.numel);
    EXPECT_NE(problem.find(row.phrase), std::string::npos)
        << "found: " << problem << "\nexpected: " << row.phrase;
  }
}

}  // namespace
}  // namespace compat
