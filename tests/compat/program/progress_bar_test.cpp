#include "compat/program/progress_bar.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <string_view>

namespace compat {
namespace {

using Lines = std::vector<std::string>;

/// The lines of ten steps. In tests stderr is no terminal, so there is no bar.
Lines lines_of(const std::string& format, std::int64_t interval) {
  Lines lines;
  ProgressBar bar("run", format, interval, false,
                  [&](const std::string& line) { lines.push_back(line); });
  for (std::int64_t step = 1; step <= 10; ++step)
    bar.update(step, 10, [] { return ProgressBar::Stats{{"loss", "1.5"}, {"ppl", "2.8"}}; });
  return lines;
}

TEST(ProgressBar, PrintsPlainLinesEveryInterval) {
  EXPECT_EQ(lines_of("simple", 4),
            (Lines{"run: 4 / 10 loss=1.5, ppl=2.8", "run: 8 / 10 loss=1.5, ppl=2.8"}));
}

TEST(ProgressBar, PrintsJson) {
  EXPECT_EQ(lines_of("json", 10), (Lines{R"({"done":10,"total":10,"loss":"1.5","ppl":"2.8"})"}));
}

/// Replaces standard error by a terminal of 101 columns, until it is read.
class Terminal {
 public:
  Terminal() : master_(::posix_openpt(O_RDWR | O_NOCTTY)), before_(::dup(STDERR_FILENO)) {
    if (master_ < 0 || ::grantpt(master_) != 0 || ::unlockpt(master_) != 0)
      throw std::runtime_error("no terminal");
    slave_ = ::open(::ptsname(master_), O_RDWR | O_NOCTTY);
    const winsize size{24, 101, 0, 0};
    if (slave_ < 0 || ::ioctl(slave_, TIOCSWINSZ, &size) != 0)
      throw std::runtime_error("no terminal");
    ::dup2(slave_, STDERR_FILENO);
  }
  ~Terminal() {
    for (const int fd : {master_, slave_, before_}) ::close(fd);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  std::string read() {
    ::dup2(before_, STDERR_FILENO);
    constexpr std::string_view kEnd = "<end of the test's output>";
    if (::write(slave_, kEnd.data(), kEnd.size()) < 0) throw std::runtime_error("no terminal");
    std::string text;
    std::array<char, 4096> part{};
    while (!text.ends_with(kEnd)) {
      const ssize_t got = ::read(master_, part.data(), part.size());
      if (got <= 0) throw std::runtime_error("no terminal");
      text.append(part.data(), static_cast<std::size_t>(got));
    }
    return text.substr(0, text.size() - kEnd.size());
  }

 private:
  int master_, before_, slave_ = -1;
};

/// What was done before this process says nothing of the time that is left.
TEST(ProgressBar, KnowsNoTimeLeftBeforeSomethingIsDone) {
  Terminal terminal;
  {
    ProgressBar bar("run", "tqdm", 1, false, [](const std::string&) {});
    bar.update(
        9, 18,
        [] {
          return ProgressBar::Stats{{"running", "a"}};
        },
        0.75);
  }
  const std::string text = terminal.read();
  EXPECT_NE(text.find(" 75% 9/18 [00:00<?] running=a"), std::string::npos) << text;
}

/// The output of a bar on a terminal after one step of four.
std::string drawn(const std::string& prefix, const std::string& value) {
  Terminal terminal;
  {
    ProgressBar bar(prefix, "tqdm", 1, false, [](const std::string&) {});
    bar.update(1, 4, [&] { return ProgressBar::Stats{{"loss", value}}; });
  }
  return terminal.read();
}

TEST(ProgressBar, EscapesNamesOnATerminal) {
  const std::string text = drawn("a\x1b[31mb\n", "\x9b");
  EXPECT_TRUE(text.starts_with("\r\033[Ka\\x1b[31mb\\x0a")) << text;
  EXPECT_NE(text.find("loss=\\x9b"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("\r\033[K")) << text;
  EXPECT_EQ(text.find('\033', 1 + text.find('\033')), text.size() - 3)
      << text;  // only the bar's own
}

TEST(ProgressBar, CutsALineAtTheWidthAndNotAmidACharacter) {
  std::string wide;
  for (int i = 0; i < 60; ++i) wide += "\xe6\x9d\xb1";
  EXPECT_EQ(drawn(wide, "1"), "\r\033[K" + wide.substr(0, 99) + "\r\033[K");
}

TEST(ProgressBar, IsSilentWhenAsked) { EXPECT_TRUE(lines_of("none", 1).empty()); }

TEST(ProgressBar, AsksForNumbersOnlyToShowThem) {
  int asked = 0;
  ProgressBar bar("run", "simple", 100, false, [](const std::string&) {});
  for (std::int64_t step = 1; step <= 99; ++step)
    bar.update(step, 99, [&] { return ++asked, ProgressBar::Stats{}; });
  EXPECT_EQ(asked, 0);
}

}  // namespace
}  // namespace compat
