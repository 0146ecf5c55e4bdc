// Stands in for gloo's headers, which LibTorch's wheel leaves out although its libtorch_cpu holds
// gloo itself: the declarations that c10d/ProcessGroupGloo.hpp cannot do without, and no more. Only
// gloo_communicator.cpp sees them. Not Debian's libgloo-dev: that is another version than the
// wheel's, with fewer virtual functions in Store. Here nothing depends on a layout or a vtable:
// gloo's objects stay behind shared_ptr, made and used inside libtorch_cpu.
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
