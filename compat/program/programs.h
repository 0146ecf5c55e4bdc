// The names of the commands of the two programs, so that each can point to the other.
#pragma once

#include <array>
#include <string_view>

namespace compat {

inline constexpr std::array<std::string_view, 20> kBtmCommands{
    "average",     "branch", "cache",  "cluster",  "doctor", "ensemble-eval", "eval-lm",
    "eval-matrix", "expert", "forest", "generate", "mix",    "plan",          "release",
    "routing",     "run",    "score",  "serve",    "train",  "weigh"};
inline constexpr std::array<std::string_view, 7> kConvertCommands{
    "checkpoint", "data-bin", "inspect", "preprocess", "repair", "train-sentencepiece", "verify"};

}  // namespace compat
