#include "btm/serve/http_session.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "compat/base/concat.h"
#include "compat/base/numbers.h"

namespace btm {

namespace asio = boost::asio;
namespace http = boost::beast::http;

namespace {

/// What a client may send ahead while its answer is under way. Behind it, nobody looks whether the
/// client has left.
constexpr std::size_t kSentAhead = std::size_t{64} << 10;
/// What is read of a request that was refused, so that the client comes to read the answer.
constexpr std::size_t kDiscarded = std::size_t{64} << 20;
constexpr double kLingerSeconds = 5;
/// What a client must take within ServerOptions::write_seconds.
constexpr std::size_t kPiece = std::size_t{256} << 10;

const char* reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Payload Too Large";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return status < 500 ? "Error" : "Internal Server Error";
  }
}

/// A chunk of the transfer encoding of HTTP/1.1.
std::string chunk_of(const std::string& part) {
  return compat::concat(compat::hexadecimal(part.size()), "\r\n", part, "\r\n");
}

std::string text_of(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

std::shared_ptr<HttpSession> HttpSession::make(Socket socket, Sessions& sessions) {
  return std::shared_ptr<HttpSession>(new HttpSession(std::move(socket), sessions));
}

HttpSession::HttpSession(Socket socket, Sessions& sessions)
    : socket_(std::move(socket)), sessions_(sessions), timer_(socket_.get_executor()) {
  ErrorCode error;
  const auto endpoint = socket_.remote_endpoint(error);
  client_ = error ? "-" : compat::concat(endpoint.address().to_string(), ':', endpoint.port());
}

void HttpSession::expire_in(double seconds) {
  timer_.expires_after(std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000)));
  timer_.async_wait([self = shared_from_this()](ErrorCode error) {
    // An older wait, whose time had come when it was renewed, is over as well.
    if (!error && self->timer_.expiry() <= asio::steady_timer::clock_type::now()) self->expired();
  });
}

/// Also withdraws a wait that is over and whose function waits to be called.
void HttpSession::expire_never() {
  timer_.expires_at(asio::steady_timer::clock_type::time_point::max());
}

void HttpSession::expired() {
  const bool begun = parser_ && (parser_->got_some() || buffer_.size() > 0);
  if (phase_ == Phase::kReading && begun) {
    refuse(408, "the request did not arrive in time");
    return;
  }
  if (phase_ == Phase::kAnswering) left();
  close();
}

void HttpSession::read_request() {
  phase_ = Phase::kReading;
  if (sessions_.draining()) return close();
  bodiless_ = false;
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(sessions_.options->header_bytes));
  parser_->body_limit(sessions_.options->body_bytes);
  expire_in(sessions_.options->read_seconds);
  http::async_read_header(socket_, buffer_, *parser_,
                          [self = shared_from_this()](ErrorCode error, std::size_t) {
                            if (self->phase_ != Phase::kReading) return;
                            if (error) return self->failed_to_read(error);
                            self->continue_reading();
                          });
}

/// Whether there is memory for the body beside those of others.
bool HttpSession::expect_body() {
  const auto length = parser_->content_length();
  const std::size_t most = sessions_.options->body_bytes;
  body_ = length               ? static_cast<std::size_t>(std::min<std::uint64_t>(*length, most))
          : parser_->chunked() ? most
                               : 0;
  sessions_.arriving += body_;
  return sessions_.arriving <= most * sessions_.options->bodies;
}

/// A client that asks first whether it may send the body is told so.
void HttpSession::continue_reading() {
  if (!expect_body()) return refuse(503, "too many large requests arrive");
  const auto expect = text_of(parser_->get()[http::field::expect]);
  if (!boost::beast::iequals(expect, "100-continue")) return read_body();
  static const std::string kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  asio::async_write(socket_, asio::buffer(kContinue),
                    [self = shared_from_this()](ErrorCode error, std::size_t) {
                      if (self->phase_ != Phase::kReading) return;
                      if (error) return self->close();
                      self->read_body();
                    });
}

void HttpSession::read_body() {
  http::async_read(socket_, buffer_, *parser_,
                   [self = shared_from_this()](ErrorCode error, std::size_t) {
                     if (self->phase_ != Phase::kReading) return;
                     if (error) return self->failed_to_read(error);
                     self->handle();
                   });
}

void HttpSession::failed_to_read(ErrorCode error) {
  if (error == http::error::header_limit) return refuse(431, "the header is too large");
  if (error == http::error::body_limit)
    return refuse(
        413, compat::concat("the body is larger than ", sessions_.options->body_bytes, " bytes"));
  if (error == http::error::partial_message) return refuse(400, "the request was cut short");
  if (error == http::error::end_of_stream || error == asio::error::operation_aborted ||
      error.category() != http::make_error_code(http::error::bad_method).category())
    return close();
  refuse(400, "this is no request of HTTP/1.1");
}

void HttpSession::handle() {
  expire_never();
  release_body();
  phase_ = Phase::kAnswering;
  answered_ = false;
  auto& message = parser_->get();
  keeps_ = message.keep_alive();
  chunked_ = message.version() >= 11;
  bodiless_ = message.method() == http::verb::head;
  HttpRequest request;
  request.method = text_of(message.method_string());
  request.target = text_of(message.target());
  request.target.resize(std::min(request.target.find('?'), request.target.size()));
  request.authorization = text_of(message[http::field::authorization]);
  request.body = std::move(message.body());
  request.client = client_;
  parser_.reset();
  give_up_ = sessions_.handler->handle(std::move(request), shared_from_this());
  if (answered_) give_up_ = nullptr;
  if (phase_ == Phase::kAnswering && !answered_) watch();
}

