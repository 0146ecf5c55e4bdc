#include "btm/serve/http_server.h"

#include <cerrno>
#include <chrono>
#include <exception>
#include <optional>
#include <set>
#include <utility>

#include "btm/serve/asio.h"
#include "btm/serve/http_session.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;

struct HttpServer::State {
  State(const ServerOptions& server, ServerHandler asked)
      : options(server), handler(std::move(asked)) {}

  void accept();
  void take(Tcp::socket socket);

  ServerOptions options;
  ServerHandler handler;
  asio::io_context context{1};
  Tcp::acceptor acceptor{context};
  asio::steady_timer pause{context};
  asio::steady_timer regularly{context};
  std::function<bool()> look;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> answers_come{
      asio::make_work_guard(context)};
  Sessions sessions;
  std::set<std::shared_ptr<HttpSession>> open;
  bool draining = false;

  void wait_to_look();
};

namespace {

/// Opens the socket that listens.
void listen(Tcp::acceptor& acceptor, const ServerOptions& options) {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(options.host, error);
  if (error)
    throw compat::UsageError("--host '" + compat::printable(options.host) +
                             "': expected an address such as 127.0.0.1, 0.0.0.0 or ::1");
  const Tcp::endpoint endpoint(address, static_cast<std::uint16_t>(options.port));
  const std::string place = compat::concat(options.host, ':', options.port);
  const auto check = [&](const char* action) {
    if (error) throw compat::IoError(place, action, error.value());
  };
  acceptor.open(endpoint.protocol(), error);
  check("socket");
  acceptor.set_option(Tcp::acceptor::reuse_address(true), error);
  acceptor.bind(endpoint, error);
  check("bind");
  acceptor.listen(Tcp::acceptor::max_listen_connections, error);
  check("listen");
}

}  // namespace

HttpServer::HttpServer(const ServerOptions& options, ServerHandler handler)
    : state_(std::make_unique<State>(options, std::move(handler))) {
  listen(state_->acceptor, options);
  State& state = *state_;
  state.sessions = {&state.options, &state.handler, [&state] { return state.draining; }, 0,
                    [&state](const std::shared_ptr<HttpSession>& session) {
                      state.open.erase(session);
                      state.handler.count(state.open.size());
                    }};
}

HttpServer::~HttpServer() = default;

std::int64_t HttpServer::port() const { return state_->acceptor.local_endpoint().port(); }

void HttpServer::State::accept() {
  acceptor.async_accept([this](boost::system::error_code error, Tcp::socket socket) {
    if (draining || error == asio::error::operation_aborted) return;
    if (!error) {
      accept();
      return take(std::move(socket));
    }
    // No descriptor or no memory is left: some will come back.
    pause.expires_after(std::chrono::milliseconds(100));
    pause.async_wait([this](boost::system::error_code stopped) {
      if (!stopped && !draining) accept();
    });
  });
}

void HttpServer::State::take(Tcp::socket socket) {
  boost::system::error_code ignored;
  socket.set_option(Tcp::no_delay(true), ignored);
  const auto session = HttpSession::make(std::move(socket), sessions);
  open.insert(session);
  try {
    handler.count(open.size());
    if (open.size() > options.connections)
      session->refuse(503, "too many connections");
    else
      session->start();
  } catch (...) {
    open.erase(session);
    throw;
  }
}

void HttpServer::run() {
  state_->accept();
  for (;;) {
    try {
      state_->context.run();
      return;
    } catch (const std::exception& error) {  // one connection's answer is lost, such as for memory
      state_->handler.refuse(500, compat::printable(error.what(), 200), "-");
    }
  }
}

void HttpServer::post(std::function<void()> work) { asio::post(state_->context, std::move(work)); }

void HttpServer::drain() {
  state_->draining = true;
  boost::system::error_code ignored;
  state_->acceptor.close(ignored);
  state_->pause.cancel();
  for (const auto& session : std::set(state_->open)) session->drain();
}

void HttpServer::finish() {
  post([this] { state_->answers_come.reset(); });
}

void HttpServer::stop() { state_->context.stop(); }

void HttpServer::State::wait_to_look() {
  regularly.expires_after(std::chrono::milliseconds(100));
  regularly.async_wait([this](boost::system::error_code error) {
    if (!error && look()) wait_to_look();
  });
}

void HttpServer::look_regularly(std::function<bool()> look) {
  state_->look = std::move(look);
  state_->wait_to_look();
}

}  // namespace btm
