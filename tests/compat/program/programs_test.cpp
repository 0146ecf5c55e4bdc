#include "compat/program/programs.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "compat/base/version.h"

namespace compat {
namespace {

TEST(ProgramVersion, IsThatOfTheProject) {
  const std::string version(program_version());
  EXPECT_EQ(std::ranges::count(version, '.'), 2) << version;
  EXPECT_EQ(version.find_first_not_of("0123456789."), std::string::npos) << version;
}

TEST(Programs, ShareNoCommand) {
  for (const std::string_view command : kBtmCommands)
    EXPECT_EQ(std::ranges::count(kConvertCommands, command), 0) << command;
  EXPECT_TRUE(std::ranges::is_sorted(kBtmCommands));
  EXPECT_TRUE(std::ranges::is_sorted(kConvertCommands));
}

}  // namespace
}  // namespace compat
