#include "compat/io/temporaries.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compat/io/atomic_file.h"
#include "compat/program/signals.h"
#include "tests/support/files.h"

namespace {

using btm_test::write_file;
using compat::SignalsWait;
using compat::TemporaryNote;
namespace fs = std::filesystem;

/// Runs `work` in a process with the handlers. Returns the signal that ended it, or 0.
template <class Work>
int signal_that_ended(Work&& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    compat::remove_temporaries_on_signals();
    work();
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) == 0 ? 0 : -1;
}

TEST(Temporaries, AreRemovedByASignal) {
  const btm_test::TempDir dir;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    EXPECT_EQ(signal_that_ended([&] {
                write_file(dir / "f.tmp", "half");
                const TemporaryNote note(dir / "f.tmp");
                compat::AtomicFile file(dir / "g");
                file.write(std::string(3U << 20, 'x'));
                ::raise(signal);
              }),
              signal);
    EXPECT_TRUE(fs::is_empty(dir.path())) << signal;
  }
}

TEST(Temporaries, AFolderIsRemovedWithAllThatIsInIt) {
  const btm_test::TempDir dir;
  write_file(dir / "kept", "outside");
  EXPECT_EQ(signal_that_ended([&] {
              const TemporaryNote note(dir / "out.tmp");
              fs::create_directories(dir / "out.tmp/a/b");
              fs::create_directories(dir / "out.tmp/.hidden");
              write_file(dir / "out.tmp/a/b/f", "x");
              for (int i = 0; i < 500; ++i)
                write_file(
                    dir / "out.tmp" / ("a file with a long name, of many " + std::to_string(i)),
                    "x");
              fs::create_symlink(dir.path(), dir / "out.tmp/link");  // removed, not followed
              ::raise(SIGTERM);
            }),
            SIGTERM);
  EXPECT_FALSE(fs::exists(dir / "out.tmp"));
  EXPECT_EQ(btm_test::read_file(dir / "kept"), "outside");
}

TEST(Temporaries, AreForgottenWithTheirNote) {
  const btm_test::TempDir dir;
  EXPECT_EQ(signal_that_ended([&] {
              { const TemporaryNote note(dir / "f"); }
              write_file(dir / "f", "whole");
              ::raise(SIGINT);
            }),
            SIGINT);
  EXPECT_EQ(btm_test::read_file(dir / "f"), "whole");
}

TEST(Temporaries, BeyondThoseThatCanBeNotedAreLeft) {
  const btm_test::TempDir dir;
  EXPECT_EQ(signal_that_ended([&] {
              std::vector<std::unique_ptr<TemporaryNote>> notes;
              for (int i = 0; i < 100; ++i) {
                write_file(dir / std::to_string(i), "x");
                notes.push_back(std::make_unique<TemporaryNote>(dir / std::to_string(i)));
              }
              notes.front().reset();  // frees its slot for the next
              write_file(dir / "next", "x");
              const TemporaryNote next(dir / "next");
              ::raise(SIGTERM);
            }),
            SIGTERM);
  EXPECT_TRUE(fs::exists(dir / "0"));
  EXPECT_FALSE(fs::exists(dir / "1"));
  EXPECT_FALSE(fs::exists(dir / "next"));
}

TEST(SignalsWait, UntilTheLastOfThemEnds) {
  const btm_test::TempDir dir;
  EXPECT_EQ(signal_that_ended([&] {
              std::optional<SignalsWait> outer(std::in_place);
              {
                const SignalsWait inner;
                ::raise(SIGINT);
                compat::write_file_atomically(dir / "one", "1");
              }
              compat::write_file_atomically(dir / "two", "2");
              outer.reset();
              write_file(dir / "three", "3");
            }),
            SIGINT);
  EXPECT_TRUE(fs::exists(dir / "one"));
  EXPECT_TRUE(fs::exists(dir / "two"));
  EXPECT_FALSE(fs::exists(dir / "three"));
  EXPECT_EQ(signal_that_ended([] { const SignalsWait none; }), 0);
}

TEST(Temporaries, ASignalThatIsIgnoredStaysIgnored) {
  EXPECT_EQ(signal_that_ended([] {
              std::signal(SIGHUP, SIG_IGN);  // as nohup sets it
              compat::remove_temporaries_on_signals();
              ::raise(SIGHUP);
            }),
            0);
}

}  // namespace
