#include "compat/io/line_source.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

#include "compat/base/error.h"
#include "tests/support/compress.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using btm_test::expect_error;
using State = LineSource::State;

std::vector<std::string> lines_of(const std::string& text) {
  const btm_test::TempDir folder;
  const auto file = folder / "text";
  std::ofstream(file) << text;
  LineSource source(file);
  std::vector<std::string> lines;
  for (std::string line; source.next(line, true) == State::kLine;) lines.push_back(line);
  return lines;
}

TEST(LineSource, ReadsLines) {
  using Lines = std::vector<std::string>;
  EXPECT_EQ(lines_of("one\ntwo\n"), (Lines{"one", "two"}));
  EXPECT_EQ(lines_of("one\r\n\n two"), (Lines{"one", "", " two"}));
  EXPECT_EQ(lines_of(""), Lines{});
  EXPECT_EQ(lines_of("\n"), Lines{""});
  const std::string long_line(200'000, 'x');  // several reads
  EXPECT_EQ(lines_of(long_line + "\n" + long_line), (Lines{long_line, long_line}));
}

TEST(LineSource, DoesNotWaitForALineThatIsNotThere) {
  const btm_test::TempDir folder;
  const auto pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::fstream writer(pipe, std::ios::in | std::ios::out);
  LineSource source(pipe);
  std::string line;
  EXPECT_EQ(source.next(line, false), State::kNotYet);
  writer << "hel" << std::flush;
  EXPECT_EQ(source.next(line, false), State::kNotYet);
  writer << "lo\nmore\n" << std::flush;
  ASSERT_EQ(source.next(line, false), State::kLine);
  EXPECT_EQ(line, "hello");
  ASSERT_EQ(source.next(line, false), State::kLine);
  EXPECT_EQ(source.next(line, false), State::kNotYet);
  writer << "end" << std::flush;
  writer.close();
  EXPECT_EQ(source.next(line, true), State::kLine);
  EXPECT_EQ(line, "end");
  EXPECT_EQ(source.next(line, true), State::kEnd);
  EXPECT_FALSE(source.terminal());
}

TEST(LineSource, ReadsCompressedFiles) {
  const std::string text = "one\ntwo\n" + std::string(300'000, 'x') + "\nend";
  for (const std::string& packed : {btm_test::gzipped(text), btm_test::zstd_compressed(text)})
    EXPECT_EQ(lines_of(packed), lines_of(text));
  const std::string whole = btm_test::gzipped(text);
  expect_error<FormatError>([&] { lines_of(whole.substr(0, whole.size() - 20)); }, "cut off");
}

TEST(LineSource, SaysWhatItCannotRead) {
  expect_error<IoError>([] { LineSource source("/nowhere/at/all"); }, "/nowhere/at/all");
  expect_error<IoError>([] { LineSource source("/"); }, "is a directory, expected a text file");
  const btm_test::TempDir folder;
  const auto file = folder / "long";
  std::ofstream(file) << "short\n" << std::string(LineSource::kLongestLine + 100'000, 'x');
  LineSource source(file);
  std::string line;
  EXPECT_EQ(source.next(line, true), State::kLine);
  expect_error<FormatError>([&] { source.next(line, true); }, "line 2");
}

}  // namespace
}  // namespace compat
