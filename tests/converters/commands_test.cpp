#include "converters/commands.h"

#include <gtest/gtest.h>

#include "compat/program/programs.h"
#include "tests/support/command_table.h"

namespace converters {
namespace {

TEST(Commands, AreATableThatYieldsFlagsWithoutRunning) {
  btm_test::check_table("btm-convert", commands());
}

TEST(Commands, AreThoseThatBtmKnows) {
  EXPECT_EQ(
      btm_test::sorted_names(commands()),
      (std::vector<std::string>(compat::kConvertCommands.begin(), compat::kConvertCommands.end())));
}

}  // namespace
}  // namespace converters
