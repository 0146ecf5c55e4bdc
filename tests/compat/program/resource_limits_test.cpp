#include "compat/program/resource_limits.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <fstream>

#include "tests/support/files.h"

namespace compat {
namespace {

using btm_test::TempDir;

void write(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

TEST(CpuQuota, IsTheSmallestOfTheGroupAndThoseAroundIt) {
  const TempDir dir;
  write(dir / "cpu.max", "max 100000\n");
  write(dir / "a/cpu.max", "150000 100000\n");
  write(dir / "a/b/cpu.max", "400000 100000\n");
  EXPECT_EQ(cpu_quota("0::/a/b\n", dir.path()), 1.5);
  EXPECT_EQ(cpu_quota("0::/a\n", dir.path()), 1.5);
  EXPECT_EQ(cpu_quota("0::/\n", dir.path()), std::nullopt);
  EXPECT_EQ(cpu_quota("0::/of/the/host\n", dir.path()), std::nullopt);
}

TEST(CpuQuota, IsReadInVersion1) {
  const TempDir dir;
  write(dir / "cpu,cpuacct/job/cpu.cfs_quota_us", "50000\n");
  write(dir / "cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  write(dir / "cpu/cpu.cfs_quota_us", "-1\n");
  write(dir / "cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cpu_quota("5:memory:/job\n3:cpu,cpuacct:/job\n", dir.path()), 0.5);
  EXPECT_EQ(cpu_quota("3:cpu:/elsewhere\n", dir.path()), std::nullopt);
  EXPECT_EQ(cpu_quota("5:cpuset:/job\n", dir.path()), std::nullopt);
}

TEST(CpuQuota, IsNotTakenFromWhatIsNoQuota) {
  const TempDir dir;
  for (const char* const text : {"", "x y\n", "0 100000\n", "100000 0\n", "1 2 3\n", "-5 100000"}) {
    write(dir / "cpu.max", text);
    EXPECT_EQ(cpu_quota("0::/\n", dir.path()), std::nullopt) << text;
  }
  EXPECT_EQ(cpu_quota("nonsense\n::\n", dir.path()), std::nullopt);
}

TEST(MemoryLimit, IsTheSmallestOfTheGroupAndThoseAroundIt) {
  const TempDir dir;
  write(dir / "memory.max", "max\n");
  write(dir / "a/memory.max", "1048576\n");
  write(dir / "memory/job/memory.limit_in_bytes", "4096\n");
  EXPECT_EQ(memory_limit("0::/a\n", dir.path()), 1048576);
  EXPECT_EQ(memory_limit("0::/\n", dir.path()), std::nullopt);
  EXPECT_EQ(memory_limit("4:memory:/job\n0::/a\n", dir.path()), 4096);
}

TEST(UsableMemory, IsKnown) { EXPECT_GT(usable_memory(), 1U << 20); }

TEST(UsableCores, FollowTheAffinity) {
  cpu_set_t before, one;
  CPU_ZERO(&before);
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  EXPECT_GE(usable_cores(), 1);
  EXPECT_LE(usable_cores(), CPU_COUNT(&before));
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu)
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(usable_cores(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}

}  // namespace
}  // namespace compat
