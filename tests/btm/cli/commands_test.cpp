#include "btm/cli/commands.h"

#include <gtest/gtest.h>

#include "compat/program/programs.h"
#include "tests/support/command_table.h"

namespace btm {
namespace {

TEST(Commands, AreATableThatYieldsFlagsWithoutRunning) { btm_test::check_program(program()); }

TEST(Commands, AreThoseThatBtmConvertKnows) {
  EXPECT_EQ(btm_test::own_commands(program()),
            (std::vector<std::string>(compat::kBtmCommands.begin(), compat::kBtmCommands.end())));
}

}  // namespace
}  // namespace btm
