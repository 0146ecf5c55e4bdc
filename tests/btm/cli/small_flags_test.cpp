// The flags that several commands share: ranks, and the temperature of a cluster model.
#include <gtest/gtest.h>

#include "btm/cli/cluster_flags.h"
#include "btm/cli/distributed_flags.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/flag_table.h"

namespace btm {
namespace {

using btm_test::expect_error;

DistributedOptions ranks(const std::vector<std::string>& args) {
  DistributedOptions options;
  btm_test::parsed({"p", "", {}, {distributed_flags(options)}, {}}, args);
  return options;
}

TEST(DistributedFlags, SetTheirFields) {
  const DistributedOptions none = ranks({});
  EXPECT_EQ(none.world_size, 0);
  EXPECT_EQ(none.rank, -1);
  const DistributedOptions all =
      ranks({"--distributed-world-size", "8", "--distributed-init-method", "tcp://h:1",
             "--distributed-rank", "4", "--distributed-port", "-1", "--nprocs-per-node", "2",
             "--device-id", "1", "--distributed-no-spawn"});
  EXPECT_EQ(all.world_size, 8);
  EXPECT_EQ(all.init_method, "tcp://h:1");
  EXPECT_EQ(all.rank, 4);
  EXPECT_EQ(all.port, -1);
  EXPECT_EQ(all.nprocs_per_node, 2);
  EXPECT_EQ(all.device_id, 1);
  EXPECT_TRUE(all.no_spawn);
  // torch.distributed.launch writes --local_rank, torchrun's users --local-rank.
  EXPECT_EQ(ranks({"--local_rank", "3"}).device_id, 3);
  EXPECT_EQ(ranks({"--local-rank=3", "--device-id=2"}).device_id, 2);
}

TEST(DistributedFlags, RefuseNumbersOutOfRange) {
  const std::vector<std::pair<std::vector<std::string>, const char*>> rows{
      {{"--distributed-world-size", "0"}, "0, expected at least 1"},
      {{"--distributed-world-size", "two"}, "'two', expected an integer"},
      {{"--distributed-rank", "-1"}, "-1, expected at least 0"},
      {{"--distributed-port", "-2"}, "-2, expected at least -1"},
      {{"--nprocs-per-node", "0"}, "0, expected at least 1"},
      {{"--local_rank", "-1"}, "-1, expected at least 0"},
      {{"--distributed-no-spawn=1"}, "takes no value"},
      {{"--distributed-init-method"}, "needs a value"},
      {{"--distributed-word-size", "2"}, "did you mean --distributed-world-size?"},
  };
  for (const auto& [args, phrase] : rows) {
    SCOPED_TRACE(args[0]);
    expect_error<compat::UsageError>([&args = args] { ranks(args); }, phrase);
  }
}

double temperature(const std::string& text) {
  double field = 0.1;
  btm_test::parsed({"p", "", {}, {{"Group", {temperature_flag(field)}}}, {}},
                   {"--temperature", text});
  return field;
}

TEST(TemperatureFlag, TakesANumberAbove0) {
  EXPECT_EQ(temperature("0.5"), 0.5);
  EXPECT_EQ(temperature("1e-300"), 1e-300);
  double field = 0.1;
  EXPECT_EQ(temperature_flag(field).default_text, "0.1");
  for (const char* const bad : {"0", "-1", "-0.0", "nan", "inf", "1e999", "x", "0.1x", "0,1"}) {
    SCOPED_TRACE(bad);
    expect_error<compat::UsageError>(
        [&] { temperature(bad); },
        "flag --temperature: '" + std::string(bad) + "', expected a number");
  }
}

}  // namespace
}  // namespace btm
