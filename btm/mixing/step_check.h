// Whether a step of a Predictor adds up.
#pragma once

#include <cstddef>
#include <cstdint>

#include "btm/mixing/predictor.h"

namespace btm {

/// std::invalid_argument for a row that comes twice or without a token, for other numbers of
/// tokens or wants than were counted, for tokens outside the dictionary or `padding`, and for wants
/// that make no sense. Whether there are such rows is the predictor's to say.
void check_step(const Predictor::Step& step, std::size_t experts, std::int64_t vocab_size,
                std::int64_t padding);

}  // namespace btm
