#include "btm/serve/log_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace btm {
namespace {

class Pipe {
 public:
  Pipe() {
    if (::pipe(ends_.data()) != 0) throw std::runtime_error("pipe failed");
  }
  ~Pipe() {
    for (const int fd : ends_) ::close(fd);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int write_end() const { return ends_[1]; }
  void close_write_end() { ::close(std::exchange(ends_[1], -1)); }
  /// Until the write end is closed.
  std::string rest() const {
    std::string text;
    std::array<char, 65536> part{};
    for (ssize_t got = 0; (got = ::read(ends_[0], part.data(), part.size())) > 0;)
      text.append(part.data(), static_cast<std::size_t>(got));
    return text;
  }

 private:
  std::array<int, 2> ends_{};
};

TEST(LogWriter, WritesLinesInTheirOrder) {
  Pipe pipe;
  {
    LogWriter log(pipe.write_end());
    for (const char* const line : {"one", "", "three"}) log.write(line);
  }
  pipe.close_write_end();
  EXPECT_EQ(pipe.rest(), "one\n\nthree\n");
}

TEST(LogWriter, WaitsForNoReaderAndSaysWhatWasLost) {
  Pipe pipe;
  constexpr int kLines = 5000;  // 5 MB; the pipe and the writer hold a little more than 2 MB
  std::string text;
  std::jthread reader;
  {
    LogWriter log(pipe.write_end());
    for (int i = 0; i < kLines; ++i) log.write(std::string(1023, 'x'));
    reader = std::jthread([&] { text = pipe.rest(); });
  }
  pipe.close_write_end();
  reader.join();
  int written = 0, lost = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const bool tells = line.ends_with(" lines of the log were lost, because nobody read it");
    if (tells) lost += std::stoi(line.substr(std::string("btm serve: ").size()));
    written += line.front() == 'x' ? 1 : 0;
  }
  EXPECT_EQ(written + lost, kLines);
  EXPECT_LT(written, 3000);
}

TEST(LogWriter, EndsWhereNobodyReads) {
  const Pipe pipe;
  LogWriter log(pipe.write_end());
  log.write(std::string(500'000, 'x'));  // the destructor would wait for ever
}

TEST(LogWriter, EndsWhereNothingCanBeWritten) {
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(full, 0);
  {
    LogWriter log(full);
    log.write("lost");
  }
  ::close(full);
}

}  // namespace
}  // namespace btm
