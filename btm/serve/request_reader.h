// Reads the JSON of requests. Everything here comes from a stranger.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "btm/mixing/ensemble_type.h"

namespace btm {

/// A prompt as text or as ids of the dictionary.
using PromptInput = std::variant<std::string, std::vector<std::int64_t>>;

/// How a request mixes experts. Experts are named.
struct MixtureRequest {
  std::optional<PosteriorRule> posterior;
  std::vector<std::string> experts;  ///< These alone; empty: all.
  std::vector<double> prior;         ///< [experts] their weights, or empty.
  std::vector<std::string> without;  ///< All but these.
  std::int64_t top = 0;              ///< So many experts of the largest prior; 0: all.

  bool chooses() const { return posterior || !experts.empty() || !without.empty() || top > 0; }
};

/// The body of POST /v1/completions.
struct CompletionRequest {
  std::optional<std::string> model;
  std::vector<PromptInput> prompts;  ///< One or more.
  std::int64_t max_tokens = 16;
  double temperature = 1;  ///< 0: always the most probable token.
  double top_p = 1;
  std::int64_t n = 1, best_of = 1;  ///< Texts of a prompt that are returned, and written.
  std::vector<std::string> stop;
  std::optional<std::uint64_t> seed;
  std::optional<std::int64_t> logprobs;  ///< The most probable tokens that are returned.
  bool echo = false, stream = false, include_usage = false;
  bool return_posterior = false;  ///< The experts' weights at each token.
  MixtureRequest mixture;
};

/// What a request may ask for at most.
struct RequestLimits {
  std::int64_t texts = 128;     ///< `n` and `best_of`.
  std::int64_t prompts = 2048;  ///< In one request; and texts of all of them.
  std::int64_t logprobs = 20;
  /// Log-probabilities of all texts together, those of the most probable tokens included; and
  /// weights of experts.
  std::int64_t readouts = std::int64_t{4} << 20;
  std::size_t stops = 64, stop_bytes = 1024;
  std::size_t experts = 1024, name_bytes = 4096;  ///< Names, and bytes of one.
};

/// ProtocolError 400, which names the field, for a body that is not JSON, for values of a wrong
/// type or out of range, and for what the protocol has and this server lacks. Fields that the
/// protocol does not have are ignored.
CompletionRequest read_completion_request(std::string_view body, const RequestLimits& limits = {});

/// The body of POST /tokenize.
struct TokenizeRequest {
  std::string prompt;
  bool add_special_tokens = false;  ///< The end-of-sentence symbol with which texts begin.
};
TokenizeRequest read_tokenize_request(std::string_view body);

/// The ids of POST /detokenize.
std::vector<std::int64_t> read_detokenize_request(std::string_view body);

}  // namespace btm
