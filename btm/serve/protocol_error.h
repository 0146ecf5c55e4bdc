// What a client is told when its request cannot be answered.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace btm {

/// Becomes the protocol's object {"error": {message, type, param, code}} with an HTTP status.
class ProtocolError : public std::runtime_error {
 public:
  /// `param` names the field of the request that is wrong, and `code` the kind of error; either may
  /// be empty. From status 500 on, and for 429, the type says that the server is to blame.
  ProtocolError(int status, const std::string& message, std::string param = {},
                std::string code = {})
      : std::runtime_error(message),
        status_(status),
        param_(std::move(param)),
        code_(std::move(code)) {}

  int status() const noexcept { return status_; }
  const std::string& param() const noexcept { return param_; }
  const std::string& code() const noexcept { return code_; }
  /// Whether the same request may succeed later.
  bool worth_repeating() const noexcept { return status_ == 429 || status_ == 503; }
  std::string type() const;

 private:
  int status_;
  std::string param_, code_;
};

/// A field of a request is wrong: status 400.
inline ProtocolError bad_field(const std::string& param, const std::string& problem) {
  return {400, "'" + param + "': " + problem, param};
}

}  // namespace btm
