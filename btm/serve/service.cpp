#include "btm/serve/service.h"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "btm/serve/choice_writer.h"
#include "btm/serve/completion.h"
#include "btm/serve/protocol_error.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/io/json_line.h"
#include "compat/io/sha256.h"

namespace btm {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kModels = "/v1/models";
/// Bytes of a text between spaces or line ends.
constexpr std::size_t kLongestWord = std::size_t{32} << 10;

std::string digest_of(std::string_view text) {
  return compat::sha256_hex(std::as_bytes(std::span(text)));
}

/// Takes the same time whatever the texts are.
bool equal_keys(std::string_view a, std::string_view b) {
  const std::string x = digest_of(a), y = digest_of(b);
  unsigned difference = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    difference |= static_cast<unsigned>(static_cast<unsigned char>(x[i] ^ y[i]));
  return difference == 0;
}

/// "%2F" as "/". What is no such code stays as it is.
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto code =
        text[i] == '%' ? compat::number_of<unsigned>(text.substr(i + 1, 2), 16) : std::nullopt;
    if (code && i + 2 < text.size()) {
      out += static_cast<char>(*code);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

/// sentencepiece takes quadratic time for a run of unknown characters, and all clients wait for it.
void check_words(std::string_view text) {
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = std::min(text.find_first_of(" \n", from), text.size());
    if (end - from > kLongestWord)
      throw bad_field(
          "prompt", compat::concat("has a word of ", end - from,
                                   " bytes, expected a space or a line end within ", kLongestWord));
    from = end + 1;
  }
}

HttpAnswer json_answer(const Json& json) { return {.body = compat::json_line(json)}; }

}  // namespace

HttpAnswer error_answer(const ProtocolError& error) {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  Json body;
  body["error"] = {{"message", error.what()},
                   {"type", error.type()},
                   {"param", or_null(error.param())},
                   {"code", or_null(error.code())}};
  HttpAnswer answer{.status = error.status(), .body = compat::json_line(body)};
  if (error.worth_repeating())
    answer.headers.emplace_back("Retry-After", "1");
  else
    answer.headers.emplace_back("x-should-retry", "false");
  if (error.status() == 401) answer.headers.emplace_back("WWW-Authenticate", "Bearer");
  return answer;
}

Service::Service(ServedModels models, compat::TextCodec codec, Engine& engine,
                 ServiceOptions options, Post post, Log log)
    : models_(std::move(models)),
      codec_(std::move(codec)),
      engine_(engine),
      options_(std::move(options)),
      post_(std::move(post)),
      log_(std::move(log)),
      metrics_(models_.experts()),
      random_(std::random_device()()),
      started_(std::time(nullptr)) {
  RequestLimits& limits = options_.limits;
  limits.experts = models_.experts().size();
  limits.name_bytes = 0;
  for (const std::string& name : models_.experts())
    limits.name_bytes = std::max(limits.name_bytes, name.size());
}

Service::~Service() = default;

std::string Service::new_id() {
  return "cmpl-" + compat::hexadecimal(random_(), 16) + compat::hexadecimal(random_(), 16);
}

void Service::note(const HttpRequest& request, int status, double seconds,
                   const std::string& more) {
  metrics_.add_answer(status, seconds);
  if (!log_) return;
  log_(compat::concat(request.client, ' ', compat::printable(request.method), ' ',
                      compat::printable(request.target), ' ', status, ' ',
                      compat::decimal(seconds, 3), " s", more));
}

std::string log_text(std::string_view message) {
  constexpr std::size_t kMost = 200;
  return compat::without_controls(message.substr(0, kMost)) + (message.size() > kMost ? "..." : "");
}

HttpAnswer Service::refusal(int status, const std::string& problem, const std::string& client) {
  note({.method = "-", .target = "-", .authorization = {}, .body = {}, .client = client}, status, 0,
       ", " + problem);
  return error_answer({status, problem});
}

void Service::check_key(const HttpRequest& request) const {
  constexpr std::string_view kBearer = "Bearer ";
  if (options_.api_key.empty()) return;
  const std::string_view given = request.authorization;
  if (!given.starts_with(kBearer) || !equal_keys(given.substr(kBearer.size()), options_.api_key))
    throw ProtocolError(401, "the header 'Authorization: Bearer KEY' with the right key is missing",
                        "", "invalid_api_key");
}

