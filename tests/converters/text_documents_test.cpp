#include "converters/text_documents.h"

#include <gtest/gtest.h>

#include <random>

#include "compat/base/error.h"
#include "tests/support/compress.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace converters {
namespace {

using btm_test::expect_error;
using btm_test::TempDir;
using btm_test::write_file;
using Documents = std::vector<std::pair<std::string, std::uint64_t>>;

/// Every document of the files, with its offset.
Documents documents(const std::vector<std::filesystem::path>& files, const DocumentFormat& format) {
  Documents found;
  BlockReader reader(files, format);
  Block block;
  while (reader.next(block))
    for_each_document(block, format, [&](std::string_view text, std::uint64_t offset) {
      found.emplace_back(text, offset);
    });
  return found;
}

class DocumentsTest : public ::testing::Test {
 protected:
  Documents of(const std::string& text, const char* name = "x.txt") {
    write_file(folder_ / name, text);
    return documents({folder_ / name}, format_);
  }
  std::vector<std::string> texts(const std::string& text, const char* name = "x.txt") {
    std::vector<std::string> found;
    for (const auto& [document, offset] : of(text, name)) found.push_back(document);
    return found;
  }
  using Texts = std::vector<std::string>;

  TempDir folder_;
  DocumentFormat format_;
};

TEST_F(DocumentsTest, AreLinesAsPythonsTextModeEndsThem) {
  EXPECT_EQ(of("one\ntwo\r\n\rfour"), (Documents{{"one", 0}, {"two", 4}, {"", 9}, {"four", 10}}));
  EXPECT_EQ(texts("\n\n"), (Texts{"", ""}));
  EXPECT_TRUE(texts("").empty());
}

TEST_F(DocumentsTest, LoseWhiteSpaceAndEmptyOnesWhenAsked) {
  format_.strip = format_.drop_empty = true;
  EXPECT_EQ(of("\u3000 one \n \t\u00a0\ntwo\n"), (Documents{{"one", 0}, {"two", 14}}));
}

TEST_F(DocumentsTest, AreWholeFiles) {
  format_.document_break = "file";
  EXPECT_EQ(of("\na\r\n\nb"), (Documents{{"\na\n\nb", 0}}));
  std::string large;
  while (large.size() < 3'000'000) large += "a line of a long book\n";
  EXPECT_EQ(texts(large), (Texts{large.substr(0, large.size() - 1)}));
  EXPECT_TRUE(texts("").empty());
  format_.max_document_mib = 1;
  expect_error<compat::FormatError>([&] { of(large); }, "a document of more than 1 MiB");
  format_ = {};
  format_.whole_files = {folder_ / "x.txt"};
  EXPECT_EQ(texts("a\nb\n"), (Texts{"a\nb"}));
  EXPECT_EQ(texts("a\nb\n", "y.txt"), (Texts{"a", "b"}));
}

TEST_F(DocumentsTest, AreBlocksBetweenBlankLines) {
  format_.document_break = "blank-line";
  EXPECT_EQ(of("\n \na\nb\r\n\t\n\nc\n"), (Documents{{"a\nb", 3}, {"c", 11}}));
  EXPECT_EQ(texts("a"), (Texts{"a"}));
  EXPECT_TRUE(texts(" \n\n").empty());
}

TEST_F(DocumentsTest, ComeFromJsonl) {
  const std::string lines =
      "{\"text\": \"a\\nb\", \"meta\": {\"text\": \"no\"}}\n\n{\"id\": [1, {\"text\": 2}], "
      "\"text\": \"\\u6771\"}\n";
  EXPECT_EQ(of(lines, "x.jsonl"), (Documents{{"a\nb", 0}, {"東", 42}}));
  format_.input_format = "jsonl";
  format_.text_key = "body";
  EXPECT_EQ(texts("{\"text\": \"x\", \"body\": \"first\", \"body\": \"last\"}"), (Texts{"last"}));
}

TEST_F(DocumentsTest, KnowJsonlByName) {
  for (const char* const name : {"a.jsonl", "a.json.gz", "a.jsonl.zst", "b/a.ndjson"})
    EXPECT_TRUE(is_jsonl(format_, name)) << name;
  for (const char* const name : {"a.txt", "a.jsonl.txt", "jsonl", "a.gz"})
    EXPECT_FALSE(is_jsonl(format_, name)) << name;
  format_.input_format = "text";
  EXPECT_FALSE(is_jsonl(format_, "a.jsonl"));
}

TEST_F(DocumentsTest, RejectBadJsonlWithItsPlace) {
  const std::string good = "{\"text\": \"x\"}\n", deep = std::string(100'000, '[');
  for (const std::string& bad :
       {std::string("text"), std::string("[\"text\"]"), std::string("{\"text\": 1}"),
        std::string("{\"body\": \"x\"}"), std::string("{\"text\": \"x\""),
        std::string("{\"text\": \"\\ud800\"}"), std::string("3"), deep, "{\"x\": " + deep,
        std::string("{\"text\": \"x\"} trailing")})
    expect_error<compat::FormatError>([&] { of(good + bad + "\n", "x.jsonl"); },
                                      "x.jsonl+0xe: not a JSON object with a text under 'text'");
}

TEST_F(DocumentsTest, RejectWhatIsNotUtf8WithItsPlace) {
  for (const std::string bad : {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80"})
    expect_error<compat::FormatError>([&] { of("good line\nbad " + bad + "\n"); },
                                      "x.txt+0xe: not UTF-8");
}

TEST_F(DocumentsTest, AreTheSameHoweverBlocksFall) {
  std::mt19937 random(4);
  Documents expected;
  std::string text;
  const char* const ends[] = {"\n", "\n", "\r\n", "\r"};
  while (text.size() < 5'000'000) {
    const std::string line(random() % 5 == 0 ? random() % 200'000 : random() % 100,
                           static_cast<char>('a' + random() % 26));
    expected.emplace_back(line, text.size());
    std::string end = ends[random() % 4];
    if (line.empty() && text.ends_with("\r") && end.starts_with("\n"))
      end = "\r";  // "\r" and "\n" would become one line end
    text += line + end;
  }
  EXPECT_TRUE(of(text) == expected);
  write_file(folder_ / "x.gz", btm_test::gzipped(text));
  EXPECT_TRUE(documents({folder_ / "x.gz"}, format_) == expected);
}

TEST_F(DocumentsTest, OfSeveralFilesDoNotRunIntoEachOther) {
  write_file(folder_ / "a", "one\ntwo");
  write_file(folder_ / "b", "");
  write_file(folder_ / "c", "three");
  EXPECT_EQ(documents({folder_ / "a", folder_ / "b", folder_ / "c"}, format_),
            (Documents{{"one", 0}, {"two", 4}, {"three", 0}}));
}

TEST_F(DocumentsTest, RefuseALineLongerThanAllowedWithoutReadingAllOfIt) {
  format_.max_document_mib = 4;
  write_file(folder_ / "sparse", "first\n");
  std::filesystem::resize_file(folder_ / "sparse", std::uintmax_t{1} << 30);
  expect_error<compat::FormatError>([&] { documents({folder_ / "sparse"}, format_); },
                                    "sparse+0x6: a document of more than 4 MiB");
  const std::string longest(std::size_t{4} << 20, 'x');
  EXPECT_EQ(of(longest + "\ny").size(), 2U);
  EXPECT_EQ(of("y\n" + longest).size(), 2U);
  expect_error<compat::FormatError>([&] { of("y\n" + longest + std::string(longest.size(), 'x')); },
                                    "x.txt+0x2: a document of more than 4 MiB");
}

}  // namespace
}  // namespace converters
