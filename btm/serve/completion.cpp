#include "btm/serve/completion.h"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "btm/serve/protocol_error.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/io/json_line.h"

namespace btm {
namespace {

using Json = nlohmann::ordered_json;

std::string event(const Json& json) { return "data: " + compat::json_line(json) + "\n\n"; }

Json usage_json(std::int64_t prompt, std::int64_t written) {
  return {{"prompt_tokens", prompt},
          {"completion_tokens", written},
          {"total_tokens", prompt + written}};
}

}  // namespace

std::vector<std::int64_t> Service::ids_of(const PromptInput& prompt) {
  if (const auto* const text = std::get_if<std::string>(&prompt)) return encode(*text);
  const auto& ids = std::get<std::vector<std::int64_t>>(prompt);
  const std::int64_t size = codec_.dictionary().size(), pad = codec_.dictionary().pad();
  for (const std::int64_t id : ids)
    if (id < 0 || id >= size || id == pad)
      throw bad_field("prompt", compat::concat("expected ids from 0 to ", size - 1, " other than ",
                                               pad, " (padding), found ", id));
  return ids;
}

GenerateOptions Service::options_of(const Completion& completion, std::size_t tokens,
                                    const ServedModels::Choice& choice) {
  const CompletionRequest& request = completion.request;
  GenerateOptions options;
  options.min_len = 0;
  options.max_len_b = static_cast<std::int64_t>(tokens) + request.max_tokens;
  options.continues = request.max_tokens > 0;
  options.scores_prompt = request.echo && (request.logprobs || request.return_posterior);
  options.heats_prompt = false;
  options.top = request.logprobs.value_or(0);
  options.expert = choice.expert;
  options.mixture = choice.mixture;
  if (request.temperature > 0) options.temperature = request.temperature;
  if (completion.greedy) return options;
  options.beam = request.best_of;
  options.sampling.emplace();
  if (request.top_p < 1) options.sampling->topp = request.top_p;
  options.sampling->seed = request.seed ? *request.seed : random_();
  return options;
}

/// Refuses an answer that would be much larger than its request.
void Service::check_readouts(const Completion& completion) const {
  const CompletionRequest& request = completion.request;
  const std::int64_t most = options_.limits.readouts;
  const std::int64_t scores = request.logprobs ? 1 + *request.logprobs : 0;
  const auto weights =
      static_cast<std::int64_t>(completion.style.posterior ? models_.experts().size() : 0);
  const std::int64_t of_a_token = std::max(request.n, request.best_of) * (scores + weights);
  std::int64_t all = 0;
  for (const auto& prompt : completion.job->prompts) {
    const auto read = request.echo ? static_cast<std::int64_t>(prompt.size()) : std::int64_t{0};
    all += (read + request.max_tokens) * of_a_token;
  }
  if (all > most)
    throw bad_field(scores >= weights ? "logprobs" : "return_posterior",
                    compat::concat("asks for up to ", all,
                                   " log-probabilities and weights of all texts together, "
                                   "expected at most ",
                                   most));
}

/// Does a part of an answer. Where that fails, such as for memory, the answer ends.
void Service::guard(Completion& completion, const std::function<void()>& work) {
  try {
    return work();
  } catch (const std::exception& error) {
    completion.job->cancelled = true;
    note(completion.http, 500, 0, ", " + log_text(error.what()));
  }
  const HttpAnswer answer = error_answer({500, "the server failed"});
  if (!completion.streams) return completion.exchange->answer(answer);
  completion.exchange->send("data: " + answer.body + "\n\n");
  completion.exchange->end();
}

/// Makes the job of a request, with which it may wait for long: what is not needed is given up.
void Service::prepare(Completion& completion) {
  const CompletionRequest& request = completion.request;
  const ServedModels::Choice choice = models_.choose(request);
  completion.id = new_id();
  completion.model = choice.name;
  completion.created = std::time(nullptr);
  completion.greedy = request.temperature == 0 || request.top_p == 0 || request.max_tokens == 0;
  completion.style = {request.echo, request.logprobs,
                      request.return_posterior && models_.experts().size() > 1, &models_.experts()};
  CompletionJob& job = *completion.job;
  for (const PromptInput& prompt : request.prompts) {
    std::vector<std::int64_t> ids = ids_of(prompt);
    completion.prompt_tokens += static_cast<std::int64_t>(ids.size());
    const bool begun = !ids.empty() && ids.front() == codec_.dictionary().eos();
    if (begun) ids.erase(ids.begin());
    const auto size = static_cast<std::int64_t>(ids.size());
    if (size + request.max_tokens > options_.positions)
      throw ProtocolError(
          400,
          compat::concat("'prompt' has ", size, " tokens and 'max_tokens' is ", request.max_tokens,
                         ": the sum is above the model's ", options_.positions, " positions"),
          "prompt", "context_length_exceeded");
    job.options.push_back(options_of(completion, ids.size(), choice));
    job.prompts.push_back(std::move(ids));
    completion.begun.push_back(begun);
  }
  job.max_tokens = request.max_tokens;
  check_readouts(completion);
  job.stops = StopStrings(std::exchange(completion.request.stop, {}));
  completion.request.prompts = {};  // a text may be much longer than its ids, and the job has these
  job.in_parts = request.stream;
  const std::chrono::duration<double> most(options_.request_seconds);
  job.deadline = job.start + std::chrono::duration_cast<CompletionJob::Clock::duration>(most);
  if (!request.stream) return;
  for (std::size_t i = 0; i < job.prompts.size(); ++i)
    completion.writers.insert(
        completion.writers.end(), static_cast<std::size_t>(request.n),
        ChoiceWriter(codec_, completion.style, job.prompts[i], completion.begun[i]));
}

std::function<void()> Service::complete(const HttpRequest& request,
                                        const std::shared_ptr<Exchange>& exchange) {
  if (refuses_) throw ProtocolError(503, "the server is being stopped");
  const auto completion = std::make_shared<Completion>();
  completion->request = read_completion_request(request.body, options_.limits);
  completion->http.method = request.method;
  completion->http.target = request.target;
  completion->http.client = request.client;
  completion->exchange = exchange;
  prepare(*completion);
  // The functions keep the completion, which keeps the job: the engine drops them in the end.
  const std::shared_ptr<CompletionJob> job = completion->job;
  job->on_part = [this, completion](WrittenPart part) {
    post_([this, completion, part = std::move(part)] {
      guard(*completion, [&] { add_part(*completion, part); });
    });
  };
  job->on_end = [this, completion](JobEnd end) {
    post_([this, completion, end = std::move(end)]() mutable {
      guard(*completion, [&] { finish(*completion, std::move(end)); });
    });
  };
  if (!engine_.submit(job)) {
    job->on_part = nullptr;
    job->on_end = nullptr;
    throw ProtocolError(429, "too many requests wait, try again later", "", "queue_full");
  }
  return [this, completion] {
    if (completion->job->cancelled.exchange(true)) return;
    metrics_.add_cancelled();
    if (log_)
      log_(compat::concat(completion->http.client, " POST /v1/completions: the client left"));
  };
}

/// Sends a part of a stream.
void Service::add_part(Completion& completion, const WrittenPart& part) {
  if (completion.job->cancelled) return;
  if (!completion.streams) {
    completion.streams = true;
    completion.exchange->begin(
        {.body = {},
         .type = "text/event-stream; charset=utf-8",
         .headers = {{"Cache-Control", "no-cache"}, {"x-request-id", completion.id}}});
  }
  const auto n = static_cast<std::size_t>(completion.request.n);
  const std::size_t copies = completion.greedy ? n : 1;
  for (std::size_t k = 0; k < copies; ++k) {
    const std::size_t index = part.prompt * n + part.sample + k;
    Json choice = completion.writers[index].write(part, index);
    const bool silent = choice["text"].get_ref<const std::string&>().empty() &&
                        part.finish == nullptr && choice["logprobs"].is_null() &&
                        !completion.style.posterior;
    if (silent) continue;
    Json json = completion.head();
    json["choices"] = Json::array({std::move(choice)});
    if (completion.request.include_usage) json["usage"] = nullptr;
    completion.exchange->send(event(json));
  }
}

/// The choices of an answer: of each prompt the n best texts, in the order of their samples where
/// all are wanted.
Json Service::Completion::choices(const compat::TextCodec& codec,
                                  std::vector<WrittenPart> texts) const {
  const auto n = static_cast<std::size_t>(request.n);
  std::ranges::stable_sort(texts, [&](const WrittenPart& a, const WrittenPart& b) {
    if (a.prompt != b.prompt) return a.prompt < b.prompt;
    if (request.best_of > request.n && a.score != b.score) return a.score > b.score;
    return a.sample < b.sample;
  });
  Json choices = Json::array();
  for (std::size_t i = 0; i < texts.size();) {
    const std::size_t prompt = texts[i].prompt;
    std::size_t end = i;
    while (end < texts.size() && texts[end].prompt == prompt) ++end;
    for (std::size_t k = 0; k < n; ++k)
      choices.push_back(ChoiceWriter(codec, style, job->prompts[prompt], begun[prompt])
                            .write(texts[greedy ? i : std::min(i + k, end - 1)], choices.size()));
    i = end;
  }
  return choices;
}

Json Service::Completion::head() const {
  return {{"id", id}, {"object", "text_completion"}, {"created", created}, {"model", model}};
}

void Service::finish(Completion& completion, JobEnd end) {
  if (completion.job->cancelled) return;
  metrics_.add_tokens(completion.prompt_tokens, end.written);
  metrics_.add_share(end.share);
  const std::size_t prompts = completion.job->prompts.size();
  note(completion.http, end.status, end.whole,
       compat::concat(", model ", compat::printable(completion.model), ", ", prompts,
                      prompts == 1 ? " prompt, " : " prompts, ", completion.prompt_tokens,
                      " tokens read, ", end.written, " written, first after ",
                      compat::decimal(end.first, 3), " s",
                      end.error.empty() ? "" : ", " + log_text(end.error)));
  Exchange& exchange = *completion.exchange;
  const Json usage = usage_json(completion.prompt_tokens, end.written);
  if (!end.error.empty()) {
    const HttpAnswer answer = error_answer({end.status, end.error});
    if (!completion.streams) return exchange.answer(answer);
    exchange.send("data: " + answer.body + "\n\n");
    return exchange.end();
  }
  if (completion.request.stream) {
    if (completion.request.include_usage) {
      Json json = completion.head();
      json["choices"] = Json::array();
      json["usage"] = usage;
      exchange.send(event(json));
    }
    exchange.send("data: [DONE]\n\n");
    return exchange.end();
  }
  Json json = completion.head();
  json["choices"] = completion.choices(codec_, std::move(end.texts));
  json["usage"] = usage;
  exchange.answer({.body = compat::json_line(json), .headers = {{"x-request-id", completion.id}}});
}

}  // namespace btm
