// The server without its sockets: which request gets which answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include "btm/serve/engine.h"
#include "btm/serve/exchange.h"
#include "btm/serve/request_reader.h"
#include "btm/serve/served_models.h"
#include "btm/serve/server_metrics.h"
#include "compat/tokenizer/text_codec.h"

namespace btm {

struct ServiceOptions {
  std::string api_key;           ///< "": none is asked for.
  std::int64_t positions = 0;    ///< Tokens of a text, with the one that begins it.
  double request_seconds = 600;  ///< Of a request; then it is given up.
  RequestLimits limits;
};

/// All functions belong to one thread, that of the sockets.
class Service {
 public:
  /// Runs a function in the thread of the sockets; called in the engine's.
  using Post = std::function<void(std::function<void()> work)>;
  using Log = std::function<void(const std::string& line)>;

  Service(ServedModels models, compat::TextCodec codec, Engine& engine, ServiceOptions options,
          Post post, Log log);
  ~Service();

  /// Answers a request, now or later. Returns what gives the request up when its client has left.
  std::function<void()> handle(HttpRequest request, const std::shared_ptr<Exchange>& exchange);
  /// The answer to what is no request of HTTP, or is too large or too slow.
  HttpAnswer refusal(int status, const std::string& problem, const std::string& client);
  /// From now on new work is refused with 503.
  void refuse_new() noexcept { refuses_ = true; }
  void count_connections(std::size_t connections) noexcept { connections_ = connections; }

 private:
  struct Completion;
  HttpAnswer answer_to(const HttpRequest& request);
  HttpAnswer models_answer(const std::string& target) const;
  HttpAnswer tokenize(const std::string& body);
  HttpAnswer detokenize(const std::string& body) const;
  HttpAnswer tokenizer_info() const;
  void check_key(const HttpRequest& request) const;
  std::vector<std::int64_t> encode(const std::string& text);
  std::vector<std::int64_t> ids_of(const PromptInput& prompt);
  void prepare(Completion& completion);
  GenerateOptions options_of(const Completion& completion, std::size_t tokens,
                             const ServedModels::Choice& choice);
  std::function<void()> complete(const HttpRequest& request,
                                 const std::shared_ptr<Exchange>& exchange);
  void check_readouts(const Completion& completion) const;
  void guard(Completion& completion, const std::function<void()>& work);
  void add_part(Completion& completion, const WrittenPart& part);
  void finish(Completion& completion, JobEnd end);
  void note(const HttpRequest& request, int status, double seconds, const std::string& more);
  std::string new_id();

  ServedModels models_;
  compat::TextCodec codec_;
  Engine& engine_;
  ServiceOptions options_;
  Post post_;
  Log log_;
  ServerMetrics metrics_;
  std::mt19937_64 random_;
  std::int64_t started_;
  bool refuses_ = false;
  std::size_t connections_ = 0;
};

/// {"error": {...}} with the headers that go with it.
class ProtocolError;
HttpAnswer error_answer(const ProtocolError& error);
/// A message, whose names are escaped already, for a line of the log.
std::string log_text(std::string_view message);

}  // namespace btm
