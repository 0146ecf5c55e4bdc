#include "btm/generate/generate_options.h"

#include <cmath>
#include <stdexcept>
#include <string>

namespace btm {
namespace {

/// More tokens than any text has: products with it do not overflow.
constexpr double kLongest = 1LL << 40;
/// Powers of a length stay finite, and so do logits that are divided.
constexpr double kSteepest = 20, kCoolest = 1e-6;

void require(bool holds, const char* problem) {
  if (!holds) throw std::invalid_argument(problem);
}

void check_sampling(const GenerateOptions& options) {
  const SamplingOptions& sampling = *options.sampling;
  require(sampling.topp <= 1, "--sampling-topp: expected a number up to 1");
  if (!sampling.one_expert_per_token) return;
  require(options.temperature == 1 && options.unkpen == 0,
          "--one-expert-per-token needs --temperature 1 and --unkpen 0: only then is a token of "
          "one drawn expert distributed as the mixture's");
  require(sampling.topk <= 0 && sampling.topp <= 0,
          "--one-expert-per-token allows no --sampling-topk and --sampling-topp: an expert's most "
          "probable tokens are not the mixture's");
  require(options.block_ngrams == 0 && options.min_len <= 1,
          "--one-expert-per-token blocks no n-grams and has no --min-len: what remains is "
          "distributed differently under one expert and under the mixture");
}

}  // namespace

std::int64_t max_length(const GenerateOptions& options, std::int64_t prompt_tokens) {
  const double length = options.max_len_a * static_cast<double>(prompt_tokens + 1) +
                        static_cast<double>(options.max_len_b);
  return static_cast<std::int64_t>(std::fmin(length, kLongest));
}

void check_options(const GenerateOptions& options) {
  require(options.beam >= 1 && options.beam <= kMostTexts,
          "--beam and --num-samples: expected 1 to 65536");
  require(options.temperature >= kCoolest && std::isfinite(options.temperature),
          "--temperature: expected a number from 0.000001 on");
  require(std::abs(options.lenpen) <= kSteepest, "--lenpen: expected a number from -20 to 20");
  require(std::isfinite(options.unkpen), "--unkpen: expected a finite number");
  require(options.min_len >= 0 && options.max_len_b >= 0 && options.max_len_a >= 0 &&
              std::isfinite(options.max_len_a),
          "--min-len, --max-len-a and --max-len-b: expected numbers of 0 or more");
  require(options.top >= 0, "the number of most probable tokens: expected 0 or more");
  require(options.block_ngrams >= 0, "--no-repeat-ngram-size: expected 0 or more");
  if (options.sampling) check_sampling(options);
}

}  // namespace btm