/// Notices a client that leaves before its answer has come. What it sends ahead is kept.
void HttpSession::watch() {
  if (watching_ || buffer_.size() >= kSentAhead) return;
  watching_ = true;
  socket_.async_wait(Socket::wait_read, [self = shared_from_this()](ErrorCode error) {
    self->watching_ = false;
    if (self->phase_ != Phase::kAnswering) return;
    if (error == asio::error::operation_aborted) {
      if (self->answered_ && !self->writing_ && self->to_write_.empty()) self->read_request();
      return;
    }
    ErrorCode read_error;
    const std::size_t ready = std::min<std::size_t>(self->socket_.available(read_error), 4096);
    if (error || read_error || ready == 0) {
      self->left();
      return self->close();
    }
    const std::size_t size = self->socket_.read_some(self->buffer_.prepare(ready), read_error);
    self->buffer_.commit(size);
    if (read_error) {
      self->left();
      return self->close();
    }
    if (!self->answered_) return self->watch();
    if (!self->writing_ && self->to_write_.empty()) self->read_request();
  });
}

void HttpSession::left() {
  if (const auto give_up = std::exchange(give_up_, nullptr)) give_up();
}

std::string HttpSession::head_of(const HttpAnswer& answer, bool in_parts) const {
  std::string head = compat::concat("HTTP/1.1 ", answer.status, ' ', reason_of(answer.status),
                                    "\r\nServer: btm\r\nContent-Type: ", answer.type, "\r\n");
  if (!in_parts)
    compat::append(head, "Content-Length: ", answer.body.size(), "\r\n");
  else if (chunked_)
    head += "Transfer-Encoding: chunked\r\n";
  compat::append(head, "Connection: ", keeps_ ? "keep-alive" : "close", "\r\n");
  for (const auto& [name, value] : answer.headers) compat::append(head, name, ": ", value, "\r\n");
  return head + "\r\n";
}

void HttpSession::answer(HttpAnswer answer) {
  if (phase_ != Phase::kAnswering) return;
  keeps_ = keeps_ && !sessions_.draining();
  answered_ = true;
  queue(head_of(answer, false) + (bodiless_ ? std::string() : answer.body));
}

void HttpSession::begin(HttpAnswer head) {
  if (phase_ != Phase::kAnswering) return;
  keeps_ = keeps_ && chunked_ && !sessions_.draining();
  queue(head_of(head, true));
}

void HttpSession::send(std::string part) {
  if (phase_ != Phase::kAnswering) return;
  queue(chunked_ ? chunk_of(part) : std::move(part));
}

void HttpSession::end() {
  if (phase_ != Phase::kAnswering) return;
  answered_ = true;
  queue(chunked_ ? "0\r\n\r\n" : "");
}

void HttpSession::queue(std::string bytes) {
  if (answered_) give_up_ = nullptr;
  if (!bytes.empty()) to_write_.push_back(std::move(bytes));
  if (!writing_) write();
}

void HttpSession::write() {
  if (to_write_.empty()) return written();
  // Parts that have waited go together.
  std::string bytes = std::move(to_write_.front());
  to_write_.pop_front();
  for (; !to_write_.empty(); to_write_.pop_front()) bytes += to_write_.front();
  write(std::make_shared<const std::string>(std::move(bytes)), 0);
}

/// Writes `bytes` from `from` on, piece by piece, and then what has come meanwhile.
void HttpSession::write(const std::shared_ptr<const std::string>& bytes, std::size_t from) {
  writing_ = true;
  expire_in(sessions_.options->write_seconds);
  const std::size_t size = std::min(bytes->size() - from, kPiece);
  asio::async_write(
      socket_, asio::buffer(bytes->data() + from, size),
      [self = shared_from_this(), bytes, to = from + size](ErrorCode error, std::size_t) {
        self->writing_ = false;
        self->expire_never();
        if (self->phase_ == Phase::kClosed) return;
        if (error) {
          self->left();
          return self->close();
        }
        if (to < bytes->size())
          self->write(bytes, to);
        else
          self->write();
      });
}

/// All that there was is sent.
void HttpSession::written() {
  if (!answered_) return;
  if (!keeps_) return linger();
  if (!watching_) return read_request();
  ErrorCode ignored;
  socket_.cancel(ignored);  // watch() then goes on
}

void HttpSession::refuse(int status, const std::string& problem) {
  ErrorCode ignored;
  socket_.cancel(ignored);
  release_body();
  phase_ = Phase::kAnswering;
  keeps_ = false;
  answer(sessions_.handler->refuse(status, problem, client_));
}

/// Lets the client read the answer: a socket that is closed with unread bytes discards it.
void HttpSession::linger() {
  ErrorCode error;
  phase_ = Phase::kLingering;
  socket_.cancel(error);
  socket_.shutdown(Socket::shutdown_send, error);
  if (error) return close();
  expire_in(kLingerSeconds);
  buffer_.clear();
  discard();
}

void HttpSession::discard() {
  buffer_.clear();
  socket_.async_read_some(buffer_.prepare(std::size_t{64} << 10),
                          [self = shared_from_this()](ErrorCode error, std::size_t size) {
                            if (self->phase_ != Phase::kLingering) return;
                            self->discarded_ += size;
                            if (error || self->discarded_ > kDiscarded) return self->close();
                            self->discard();
                          });
}

void HttpSession::drain() {
  if (phase_ == Phase::kReading && !(parser_ && parser_->got_some()) && buffer_.size() == 0)
    close();
}

void HttpSession::close() {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  release_body();
  give_up_ = nullptr;
  ErrorCode ignored;
  expire_never();
  socket_.close(ignored);
  sessions_.closed(shared_from_this());
}

}  // namespace btm
