#include "btm/mixing/step_check.h"

#include <cmath>
#include <stdexcept>
#include <unordered_set>

#include "compat/base/concat.h"

namespace btm {
namespace {

void check_want(const Want& want, std::size_t experts, std::int64_t vocab_size) {
  if (want.target && (*want.target < 0 || *want.target >= vocab_size))
    throw std::invalid_argument(
        compat::concat("a target, ", *want.target, ", is outside the dictionary"));
  if (want.top < 0) throw std::invalid_argument("less than no tokens are wanted");
  if (!(want.temperature > 0) || !std::isfinite(want.temperature))
    throw std::invalid_argument("a temperature that is not above 0");
  if (want.expert && *want.expert >= experts)
    throw std::invalid_argument("an expert is wanted that there is not");
}

}  // namespace

void check_step(const Predictor::Step& step, std::size_t experts, std::int64_t vocab_size,
                std::int64_t padding) {
  std::unordered_set<Predictor::Row> seen;
  std::int64_t total = 0;
  if (step.rows.size() != step.counts.size())
    throw std::invalid_argument("a step has another number of counts than of rows");
  for (std::size_t i = 0; i < step.rows.size(); ++i) {
    if (!seen.insert(step.rows[i]).second || step.counts[i] < 1)
      throw std::invalid_argument("a step has a row twice, or without a new token");
    total += step.counts[i];
  }
  if (total != static_cast<std::int64_t>(step.tokens.size()) ||
      step.wants.size() != step.tokens.size())
    throw std::invalid_argument("a step has another number of tokens, or of wants, than counted");
  for (const std::int64_t token : step.tokens)
    if (token < 0 || token >= vocab_size || token == padding)
      throw std::invalid_argument(
          compat::concat("a token, ", token, ", is outside the dictionary, or padding"));
  for (const Want& want : step.wants) check_want(want, experts, vocab_size);
}

}  // namespace btm
