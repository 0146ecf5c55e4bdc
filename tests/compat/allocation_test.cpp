// A wrong length field must not make a reader allocate more than the file can fill. This program
// counts all its allocations.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/fairseq/huffman_dataset.h"
#include "compat/torch/torch_file.h"
#include "compat/torch/unpickler.h"
#include "tests/support/bytes.h"
#include "tests/support/zip_bytes.h"

namespace {
std::atomic<std::size_t> allocated{0};
}  // namespace

// AddressSanitizer keeps its own operator new, which finds more faults. The tests are then skipped.
#if !defined(__SANITIZE_ADDRESS__)
constexpr bool kCounted = true;
// Not inlined: GCC would warn that malloc here and free there do not match.
[[gnu::noinline]] void* operator new(std::size_t size) {
  allocated += size;
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#else
constexpr bool kCounted = false;
#endif

namespace compat {
namespace {

using btm_test::le;
using btm_test::make_zip;
using btm_test::ZipMember;
using btm_test::operator""_bytes;

constexpr std::size_t kLimit = std::size_t{64} << 20;

std::shared_ptr<const MappedFile> in_memory(const std::string& bytes) {
  auto owner = std::make_shared<const std::string>(bytes);
  const auto span = as_byte_span(*owner);
  return MappedFile::of_memory("f", span, std::move(owner));
}

/// Expects a FormatError, and that all allocations before it stay below the limit together.
template <class Read>
void expect_small_refusal(const char* what, Read&& read) {
  const std::size_t before = allocated;
  EXPECT_THROW(read(), FormatError) << what;
  EXPECT_LT(allocated - before, kLimit) << what;
}

class Allocation : public testing::Test {
 protected:
  void SetUp() override {
    if (!kCounted) GTEST_SKIP() << "AddressSanitizer has operator new";
  }
};

TEST_F(Allocation, IsCounted) {
  const std::size_t before = allocated;
  const auto memory = std::make_unique<std::array<char, 1000>>();
  EXPECT_GE(allocated - before, sizeof(*memory));
}

TEST_F(Allocation, OfPicklesFollowsTheFile) {
  for (const char* const bytes :
       {"X\xff\xff\xff\xff", "T\xff\xff\xff\x7f", "B\xff\xff\xff\xff", "\x8b\xff\xff\xff\x7f"}) {
    const std::string text(bytes);
    expect_small_refusal("a 32-bit length", [&] {
      ByteReader in(as_byte_span(text), {"p", {}, 0});
      unpickle(in);
    });
  }
  for (const char code : {'\x8d', '\x8e', '\x96', '\x95'}) {
    const std::string text = code + le<std::uint64_t>(std::uint64_t{1} << 40);
    expect_small_refusal("a 64-bit length", [&] {
      ByteReader in(as_byte_span(text), {"p", {}, 0});
      unpickle(in);
    });
  }
  const std::string memo =
      "Nr" + le<std::uint32_t>(0xFFFFFFFF) + "p18446744073709551615\n";  // indexes, not sizes
  expect_small_refusal("a memo index", [&] {
    ByteReader in(as_byte_span(memo), {"p", {}, 0});
    unpickle(in);
  });
}

TEST_F(Allocation, OfTorchFilesFollowsTheFile) {
  ZipMember huge("a/data.pkl", "N.");
  huge.packed = huge.size = huge.local_size = 0xF0000000;
  expect_small_refusal("an entry's size", [&] { load_torch_file(in_memory(make_zip({huge}))); });
  expect_small_refusal("the number of entries", [&] {
    load_torch_file(in_memory(make_zip({ZipMember("a/data.pkl", "N.")}, {60'000, -1, -1})));
  });
  const std::string pickle =
      "\x80\x02(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI1152921504606846976\ntQ.";
  expect_small_refusal("a storage's size", [&] {
    load_torch_file(
        in_memory(make_zip({ZipMember("a/data.pkl", pickle), ZipMember("a/data/0", "")})));
  });
  const std::string legacy = "80 02 8a 0a 6c fc 9c 46 f9 20 6a a8 50 19 2e"_bytes +
                             "M\xe9\x03.}S'little_endian'\n\x88s." + pickle + "(lS'0'\na." +
                             le<std::uint64_t>(std::uint64_t{1} << 60);
  expect_small_refusal("a legacy storage's size", [&] { load_torch_file(in_memory(legacy)); });
}

TEST_F(Allocation, OfDataBinsFollowsTheFile) {
  for (const std::uint64_t count : {std::uint64_t{1} << 28, std::uint64_t{1} << 61, UINT64_MAX}) {
    const std::string mmap =
        std::string("MMIDIDX\0\0", 9) + le<std::uint64_t>(1) + le<std::uint8_t>(8) + le(count);
    const std::string legacy = std::string("TNTIDX\0\0", 8) + le<std::uint64_t>(1) +
                               le<std::uint64_t>(4) + le<std::uint64_t>(4) + le(count) + le(count);
    const std::string huffman =
        std::string("HUFFIDX\0\0", 9) + le<std::uint64_t>(1) + le<std::uint64_t>(0) + le(count);
    expect_small_refusal("MMIDIDX", [&] { IndexedDataset::open(in_memory(mmap), in_memory("")); });
    expect_small_refusal("TNTIDX", [&] { IndexedDataset::open(in_memory(legacy), in_memory("")); });
    expect_small_refusal("HUFFIDX", [&] {
      open_huffman_dataset(in_memory(huffman), in_memory(""), *in_memory("a 1\n"));
    });
  }
}

}  // namespace
}  // namespace compat
