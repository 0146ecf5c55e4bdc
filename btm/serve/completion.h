// A request for completions on its way: what was asked, and the texts so far.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "btm/serve/choice_writer.h"
#include "btm/serve/completion_job.h"
#include "btm/serve/exchange.h"
#include "btm/serve/request_reader.h"
#include "btm/serve/service.h"

namespace btm {

struct Service::Completion {
  HttpRequest http;  ///< For the log: without its body.
  CompletionRequest request;
  std::string id, model;
  std::int64_t created = 0;
  std::vector<bool> begun;  ///< [prompts] whether it came with the symbol that begins a text.
  ChoiceStyle style;
  std::vector<ChoiceWriter> writers;  ///< [prompts * n] of a stream.
  bool greedy = false;                ///< All texts of a prompt are the same one.
  std::int64_t prompt_tokens = 0;
  std::shared_ptr<CompletionJob> job = std::make_shared<CompletionJob>();
  std::shared_ptr<Exchange> exchange;
  bool streams = false;  ///< Parts have been sent.

  nlohmann::ordered_json head() const;
  nlohmann::ordered_json choices(const compat::TextCodec& codec,
                                 std::vector<WrittenPart> texts) const;
};

}  // namespace btm
