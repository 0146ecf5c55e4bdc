// One connection: it reads requests and sends their answers, one after another.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "btm/serve/asio.h"
#include "btm/serve/exchange.h"
#include "btm/serve/http_server.h"

namespace btm {

class HttpSession;

/// What all sessions share.
struct Sessions {
  const ServerOptions* options = nullptr;
  const ServerHandler* handler = nullptr;
  std::function<bool()> draining;
  std::size_t arriving = 0;  ///< Bytes of bodies for which there is to be memory.
  std::function<void(const std::shared_ptr<HttpSession>& session)> closed;
};

class HttpSession final : public Exchange, public std::enable_shared_from_this<HttpSession> {
 public:
  using Socket = boost::asio::ip::tcp::socket;

  /// `sessions` outlives it.
  static std::shared_ptr<HttpSession> make(Socket socket, Sessions& sessions);

  void start() { read_request(); }
  /// Answers whatever comes with an error, and closes.
  void refuse(int status, const std::string& problem);
  /// Closes, behind an answer that is under way.
  void drain();

  void answer(HttpAnswer answer) override;
  void begin(HttpAnswer head) override;
  void send(std::string part) override;
  void end() override;

 private:
  using Body = boost::beast::http::string_body;
  using Parser = boost::beast::http::request_parser<Body>;
  using ErrorCode = boost::system::error_code;
  enum class Phase { kReading, kAnswering, kLingering, kClosed };

  HttpSession(Socket socket, Sessions& sessions);
  void expire_in(double seconds);
  void expire_never();
  void expired();
  void read_request();
  void continue_reading();
  bool expect_body();
  void release_body() { sessions_.arriving -= std::exchange(body_, 0); }
  void read_body();
  void failed_to_read(ErrorCode error);
  void handle();
  void watch();
  void left();
  std::string head_of(const HttpAnswer& answer, bool in_parts) const;
  void queue(std::string bytes);
  void write();
  void write(const std::shared_ptr<const std::string>& bytes, std::size_t from);
  void written();
  void linger();
  void discard();
  void close();

  Socket socket_;
  Sessions& sessions_;
  boost::asio::steady_timer timer_;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  std::function<void()> give_up_;
  std::deque<std::string> to_write_;
  std::string client_;
  Phase phase_ = Phase::kReading;
  std::size_t body_ = 0;   ///< Bytes of its own in Sessions::arriving.
  bool bodiless_ = false;  ///< The answer to HEAD has no body.
  bool keeps_ = false;     ///< The connection, behind the answer.
  bool chunked_ = false;   ///< Parts are sent as chunks: the client speaks HTTP/1.1.
  bool answered_ = false;  ///< All of the answer is in to_write_.
  bool watching_ = false;  ///< Whether the client leaves.
  bool writing_ = false;
  std::size_t discarded_ = 0;
};

}  // namespace btm
