// Connections of clients that speak HTTP/1.1 or 1.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "btm/serve/exchange.h"

namespace btm {

struct ServerOptions {
  std::string host = "127.0.0.1";
  std::int64_t port = 0;           ///< 0: any that is free.
  std::size_t connections = 2048;  ///< At once; others get 503.
  std::size_t header_bytes = std::size_t{32} << 10;
  std::size_t body_bytes = std::size_t{8} << 20;
  std::size_t bodies = 64;    ///< So many of the largest bodies may arrive at once; others get 503.
  double read_seconds = 30;   ///< For a request to arrive, and for a connection without one.
  double write_seconds = 30;  ///< For a client to take what is sent.
};

/// What a server asks about its requests; called in the thread of run().
struct ServerHandler {
  /// Answers a request, now or later, and returns what gives it up when the client has left.
  std::function<std::function<void()>(HttpRequest request, std::shared_ptr<Exchange> exchange)>
      handle;
  /// The answer to what is no request.
  std::function<HttpAnswer(int status, const std::string& problem, const std::string& client)>
      refuse;
  std::function<void(std::size_t connections)> count;
};

class HttpServer {
 public:
  /// Listens. compat::IoError, with host and port, where that cannot be; compat::UsageError for a
  /// host that is no address.
  HttpServer(const ServerOptions& options, ServerHandler handler);
  ~HttpServer();

  std::int64_t port() const;
  /// Serves until drain() and finish(), and until all answers are sent.
  void run();
  /// From any thread: runs `work` in the thread of run().
  void post(std::function<void()> work);
  /// In the thread of run(): takes no more connections, closes those without a request, and the
  /// others behind their answers.
  void drain();
  /// From any thread: no more answers will come.
  void finish();
  /// From any thread: ends run() at once, whatever is still to be answered.
  void stop();
  /// Before run(): calls `look` ten times a second until it returns false.
  void look_regularly(std::function<bool()> look);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace btm
