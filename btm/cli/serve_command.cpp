#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <thread>

#include "btm/cli/commands.h"
#include "btm/cli/eval_flags.h"
#include "btm/cli/fitting_experts.h"
#include "btm/cli/text_models.h"
#include "btm/model/tensor_memory.h"
#include "btm/serve/engine.h"
#include "btm/serve/http_server.h"
#include "btm/serve/log_writer.h"
#include "btm/serve/service.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/io/mapped_file.h"
#include "compat/program/signals.h"

namespace btm {
namespace {

using compat::flag_integer;
using compat::flag_real;
using compat::flag_switch;
using compat::flag_text;

constexpr double kDay = 86400;

struct ServeCommand {
  TextModelOptions models;
  ServerOptions server{.port = 8000};
  std::string name = "ensemble", key_file;
  std::int64_t batch = 64, cache_tokens = 1 << 16, prompt_step = 512, prefixes = 256;
  std::int64_t queue = 1024, queue_tokens = std::int64_t{4} << 20;
  std::int64_t connections = 2048, body_bytes = std::int64_t{8} << 20;
  double request_seconds = 600;
  bool quiet = false;

  compat::CommandSpec spec();
  compat::FlagGroup place_flags();
  compat::FlagGroup batch_flags();
  compat::FlagGroup limit_flags();
  void check_ranges() const;
  EngineLimits engine_limits() const;
};

compat::FlagGroup ServeCommand::place_flags() {
  return {"Server",
          {flag_integer("port", "N", server.port, "the port; 0: any that is free", 0),
           flag_text("host", "ADDRESS", server.host,
                     "the address to listen at; 0.0.0.0 is all of the machine's"),
           flag_text("model-name", "NAME", name, "the name of several models as one"),
           flag_text("api-key-file", "FILE", key_file,
                     "a file with the key that requests must give; or the variable BTM_API_KEY"),
           flag_switch("quiet", quiet, "no line for each request")}};
}

compat::FlagGroup ServeCommand::batch_flags() {
  return {
      "Batch",
      {flag_integer("batch-size", "N", batch, "texts that grow at once", 1),
       flag_integer("cache-tokens", "N", cache_tokens,
                    "tokens whose keys and values are kept, of all texts together; it bounds "
                    "memory",
                    1),
       flag_integer("prompt-step", "N", prompt_step,
                    "tokens of prompts that are read in a step, so that texts go on growing", 1),
       flag_integer("prefixes", "N", prefixes,
                    "prompts that are kept, so that others with the same beginning need not "
                    "read it again; 0: none",
                    0)}};
}

compat::FlagGroup ServeCommand::limit_flags() {
  return {"Limits",
          {flag_integer("max-queue", "N", queue, "requests that wait or run; others get 429", 1),
           flag_integer("max-queue-tokens", "N", queue_tokens,
                        "the same in tokens of prompts and of what may follow them", 1),
           flag_integer("max-connections", "N", connections, "open connections; others get 503", 1),
           flag_integer("max-body", "BYTES", body_bytes, "of a request; a larger one gets 413", 1),
           flag_real("request-timeout", "SECONDS", request_seconds,
                     "for an answer; then the client gets 504", 0.001, kDay),
           flag_real("read-timeout", "SECONDS", server.read_seconds,
                     "for a request to arrive, and for a connection without one", 0.001, kDay),
           flag_real("write-timeout", "SECONDS", server.write_seconds,
                     "for a client to take what is sent", 0.001, kDay)}};
}

compat::CommandSpec ServeCommand::spec() {
  std::vector<compat::FlagGroup> groups{place_flags(), batch_flags(), limit_flags()};
  for (compat::FlagGroup& group : text_model_flags(models)) groups.push_back(std::move(group));
  return {"btm serve",
          std::string("Serves models, or an ensemble of them, with OpenAI's protocol for "
                      "completions: /v1/completions, /v1/models, /tokenize, /detokenize, "
                      "/tokenizer_info, /health, /metrics. Ends after SIGINT or SIGTERM, when "
                      "running requests are answered. ") +
              compat::kWhatAModelIs,
          {models_argument(models)},
          std::move(groups),
          {}};
}

/// What is allowed for at once must be countable in bytes.
void ServeCommand::check_ranges() const {
  const auto check = [](const char* flag, std::int64_t value, std::int64_t most) {
    if (value > most)
      throw compat::UsageError(
          compat::concat(flag, ": found ", value, ", expected at most ", most));
  };
  check("--port", server.port, 65535);
  check("--batch-size", batch, kMostTexts);
  check("--cache-tokens", cache_tokens, std::int64_t{1} << 32);
  check("--max-body", body_bytes, std::int64_t{1} << 30);
}

EngineLimits ServeCommand::engine_limits() const {
  EngineLimits limits;
  limits.generate = {.batch = batch,
                     .prompt_tokens = static_cast<std::size_t>(prompt_step),
                     .prefixes = static_cast<std::size_t>(prefixes)};
  limits.jobs = static_cast<std::size_t>(queue);
  limits.tokens = queue_tokens;
  return limits;
}

/// The key that requests must give; "" where none is asked for.
std::string read_key(const std::string& file) {
  constexpr std::size_t kMost = 4096;
  std::string key;
  if (!file.empty()) {
    const auto mapped = compat::MappedFile::open(file);
    const auto bytes = mapped->bytes();
    if (bytes.size() > kMost)
      throw compat::UsageError("--api-key-file: " + compat::printable(file, 4096) +
                               " is longer than a key");
    key = compat::strip({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    if (key.empty())
      throw compat::UsageError("--api-key-file: " + compat::printable(file, 4096) + " has no key");
  } else if (const char* const variable = std::getenv("BTM_API_KEY")) {
    key = compat::strip(variable);
  }
  return key;
}

/// Lets both threads work until a signal, of which a SignalGuard hears: this one computes, the
/// other one speaks HTTP.
void serve(Engine& engine, HttpServer& server, Service& service, LogWriter& log) {
  server.look_regularly([&] {
    if (compat::received_signal() == 0) return true;
    log.write("btm serve: " + compat::signal_name(compat::received_signal()) +
              ": answers running requests, and ends");
    service.refuse_new();
    engine.stop();
    server.drain();
    return false;
  });
  std::thread sockets([&] { server.run(); });
  std::exception_ptr failure;
  try {
    engine.run();
  } catch (...) {
    failure = std::current_exception();
    server.stop();  // no answer will come
  }
  server.finish();
  sockets.join();
  if (failure) std::rethrow_exception(failure);
}

/// Says where the server is, and how it mixes models where no flag says it.
void announce(const ServeCommand& command, const HttpServer& server, const FoundModels& found) {
  const bool v6 = command.server.host.find(':') != std::string::npos;
  const std::string host = v6 ? "[" + command.server.host + "]" : command.server.host;
  std::cerr << "btm serve: " << found.experts.size()
            << (found.experts.size() == 1 ? " model" : " models") << " at http://" << host << ':'
            << server.port() << "/v1" << std::endl;
  if (const std::string line = mixture_note(command.models, found); !line.empty())
    std::cerr << "btm serve: " << line << std::endl;
}

int run(ServeCommand& command) {
  const auto warn = [](const std::string& line) {
    std::cerr << "btm serve: " << line << std::endl;
  };
  const std::string key = read_key(command.key_file);
  command.check_ranges();
  command.server.connections = static_cast<std::size_t>(command.connections);
  command.server.body_bytes = static_cast<std::size_t>(command.body_bytes);
  use_page_arena(MemoryUse::kEvaluation);
  const FoundModels found = find_models(command.models, warn);
  const MixtureOptions mixture = mixture_of(command.models, found);
  compat::TextCodec codec = codec_of(command.models, found);

  LogWriter writer;
  // The port is taken before the models are loaded, so that an error comes at once.
  std::unique_ptr<Service> service;
  HttpServer server(command.server,
                    {.handle =
                         [&](HttpRequest request, const std::shared_ptr<Exchange>& exchange) {
                           return service->handle(std::move(request), exchange);
                         },
                     .refuse =
                         [&](int status, const std::string& problem, const std::string& client) {
                           return service->refusal(status, problem, client);
                         },
                     .count = [&](std::size_t open) { service->count_connections(open); }});
  say_products("btm serve", command.models.machine);
  warn(memory_note(command.models, found, command.cache_tokens));
  const std::unique_ptr<Predictor> predictor =
      predictor_of(command.models, found, mixture, {command.cache_tokens, {}});
  Engine engine(*predictor, codec.clone(), command.engine_limits());
  Service::Log log;
  if (!command.quiet) log = [&writer](const std::string& line) { writer.write(line); };
  service = std::make_unique<Service>(
      ServedModels(command.name, found.names(),
                   make_posterior(mixture, found.experts, found.dictionary)),
      std::move(codec), engine,
      ServiceOptions{.api_key = key,
                     .positions = predictor->max_positions(),
                     .request_seconds = command.request_seconds,
                     .limits = {}},
      [&](std::function<void()> work) { server.post(std::move(work)); }, log);
  if (key.empty() && command.server.host != "127.0.0.1" && command.server.host != "::1")
    warn("no key is asked for: whoever reaches " + compat::printable(command.server.host) +
         " may use the models (--api-key-file)");
  const compat::SignalGuard guard;
  announce(command, server, found);
  serve(engine, server, *service, writer);
  return 0;
}

}  // namespace

compat::CommandSpec serve_spec() { return compat::spec_owning<ServeCommand>(); }

int run_serve(std::span<const std::string> args) {
  ServeCommand command;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(command.spec(), args, std::cout, ignored)) return 0;
  return run(command);
}

}  // namespace btm
