#include "compat/base/parallel.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <iostream>
#include <stdexcept>
#include <string>

namespace compat {
namespace {

/// Squares 0 ... count - 1 with `workers` threads. `fail_work` and `fail_read` throw at that input.
std::vector<int> squares(std::size_t workers, int count, int fail_work = -1, int fail_read = -1) {
  std::vector<int> taken;
  int next = 0;
  ordered_map<int, int>(
      workers,
      [&](int& in) {
        if (next == fail_read) throw std::runtime_error("read " + std::to_string(next));
        in = next++;
        return in < count;
      },
      [&](std::size_t worker, const int& in, int& out) {
        EXPECT_LT(worker, workers);
        if (in == fail_work) throw std::runtime_error("work " + std::to_string(in));
        if (in % 7 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
        out = in * in;
      },
      [&](const int& out) { taken.push_back(out); });
  return taken;
}

TEST(OrderedMap, TakesResultsInTheOrderOfTheInputs) {
  const std::vector<int> expected = squares(1, 500);
  ASSERT_EQ(expected.size(), 500U);
  for (const std::size_t workers : {2, 3, 8}) EXPECT_EQ(squares(workers, 500), expected);
  EXPECT_TRUE(squares(4, 0).empty());
}

TEST(OrderedMap, ThrowsTheFirstErrorInInputOrder) {
  for (const std::size_t workers : {1, 2, 5}) {
    const auto message = [&](int work, int read) -> std::string {
      try {
        squares(workers, 100, work, read);
      } catch (const std::runtime_error& error) {
        return error.what();
      }
      return "nothing";
    };
    EXPECT_EQ(message(50, -1), "work 50");
    EXPECT_EQ(message(-1, 30), "read 30");
    EXPECT_EQ(message(28, 30), "work 28");
  }
}

TEST(OrderedMap, KeepsABoundedNumberOfInputsUnderWay) {
  std::atomic<int> under_way{0};
  int most = 0, next = 0;
  ordered_map<int, int>(
      3,
      [&](int& in) {
        most = std::max(most, ++under_way);
        in = next++;
        return in < 200;
      },
      [](std::size_t, const int&, int&) {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      },
      [&](const int&) { --under_way; });
  EXPECT_LE(most, 2 * 3 + 2 + 1);
}

TEST(OrderedMap, EndsWhereAResultCannotBeTaken) {
  for (const std::size_t workers : {1, 4}) {
    int next = 0, taken = 0;
    EXPECT_THROW((ordered_map<int, int>(
                     workers, [&](int& in) { return (in = next++) < 1000; },
                     [](std::size_t, const int& in, int& out) { out = in; },
                     [&](const int& out) {
                       if (out == 20) throw std::runtime_error("full");
                       ++taken;
                     })),
                 std::runtime_error);
    EXPECT_EQ(taken, 20);
  }
}

/// In a process of its own, whose memory has no room for so many stacks.
[[noreturn]] void start_more_threads_than_fit() {
  ::alarm(20);
  const rlimit limit{1UL << 30, 1UL << 30};
  ::setrlimit(RLIMIT_AS, &limit);
  try {
    ordered_map<int, int>(
        4000, [](int&) { return false; }, [](std::size_t, const int&, int&) {}, [](const int&) {});
  } catch (const IoError& error) {
    std::cerr << error.what();
    ::_exit(7);
  }
  ::_exit(0);
}

TEST(OrderedMap, EndsWhereTheThreadsCannotBeStarted) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer's own memory is beyond the limit";
#endif
  EXPECT_EXIT(start_more_threads_than_fit(), testing::ExitedWithCode(7),
              "^thread [0-9]+ of 4000: start: Resource temporarily unavailable$");
}

TEST(ForEachPiece, DoesEachOnceAndThrowsWhatOneThrows) {
  for (const int threads : {1, 3}) {
    std::vector<std::atomic<int>> done(100);
    for_each_piece(done.size(), threads, [&](std::size_t piece, int thread) {
      EXPECT_LT(thread, threads);
      ++done[piece];
    });
    for (const auto& times : done) EXPECT_EQ(times, 1);
    EXPECT_THROW(for_each_piece(100, threads,
                                [](std::size_t piece, int) {
                                  if (piece == 50) throw std::runtime_error("no");
                                }),
                 std::runtime_error);
  }
}

}  // namespace
}  // namespace compat
