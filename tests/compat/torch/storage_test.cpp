#include <gtest/gtest.h>

#include <cstring>

#include "compat/base/byte_reader.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/io/crc32.h"
#include "compat/torch/tensor.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace {

using compat::DType;
using compat::Storage;

/// The bytes 0, 1, 2, ... in pieces of `piece`.
std::shared_ptr<const Storage> counting(std::uint64_t size, std::size_t piece, int* computed) {
  return Storage::computed(DType::kUInt8, size, [=](const Storage::Sink& sink) {
    ++*computed;
    std::vector<std::byte> bytes;
    for (std::uint64_t at = 0; at < size; at += bytes.size()) {
      bytes.clear();
      while (bytes.size() < piece && at + bytes.size() < size)
        bytes.push_back(static_cast<std::byte>(at + bytes.size()));
      sink(bytes);
    }
  });
}

TEST(Storage, ComputesBytesOnceAndStreamsThemAnew) {
  int computed = 0;
  const auto storage = counting(1000, 7, &computed);
  EXPECT_EQ(storage->numel(), 1000u);
  EXPECT_EQ(computed, 0);
  EXPECT_EQ(storage->bytes()[999], static_cast<std::byte>(999 % 256));
  EXPECT_EQ(storage->bytes().size(), 1000u);
  EXPECT_EQ(computed, 1);
  std::uint64_t streamed = 0;
  storage->stream([&](std::span<const std::byte> piece) { streamed += piece.size(); });
  EXPECT_EQ(streamed, 1000u);
  EXPECT_EQ(computed, 2);
}

TEST(Storage, StreamsMemoryAndComparesItsChecksumInTheEnd) {
  const std::string text(10'000'000, 'x');
  const auto bytes = compat::as_byte_span(text);
  const Storage good(DType::kUInt8, bytes, std::shared_ptr<const void>{},
                     compat::Checksum{compat::crc32(bytes), {"f", "e", {}}});
  std::string out;
  good.stream([&](std::span<const std::byte> piece) { out += compat::as_chars(piece); });
  EXPECT_EQ(out, text);
  const Storage bad(DType::kUInt8, bytes, std::shared_ptr<const void>{},
                    compat::Checksum{1, {"f", "e", {}}});
  btm_test::expect_error<compat::FormatError>(
      [&] { bad.stream([](std::span<const std::byte>) {}); }, "f[e]: damaged: CRC-32");
  btm_test::expect_error<compat::FormatError>([&] { bad.bytes(); }, "f[e]: damaged: CRC-32");
}

TEST(Storage, OfComputedBytesIsSavedInBothLayouts) {
  btm_test::TempDir dir;
  for (const auto layout : {compat::TorchLayout::kZip, compat::TorchLayout::kLegacy}) {
    int computed = 0;
    compat::PickleArena arena;
    const auto view =
        compat::TensorView::contiguous(counting(3'000'000, 1 << 16, &computed), {3, 1'000'000});
    compat::save_torch_file(dir / "t.pt", *arena.tensor(view), layout);
    EXPECT_EQ(computed, 1);
    const auto file = compat::load_torch_file(dir / "t.pt");
    const auto bytes = file.tree.root->get_if<compat::PickleTensor>()->view.storage->bytes();
    ASSERT_EQ(bytes.size(), 3'000'000u);
    for (std::size_t i = 0; i < bytes.size(); i += 9973)
      EXPECT_EQ(bytes[i], static_cast<std::byte>(i));
  }
}

TEST(Storage, ThatPromisesAnotherSizeIsNotSaved) {
  btm_test::TempDir dir;
  compat::PickleArena arena;
  const auto liar = Storage::computed(
      DType::kUInt8, 10, [](const Storage::Sink& sink) { sink(compat::as_byte_span("abc")); });
  EXPECT_THROW(compat::save_torch_file(dir / "t.pt",
                                       *arena.tensor(compat::TensorView::contiguous(liar, {10}))),
               std::logic_error);
  EXPECT_FALSE(std::filesystem::exists(dir / "t.pt"));
}

}  // namespace
