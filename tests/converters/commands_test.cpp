#include "converters/commands.h"

#include <gtest/gtest.h>

#include "compat/program/programs.h"
#include "tests/support/command_table.h"

namespace converters {
namespace {

TEST(Commands, AreATableThatYieldsFlagsWithoutRunning) { btm_test::check_program(program()); }

TEST(Commands, AreThoseThatBtmKnows) {
  EXPECT_EQ(
      btm_test::own_commands(program()),
      (std::vector<std::string>(compat::kConvertCommands.begin(), compat::kConvertCommands.end())));
}

}  // namespace
}  // namespace converters
