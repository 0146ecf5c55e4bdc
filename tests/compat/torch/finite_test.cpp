#include "compat/torch/finite.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace compat {
namespace {

template <class T>
std::optional<std::uint64_t> first(const std::vector<T>& values, DType dtype) {
  return first_not_finite(std::as_bytes(std::span(values)), dtype);
}

TEST(Finite, FindsTheFirstOfEveryType) {
  for (const std::size_t at : {0, 1, 1023, 1024, 4000}) {
    std::vector<float> floats(4001, std::numeric_limits<float>::max());
    std::vector<double> doubles(4001, -std::numeric_limits<double>::max());
    std::vector<std::uint16_t> halves(4001, 0xfbff),
        bfloats(4001, 0xff7f);  // the lowest finite value
    EXPECT_EQ(first(floats, DType::kFloat32), std::nullopt);
    EXPECT_EQ(first(doubles, DType::kFloat64), std::nullopt);
    EXPECT_EQ(first(halves, DType::kFloat16), std::nullopt);
    EXPECT_EQ(first(bfloats, DType::kBFloat16), std::nullopt);
    floats[at] = doubles[at] = -INFINITY;
    floats.back() = NAN;
    halves[at] = 0x7c00;
    bfloats[at] = 0xffc0;
    EXPECT_EQ(first(floats, DType::kFloat32), at);
    EXPECT_EQ(first(doubles, DType::kFloat64), at);
    EXPECT_EQ(first(halves, DType::kFloat16), at);
    EXPECT_EQ(first(bfloats, DType::kBFloat16), at);
  }
  EXPECT_EQ(first(std::vector<std::int64_t>{-1}, DType::kInt64), std::nullopt);
  EXPECT_EQ(first(std::vector<float>{}, DType::kFloat32), std::nullopt);
}

TEST(Finite, NamesFileTensorAndElement) {
  const std::vector<float> values{1, -INFINITY, NAN};
  const auto bytes = std::as_bytes(std::span(values));
  btm_test::expect_error<FormatError>(
      [&] { check_finite(bytes, DType::kFloat32, "a.pt", "w\x1b", 10); },
      "a.pt: 'w\\x1b' holds inf at element 11");
  btm_test::expect_error<FormatError>(
      [&] { check_finite(bytes.subspan(8), DType::kFloat32, "a.pt", "w"); },
      "a.pt: 'w' holds nan at element 0");
  const std::vector<std::uint16_t> half{0x7c01};
  btm_test::expect_error<FormatError>(
      [&] { check_finite(std::as_bytes(std::span(half)), DType::kFloat16, "a.pt", "w"); },
      "holds nan");
  check_finite(bytes.first(4), DType::kFloat32, "a.pt", "w");
}

TEST(Finite, KnowsTheBufferThatMayHoldAnything) {
  EXPECT_TRUE(is_unset_buffer("decoder.embed_positions._float_tensor"));
  EXPECT_FALSE(is_unset_buffer("decoder.not_float_tensor"));
}

}  // namespace
}  // namespace compat
