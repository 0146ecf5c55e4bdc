#include "compat/torch/pickler.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "compat/torch/unpickler.h"
#include "tests/support/bytes.h"
#include "tests/support/expect_error.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::operator""_bytes;

PickleTree load(const std::string& bytes) {
  ByteReader in(as_byte_span(bytes), {"p", {}, 0});
  return unpickle(in);
}

// The bytes of CPython 3.11's pickle.dumps(value, 2). They have been the same since Python 2.3.
TEST(Pickler, WritesCPythonsBytes) {
  PickleArena arena;
  EXPECT_EQ(pickled(*arena.none()), "80 02 4e 2e"_bytes);
  EXPECT_EQ(pickled(*arena.boolean(true)), "80 02 88 2e"_bytes);
  // [1, 300, 70000, -1, 2**40]
  PickleList numbers;
  for (const std::int64_t value : {std::int64_t{1}, std::int64_t{300}, std::int64_t{70000},
                                   std::int64_t{-1}, std::int64_t{1} << 40})
    numbers.items.push_back(arena.integer(value));
  EXPECT_EQ(pickled(*arena.make(numbers)),
            "80 02 5d 71 00 28 4b 01 4d 2c 01 4a 70 11 01 00 "
            "4a ff ff ff ff 8a 06 00 00 00 00 00 01 65 2e"_bytes);
  // {'a': 1}
  PickleDict dict;
  dict.items.emplace_back(arena.string("a"), arena.integer(1));
  EXPECT_EQ(pickled(*arena.make(dict)), "80 02 7d 71 00 58 01 00 00 00 61 71 01 4b 01 73 2e"_bytes);
  // ('x', 'x') of one str
  PickleNode* const x = arena.string("x");
  EXPECT_EQ(pickled(*arena.make(PickleTuple{{x, x}})),
            "80 02 58 01 00 00 00 78 71 00 68 00 86 71 01 2e"_bytes);
  // collections.OrderedDict([('k', 1.5)])
  PickleDict ordered;
  ordered.ordered = true;
  ordered.items.emplace_back(arena.string("k"), arena.real(1.5));
  EXPECT_EQ(pickled(*arena.make(ordered)),
            "80 02 63 63 6f 6c 6c 65 63 74 69 6f 6e 73 0a 4f 72 64 65 72 65 64 44 69 63 74 0a 71 "
            "00 29 52 71 01 "
            "58 01 00 00 00 6b 71 02 47 3f f8 00 00 00 00 00 00 73 2e"_bytes);
}

TEST(Pickler, IsAFixedPointOfCPythonsFiles) {
  // pickle.dumps(value, 2) of a recursive list, a recursive tuple, 1001 items (two batches) and an
  // argparse.Namespace.
  const std::string recursive_list = "80 02 5d 71 00 68 00 61 2e"_bytes;
  EXPECT_EQ(pickled(*load(recursive_list).root), recursive_list);
  const std::string recursive_tuple =
      "80 02 5d 71 00 68 00 85 71 01 61 30 68 01 2e"_bytes;  // t = ([t],): the items contain t
  EXPECT_EQ(pickled(*load(recursive_tuple).root), recursive_tuple);
  std::string batches = "80 02 5d 71 00 28"_bytes;
  for (int i = 0; i < 1000; ++i) batches += "K\x01";
  batches +=
      "eK\x01"
      "a.";
  EXPECT_EQ(pickled(*load(batches).root), batches);
  const std::string name_space =
      "80 02 63 61 72 67 70 61 72 73 65 0a 4e 61 6d 65 73 70 61 63 65 0a "
      "71 00 29 81 71 01 7d 71 02 58 01 00 00 00 61 71 03 4b 01 73 62 2e"_bytes;
  EXPECT_EQ(pickled(*load(name_space).root), name_space);
}

TEST(Pickler, KeepsWhatItDoesNotUnderstand) {
  for (const std::string& bytes :
       {std::string("(I1\nim\nC\n."), std::string("cm\nC\n)}\x92."),
        std::string("cm\nC\n)R(I1\nI2\ne(I3\nI4\nu}b."), std::string("Pid\n."),
        std::string("\x8f(I1\n\x90."), std::string("(I1\n\x91."), std::string("C\x02\x00\xff.", 5),
        std::string("\x8a\x09\x01\x02\x03\x04\x05\x06\x07\x08\x09."),
        std::string("U\x02\xff\xfe.")}) {
    const std::string once = pickled(*load(bytes).root);
    EXPECT_EQ(pickled(*load(once).root), once);
    EXPECT_EQ(load(once).root->value.index(), load(bytes).root->value.index());
  }
}

TEST(Pickler, RefusesWhatPythonCouldNotRead) {
  const auto deep = load(std::string(2000, ']') + std::string(1999, 'a') + ".");
  expect_error<UnsupportedError>([&] { pickled(*deep.root); }, "values nest deeper than 1000");
  PickleArena arena;
  const auto storage = Storage::copy_of(DType::kFloat32, std::vector<std::byte>(4));
  expect_error<UnsupportedError>(
      [&] { pickled(*arena.tensor(TensorView::contiguous(storage, {1}))); },
      "a tensor in a pickle without storages");
}

}  // namespace
}  // namespace compat
