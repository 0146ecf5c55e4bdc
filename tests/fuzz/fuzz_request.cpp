// Reads any body as a request of btm serve: a request within its limits, or ProtocolError 400.
#include "btm/serve/protocol_error.h"
#include "btm/serve/request_reader.h"
#include "compat/base/error.h"
#include "tests/support/fuzz.h"

namespace {

template <class Read>
void expect_request_or_refusal(Read&& read) {
  try {
    read();
  } catch (const btm::ProtocolError& error) {
    btm_test::require(error.status() == 400, "a refusal with another status");
    const std::string_view words = error.what();
    btm_test::require(!words.empty() && words.size() < 2000, "a refusal of a strange length");
    btm_test::require(compat::without_controls(words) == words, "a refusal with foreign bytes");
  }
}

void check(const btm::CompletionRequest& request) {
  const btm::RequestLimits limits;
  btm_test::require(!request.prompts.empty(), "no prompt");
  btm_test::require(request.max_tokens >= 0, "less than no tokens");
  btm_test::require(request.n >= 1 && request.n <= request.best_of, "more texts than are written");
  btm_test::require(request.best_of <= limits.texts, "too many texts");
  btm_test::require(request.temperature == 0 || request.temperature >= 0.01, "logits may overflow");
  btm_test::require(request.top_p >= 0 && request.top_p <= 1, "no probability");
  btm_test::require(request.stop.size() <= limits.stops, "too many stop strings");
  btm_test::require(request.logprobs.value_or(0) <= limits.logprobs, "too many tokens");
  btm_test::require(request.mixture.prior.empty() ||
                        request.mixture.prior.size() == request.mixture.experts.size(),
                    "another number of weights than of experts");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body = btm_test::as_text(data, size);
  expect_request_or_refusal([&] { check(btm::read_completion_request(body)); });
  expect_request_or_refusal([&] { btm::read_tokenize_request(body); });
  expect_request_or_refusal([&] { btm::read_detokenize_request(body); });
  return 0;
}
