// Replaces gloo's headers, which LibTorch's wheel lacks although its libtorch_cpu contains gloo.
// These are the declarations that c10d/ProcessGroupGloo.hpp needs, and no more. Only
// gloo_communicator.cpp sees them. Debian's libgloo-dev does not fit: it is another version, with
// fewer virtual functions in Store. Nothing here depends on a layout or a vtable: libtorch_cpu
// makes and uses gloo's objects, which stay behind shared_ptr.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace gloo {

class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};

namespace transport {

class Device;

class UnboundBuffer {
 public:
  virtual ~UnboundBuffer();
};

}  // namespace transport

namespace rendezvous {

class Store {
 public:
  virtual ~Store();
  virtual void set(const std::string& key, const std::vector<char>& data) = 0;
  virtual std::vector<char> get(const std::string& key) = 0;
  virtual void wait(const std::vector<std::string>& keys) = 0;
  virtual void wait(const std::vector<std::string>& keys,
                    const std::chrono::milliseconds& timeout) = 0;
};

}  // namespace rendezvous
}  // namespace gloo
