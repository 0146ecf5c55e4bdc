#include "btm/serve/http_server.h"

#include <gtest/gtest.h>

#include <thread>

namespace btm {
namespace {

/// Nothing that repeats holds up the end.
TEST(HttpServer, StopsAtOnce) {
  HttpServer server({}, {.handle = {}, .refuse = {}, .count = [](std::size_t) {}});
  EXPECT_GT(server.port(), 0);
  server.look_regularly([] { return true; });
  std::thread sockets([&] { server.run(); });
  server.stop();
  sockets.join();
}

}  // namespace
}  // namespace btm