std::function<void()> Service::handle(HttpRequest request,
                                      const std::shared_ptr<Exchange>& exchange) {
  const auto start = CompletionJob::Clock::now();
  HttpAnswer answer;
  std::string problem;
  try {
    if (request.target != "/health") check_key(request);
    if (request.target == "/v1/completions" && request.method == "POST")
      return complete(request, exchange);
    answer = answer_to(request);
  } catch (const ProtocolError& error) {
    problem = compat::concat(", ", log_text(error.what()));
    answer = error_answer(error);
  } catch (const std::exception& error) {
    problem = compat::concat(", ", log_text(error.what()));
    answer = error_answer({500, "the server failed"});
  }
  const std::chrono::duration<double> seconds = CompletionJob::Clock::now() - start;
  note(request, answer.status, seconds.count(), problem);
  exchange->answer(std::move(answer));
  return {};
}

HttpAnswer Service::answer_to(const HttpRequest& request) {
  const std::string& target = request.target;
  const bool posted =
      target == "/tokenize" || target == "/detokenize" || target == "/v1/completions";
  const bool gotten = target == "/health" || target == "/metrics" || target == "/tokenizer_info" ||
                      target == kModels || target.starts_with("/v1/models/");
  if (target.starts_with("/v1/chat/") || target == "/v1/responses")
    throw ProtocolError(404,
                        "these are base models, which continue text and know no chat: "
                        "use /v1/completions",
                        "", "not_found");
  if (!posted && !gotten) throw ProtocolError(404, "there is nothing here", "", "not_found");
  if (request.method != (posted ? "POST" : "GET")) {
    HttpAnswer answer = error_answer({405, posted ? "expected POST" : "expected GET"});
    answer.headers.emplace_back("Allow", posted ? "POST" : "GET");
    return answer;
  }
  if (target == "/tokenize") return tokenize(request.body);
  if (target == "/detokenize") return detokenize(request.body);
  if (target == "/tokenizer_info") return tokenizer_info();
  if (target == "/metrics")
    return {.body = metrics_.text(engine_.state(), connections_),
            .type = "text/plain; version=0.0.4; charset=utf-8"};
  if (target != "/health") return models_answer(target);
  if (refuses_) throw ProtocolError(503, "the server is being stopped");
  return json_answer({{"status", "ok"}});
}

HttpAnswer Service::models_answer(const std::string& target) const {
  const auto object = [&](const std::string& name) {
    Json json{{"id", name},
              {"object", "model"},
              {"created", started_},
              {"owned_by", "btm"},
              {"max_model_len", options_.positions}};
    if (models_.experts().size() > 1 && name == models_.names().front())
      json["experts"] = models_.experts();
    return json;
  };
  if (target != kModels) {
    const std::string name = unescaped(target.substr(kModels.size() + 1));
    if (!models_.has(name))
      throw ProtocolError(404, "there is no model '" + compat::printable(name) + "'", "model",
                          "model_not_found");
    return json_answer(object(name));
  }
  Json list = Json::array();
  for (const std::string& name : models_.names()) list.push_back(object(name));
  return json_answer({{"object", "list"}, {"data", std::move(list)}});
}

/// A text that is a special symbol as a whole stands for it.
std::vector<std::int64_t> Service::encode(const std::string& text) {
  const compat::Dictionary& dictionary = codec_.dictionary();
  for (const std::int64_t id : {dictionary.eos(), dictionary.bos(), dictionary.unk()})
    if (text == dictionary.symbol(id)) return {id};
  check_words(text);
  try {
    return codec_.encode(text);
  } catch (const compat::FormatError& error) {
    throw bad_field("prompt", error.what());
  } catch (const compat::UnsupportedError& error) {
    throw bad_field("prompt", error.what());
  }
}

HttpAnswer Service::tokenize(const std::string& body) {
  const TokenizeRequest request = read_tokenize_request(body);
  std::vector<std::int64_t> ids = encode(request.prompt);
  if (request.add_special_tokens) ids.insert(ids.begin(), codec_.dictionary().eos());
  return json_answer(
      {{"count", ids.size()}, {"max_model_len", options_.positions}, {"tokens", ids}});
}

HttpAnswer Service::detokenize(const std::string& body) const {
  const std::vector<std::int64_t> ids = read_detokenize_request(body);
  const std::int64_t size = codec_.dictionary().size();
  for (const std::int64_t id : ids)
    if (id < 0 || id >= size)
      throw bad_field("tokens",
                      compat::concat("expected ids from 0 to ", size - 1, ", found ", id));
  return json_answer({{"prompt", codec_.decode(ids)}});
}

HttpAnswer Service::tokenizer_info() const {
  const compat::Dictionary& dictionary = codec_.dictionary();
  const std::string& eos = dictionary.symbol(dictionary.eos());
  return json_answer({{"eos_token", eos},
                      {"bos_token", eos},
                      {"pad_token", dictionary.symbol(dictionary.pad())},
                      {"unk_token", dictionary.symbol(dictionary.unk())},
                      {"vocab_size", dictionary.size()},
                      {"model_max_length", options_.positions},
                      {"chat_template", nullptr}});
}

}  // namespace btm
