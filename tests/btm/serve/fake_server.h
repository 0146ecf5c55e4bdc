// A server without sockets on a predictor whose probabilities a test writes down.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "btm/serve/service.h"
#include "compat/io/json_text.h"
#include "tests/btm/generate/fake_predictor.h"

namespace btm_test {

/// Symbols: 4 is "a" and so on to 11, "h"; é is 12.
inline compat::TextCodec letters() {
  return {compat::Dictionary::parse("a 9\nb 8\nc 7\nd 6\ne 5\nf 4\ng 3\nh 2\né 1\n", "dict.txt"),
          "dict.txt", nullptr, ""};
}
constexpr std::int64_t kLetters = 13;

/// After a letter the next one is the most probable; after é comes the end. Weights of experts do
/// not matter much.
inline std::vector<double> next_letter(std::size_t expert, const FakePredictor::Tokens& text) {
  std::vector<double> p(kLetters, 0.01);
  p[1] = 0;
  const std::int64_t last = text.empty() ? 3 : text.back();
  p[static_cast<std::size_t>(last >= 3 && last < 12 ? last + 1 : 2)] = expert == 0 ? 1 : 0.5;
  return p;
}

/// What a client would get.
struct FakeExchange : btm::Exchange {
  void answer(btm::HttpAnswer given) override { answered = std::move(given), done = true; }
  void begin(btm::HttpAnswer head) override { answered = std::move(head); }
  void send(std::string part) override {
    if (failures > 0 && failures-- > 0) throw std::bad_alloc();
    parts.push_back(std::move(part));
  }
  void end() override { done = true; }

  nlohmann::json json() const { return compat::parse_json(answered.body); }
  /// The JSON of a stream's events.
  std::vector<nlohmann::json> events() const {
    std::vector<nlohmann::json> all;
    for (const std::string& part : parts)
      all.push_back(part == "data: [DONE]\n\n"
                        ? nlohmann::json("done")
                        : compat::parse_json(std::string_view(part).substr(6)));
    return all;
  }

  btm::HttpAnswer answered;
  std::vector<std::string> parts;
  int failures = 0;  ///< So many calls of send() fail.
  bool done = false;
};

/// The engine works in a thread; this one takes the place of that of the sockets.
class FakeServer {
 public:
  explicit FakeServer(std::vector<double> weights = {1}, btm::EngineLimits limits = {},
                      btm::ServiceOptions options = {.api_key = {}, .positions = 100, .limits = {}},
                      bool runs = true, const compat::TextCodec& codec = letters())
      : predictor(kLetters, next_letter, weights),
        engine(predictor, codec.clone(), limits),
        service(
            models(weights.size()), codec.clone(), engine, std::move(options),
            [this](std::function<void()> work) {
              const std::lock_guard lock(mutex_);
              work_.push_back(std::move(work));
            },
            [this](const std::string& line) { log.push_back(line); }) {
    if (runs) start();
  }
  ~FakeServer() {
    engine.stop();
    if (thread_.joinable()) thread_.join();
  }

  void start() {
    thread_ = std::thread([this] { engine.run(); });
  }

  std::shared_ptr<FakeExchange> send(const std::string& method, const std::string& target,
                                     const std::string& body = {}, const std::string& key = {}) {
    const auto exchange = std::make_shared<FakeExchange>();
    give_up = service.handle({method, target, key, body, "client"}, exchange);
    return exchange;
  }
  std::shared_ptr<FakeExchange> complete(const std::string& body) {
    const auto exchange = send("POST", "/v1/completions", body);
    wait(*exchange);
    return exchange;
  }
  void wait(const FakeExchange& exchange) {
    while (!exchange.done) {
      work();
      std::this_thread::yield();
    }
  }
  /// What the engine has posted.
  void work() {
    std::deque<std::function<void()>> taken;
    {
      const std::lock_guard lock(mutex_);
      taken.swap(work_);
    }
    for (const auto& one : taken) one();
  }

  FakePredictor predictor;
  btm::Engine engine;
  std::vector<std::string> log;
  btm::Service service;
  std::function<void()> give_up;

 private:
  static btm::ServedModels models(std::size_t experts) {
    std::vector<std::string> names{"law", "cs", "news"};
    names.resize(experts);
    return {"ensemble", names,
            btm::Posterior(btm::Prior::uniform(experts), btm::PosteriorRule::kNone)};
  }

  std::mutex mutex_;
  std::deque<std::function<void()>> work_;
  std::thread thread_;
};

}  // namespace btm_test
