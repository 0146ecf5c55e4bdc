#include "btm/cli/fitting_experts.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

TEST(ParseMemory, TakesPowersOf1024) {
  EXPECT_EQ(parse_memory("100"), 100);
  EXPECT_EQ(parse_memory("4K"), 4096);
  EXPECT_EQ(parse_memory("1.5G"), 3LL << 29);
  EXPECT_EQ(parse_memory("8GiB"), 8LL << 30);
  EXPECT_EQ(parse_memory("2TB"), 2LL << 40);
}

TEST(ParseMemory, RefusesOtherText) {
  for (const char* bad : {"", "G", "8 G", "-1G", "8Q", "8GG", "1e3", "0", "nan", "99999999999999T"})
    btm_test::expect_error<compat::UsageError>([&] { parse_memory(bad); }, "such as 8G");
}

TEST(MemoryNote, CountsWeightsKeysAndValues) {
  TextModelOptions options;
  options.models = btm_test::golden("checkpoints/seed/checkpoint_last.pt").string() + ":" +
                   btm_test::golden("checkpoints/elm_perl/checkpoint_last.pt").string();
  options.data = btm_test::golden("data-bin").string();
  const FoundModels found = find_models(options, [](const std::string&) {});
  // 243,584 parameters and 2 layers of 64: 2 * 2 * 64 * 4 bytes for a token.
  EXPECT_EQ(memory_note(options, found, 100),
            "memory: 1.0 MB of weights and 1.0 kB of keys and values a token for each of 2 "
            "experts; at most 100 tokens at once, in all 2.2 MB");
  EXPECT_EQ(experts_that_fit(options, found, std::int64_t{2} << 20, 100), 1U);
}

}  // namespace
}  // namespace btm
