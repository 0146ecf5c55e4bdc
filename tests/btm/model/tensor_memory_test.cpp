#include "btm/model/tensor_memory.h"

#include <ATen/ops/full.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

namespace btm {
namespace {

TEST(TensorMemory, ZeroesLazilyWhateverTheSize) {
  for (const std::int64_t size : {0, 1, 100, 5000, 1 << 20}) {
    const at::Tensor tensor = at::full({size + 2}, 3.0);
    zero_lazily(tensor.narrow(0, 1, size));
    EXPECT_EQ(tensor.count_nonzero().item<std::int64_t>(), 2) << size;
  }
}

// A program installs the allocator at its start. Here tensors of both allocators exist together.
TEST(TensorMemory, TensorsInTheArenaComputeAsOthers) {
  at::manual_seed(3);
  const at::Tensor outside = at::randn({1024, 1024});
  use_page_arena(MemoryUse::kEvaluation);
  const at::Tensor inside = outside.clone();
  EXPECT_TRUE(at::gelu(inside).equal(at::gelu(outside)));  // oneDNN allocates its own memory
  EXPECT_TRUE(inside.mm(inside).equal(outside.mm(outside)));
  zero_lazily(inside);
  EXPECT_EQ(inside.count_nonzero().item<std::int64_t>(), 0);
  EXPECT_TRUE(at::full({10}, 1.0).sum().item<double>() == 10);
}

}  // namespace
}  // namespace btm
