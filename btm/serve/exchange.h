// One request of HTTP and its answer, without a socket.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace btm {

struct HttpRequest {
  std::string method, target;  ///< As they were sent; the target without its query.
  std::string authorization;   ///< That header, or "".
  std::string body;
  std::string client;  ///< Its address, for the log.
};

struct HttpAnswer {
  int status = 200;
  std::string body;
  std::string type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers = {};
};

/// Where an answer goes. All calls come from the thread of the sockets, and the last one is
/// answer() or end().
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual void answer(HttpAnswer answer) = 0;
  /// Begins an answer that comes in parts.
  virtual void begin(HttpAnswer head) = 0;
  virtual void send(std::string part) = 0;
  virtual void end() = 0;
};

}  // namespace btm
