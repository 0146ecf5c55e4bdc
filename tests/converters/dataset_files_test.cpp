// Bad .npy and .jsonl files.
#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "converters/npy_dataset.h"
#include "converters/text_dataset.h"
#include "tests/support/bytes.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace {

using btm_test::expect_error;
using btm_test::le;
using btm_test::TempDir;
using btm_test::write_file;

std::string npy(const std::string& header, const std::string& data, char version = 1) {
  return "\x93NUMPY" + std::string{version, '\0'} + le(static_cast<std::uint16_t>(header.size())) +
         header + data;
}

TEST(NpyDataset, ReadsRowsAndSingleSequences) {
  const TempDir folder;
  write_file(folder / "rows.npy", npy("{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }",
                                      le(1) + le(2) + le(3) + le(4) + le(5) + le(6)));
  const auto rows = converters::open_npy_dataset(folder / "rows");
  ASSERT_EQ(rows->size(), 2);
  EXPECT_EQ(rows->sequence(1), (std::vector<std::int64_t>{4, 5, 6}));
  write_file(folder / "one.npy",
             npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }", "ab"));
  EXPECT_EQ(converters::open_npy_dataset(folder / "one")->sequence(0),
            (std::vector<std::int64_t>{97, 98}));
}

TEST(NpyDataset, RejectsBadFiles) {
  const std::string sizes_header = "{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }";
  struct Row {
    std::string ids, sizes, phrase;
  };
  for (const Row& row : {
           Row{"text", {}, "for the magic"},
           Row{"plain text", {}, "expected a .npy file"},
           Row{npy("{}", "", 9), {}, "version 9"},
           Row{npy("{'descr': '<i4'", ""), {}, "its header is not a dict"},
           Row{npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", "abcd"),
               {},
               "elements of '<f4'"},
           Row{npy("{'descr': '<i4', 'fortran_order': False, 'shape': (1,1,1)}", "abcd"),
               {},
               "one or two dimensions"},
           Row{npy("{'descr': '<i4', 'fortran_order': True, 'shape': (1,1)}", "abcd"),
               {},
               "expected row-major order"},
           Row{npy("{'descr': '<i4', 'fortran_order': False, 'shape': (-1,)}", "abcd"),
               {},
               "a shape of '-1'"},
           Row{npy("{'descr': '<i4', 'fortran_order': False, 'shape': (2,)}", "abcd"),
               {},
               "needs 8 bytes for its shape, 4"},
           Row{npy("{'descr': '<i8', 'fortran_order': False, 'shape': (4611686018427387904,4)}",
                   ""),
               {},
               "larger than any file"},
           Row{npy("{'descr': '|u1', 'fortran_order': False, 'shape': (9223372036854775807,0)}",
                   ""),
               {},
               "has rows of 0 ids"},
           Row{npy(sizes_header, le(7)), npy(sizes_header, le(2)), "sums up to 2 ids"},
           Row{npy(sizes_header, le(7)), npy(sizes_header, le(-1)), "holds the size -1"},
           Row{npy(sizes_header, le(7)),
               npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}", "\1"),
               "holds uint8, expected"},
       }) {
    const TempDir folder;
    write_file(folder / "x.npy", row.ids);
    if (!row.sizes.empty()) write_file(folder / "x.sizes.npy", row.sizes);
    expect_error<compat::FormatError>([&] { converters::open_npy_dataset(folder / "x"); },
                                      row.phrase);
  }
}

TEST(JsonlDataset, RejectsBadLines) {
  for (const std::string line :
       {"", "[1, 2]", "{\"id\": [1]}", "{\"ids\": 1}", "{\"ids\": [1.5]}", "{\"ids\": [\"1\"]}",
        "{\"ids\": [1]", "{\"ids\": [9223372036854775808]}"}) {
    const TempDir folder;
    write_file(folder / "x.jsonl", "{\"ids\": [1]}\n" + line + "\n");
    expect_error<compat::FormatError>([&] { converters::open_jsonl_dataset(folder / "x"); },
                                      "x.jsonl[line 2]: '");
  }
}

TEST(JsonlDataset, IgnoresOtherKeys) {
  const TempDir folder;
  write_file(folder / "x.jsonl", "{\"text\": \"a\\nb\", \"ids\": [3, -1]}\n{\"ids\": []}");
  const auto dataset = converters::open_jsonl_dataset(folder / "x");
  ASSERT_EQ(dataset->size(), 2);
  EXPECT_EQ(dataset->sequence(0), (std::vector<std::int64_t>{3, -1}));
}

}  // namespace
