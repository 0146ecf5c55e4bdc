// How a text is continued. Names and defaults are those of fairseq's SequenceGenerator (0.12.2),
// but for `beam`, whose default is that of fairseq's hub interface.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace btm {

class Posterior;

/// Draws tokens instead of searching for the most probable text.
struct SamplingOptions {
  std::int64_t topk = -1;  ///< Above 0: from so many most probable tokens.
  /// Above 0: from the smallest set of most probable tokens whose probabilities sum to `topp` or
  /// more. `topk` then has no effect, as in fairseq.
  double topp = -1;
  std::uint64_t seed = 1;
  /// Draws an expert by the mixture's weights, and the token from that expert alone. The weights
  /// must not depend on what the experts say of the text: experts that are not drawn read nothing.
  bool one_expert_per_token = false;
};

/// Lengths count the prompt and leave out the end-of-sentence symbol.
struct GenerateOptions {
  std::int64_t beam = 1;  ///< Hypotheses that grow side by side; with sampling, samples.
  double lenpen = 1;      ///< A hypothesis' score is its log-probability / length^lenpen, where the
                          ///< length has the end-of-sentence symbol.
  bool unnormalized = false;  ///< The score is the log-probability.
  std::int64_t min_len = 1;   ///< No end-of-sentence symbol before so many tokens.
  /// At most max_len_a * (tokens of the prompt + 1) + max_len_b tokens, rounded down.
  double max_len_a = 0;
  std::int64_t max_len_b = 200;
  /// Above 0: no sequence of so many tokens occurs twice. The prompt is taken as it is.
  std::int64_t block_ngrams = 0;
  double unkpen = 0;  ///< Subtracted from the unknown symbol's log-probability, in the prompt, too.
  double temperature = 1;  ///< Divides each expert's logits.
  std::optional<SamplingOptions> sampling;

  // What a server asks for.
  bool scores_prompt = true;  ///< Otherwise the scores of the prompt's tokens are NaN.
  bool heats_prompt = true;   ///< The temperature divides the logits of the prompt's scores, too.
  bool continues = true;      ///< Otherwise the prompt is scored, and nothing follows it.
  std::int64_t top = 0;       ///< So many of the most probable tokens are kept at each token.
  std::optional<std::size_t> expert;         ///< This expert alone instead of the mixture.
  std::shared_ptr<const Posterior> mixture;  ///< Instead of the predictor's.
};

/// Of one prompt, and of a batch.
inline constexpr std::int64_t kMostTexts = 65536;

/// The longest text that continues a prompt.
std::int64_t max_length(const GenerateOptions& options, std::int64_t prompt_tokens);

/// std::invalid_argument, with the reason, where an option is out of range or does not go with
/// another one.
void check_options(const GenerateOptions& options);

}  // namespace btm
