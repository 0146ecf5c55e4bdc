// --adam-betas.
#pragma once

#include <string>
#include <utility>

namespace btm {

/// "(0.9, 0.95)" as fairseq writes it. UsageError for anything but two numbers of [0, 1).
std::pair<double, double> parse_adam_betas(const std::string& text);

}  // namespace btm
