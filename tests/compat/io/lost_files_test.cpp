#include "compat/io/lost_files.h"

#include <gtest/gtest.h>

#include <csignal>

#include "compat/io/mapped_file.h"
#include "tests/support/files.h"

namespace {

/// Maps a file of two pages, shortens it to one, and reads the second.
void read_beyond(const std::filesystem::path& path) {
  compat::report_lost_files("prog");
  const auto before = compat::MappedFile::open(path);  // forgotten again
  const auto file = compat::MappedFile::open(path);
  std::filesystem::resize_file(path, 4096);
  const volatile std::byte* const bytes = file->bytes().data();
  static_cast<void>(bytes[0]);
  static_cast<void>(bytes[5000]);
}

TEST(LostFilesDeathTest, EndInALineThatNamesTheFile) {
  const btm_test::TempDir folder;
  btm_test::write_file(folder / "x.bin", std::string(8192, 'x'));
  EXPECT_EXIT(read_beyond(folder / "x.bin"), testing::ExitedWithCode(1),
              "^prog: error: .*x.bin: can no longer be read: it was shortened");
}

TEST(LostFilesDeathTest, OtherFaultsEndAsEver) {
  EXPECT_EXIT(
      {
        compat::report_lost_files("prog");
        ::raise(SIGBUS);
      },
      testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
