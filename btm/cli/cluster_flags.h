// Flags of the commands that apply a cluster model.
#pragma once

#include "compat/program/command_line.h"

namespace btm {

/// --temperature: a number above 0.
compat::Flag temperature_flag(double& field);

}  // namespace btm
