#include "compat/torch/unpickler.h"

#include <gtest/gtest.h>

#include <cmath>

#include "compat/base/error.h"
#include "tests/support/bytes.h"
#include "tests/support/expect_error.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::le;
using btm_test::operator""_bytes;

PickleTree load(const std::string& bytes, const PersistentLoader& loader = {},
                const StorageLoader& load_bytes = {}) {
  ByteReader in(as_byte_span(bytes), {"p", "data.pkl", 0});
  return unpickle(in, loader, load_bytes);
}

template <class T>
T value_of(const std::string& bytes) {
  const auto tree = load(bytes);
  const auto* value = tree.root->get_if<T>();
  if (value == nullptr) throw std::logic_error("it is " + tree.root->describe());
  return *value;
}

/// Returns a storage of four floats for every persistent id.
PickleNode* four_floats(PickleArena& arena, const PickleNode&, const Location&) {
  return arena.make(
      PickleStorage{Storage::copy_of(DType::kFloat32, std::vector<std::byte>(16)), {}});
}

TEST(Unpickler, ReadsScalarsOfEveryProtocol) {
  EXPECT_TRUE(load("80 02 4e 2e"_bytes).root->is_none());
  EXPECT_EQ(value_of<bool>("80 02 88 2e"_bytes), true);
  EXPECT_EQ(value_of<bool>("I01\n."), true);
  EXPECT_EQ(value_of<std::int64_t>("I-17\n."), -17);
  EXPECT_EQ(value_of<std::int64_t>("L9223372036854775807L\n."), INT64_MAX);
  EXPECT_EQ(value_of<std::int64_t>("4b ff 2e"_bytes), 255);
  EXPECT_EQ(value_of<std::int64_t>("4d 00 01 2e"_bytes), 256);
  EXPECT_EQ(value_of<std::int64_t>("4a ff ff ff ff 2e"_bytes), -1);
  EXPECT_EQ(value_of<std::int64_t>("8a 00 2e"_bytes), 0);
  EXPECT_EQ(value_of<std::int64_t>("8a 01 80 2e"_bytes), -128);
  EXPECT_EQ(value_of<PickleBigInt>("8a 09 00 00 00 00 00 00 00 80 00 2e"_bytes).bytes.size(), 9U);
  EXPECT_EQ(value_of<double>("47 3f f8 00 00 00 00 00 00 2e"_bytes), 1.5);
  EXPECT_TRUE(std::isinf(value_of<double>("F-inf\n.")));
  EXPECT_EQ(value_of<std::string>("58 02 00 00 00 c3 a9 2e"_bytes), "é");
  EXPECT_EQ(value_of<std::string>("8c 01 61 2e"_bytes), "a");
  EXPECT_EQ(value_of<std::string>("S'a\\x41\\n\\101\\''\n."), "aA\nA'");
  EXPECT_EQ(value_of<std::string>("V\\u20ac\xe9\n."), "€é");
  EXPECT_EQ(value_of<PickleBytes>("43 02 00 ff 2e"_bytes).bytes, std::string("\0\xff", 2));
  EXPECT_TRUE(value_of<PickleBytes>("96 01 00 00 00 00 00 00 00 78 2e"_bytes).is_bytearray);
}

TEST(Unpickler, SharesWhatTheMemoShares) {
  const auto tree = load("80 02 5d 71 00 28 5d 71 01 68 01 65 2e"_bytes);  // x = []; [x, x]
  const auto& items = tree.root->get_if<PickleList>()->items;
  ASSERT_EQ(items.size(), 2U);
  EXPECT_EQ(items[0], items[1]);
}

TEST(Unpickler, KeepsCycles) {
  const auto tree = load("80 02 5d 71 00 68 00 61 2e"_bytes);  // x = []; x.append(x)
  EXPECT_EQ(tree.root->get_if<PickleList>()->items[0], tree.root);
}

TEST(Unpickler, CallsNothing) {
  const auto tree = load("cos\nsystem\n(S'touch /tmp/pwned'\ntR.");
  const auto* object = tree.root->get_if<PickleObject>();
  ASSERT_NE(object, nullptr);
  EXPECT_EQ(tree.root->describe(), "an os.system");
  EXPECT_EQ(object->callable->get_if<PickleGlobal>()->name, "system");
}

TEST(Unpickler, KeepsHowAnObjectWasMade) {
  using How = PickleObject::How;
  EXPECT_EQ(value_of<PickleObject>("(I1\nim\nC\n.").how, How::kInst);
  EXPECT_EQ(value_of<PickleObject>("(cm\nC\nI1\no.").how, How::kInst);
  EXPECT_EQ(value_of<PickleObject>("cm\nC\n)\x81.").how, How::kNewObj);
  EXPECT_EQ(value_of<PickleObject>("cm\nC\n)}\x92.").how, How::kNewObjEx);
  const auto tree = load("cm\nC\n)R}S'k'\nI7\nsb.");
  EXPECT_EQ(*tree.root->find("k")->get_if<std::int64_t>(), 7);
}

TEST(Unpickler, ReadsOrderedDicts) {
  EXPECT_TRUE(value_of<PickleDict>("ccollections\nOrderedDict\n)R.").ordered);
  const auto python2 = load("ccollections\nOrderedDict\n((lp0\n(lp1\nS'k'\naI7\naatR.");
  EXPECT_EQ(*python2.root->find("k")->get_if<std::int64_t>(), 7);
}

TEST(Unpickler, BuildsTensors) {
  const auto tree =
      load("ctorch._utils\n_rebuild_tensor_v2\n(I0\nQI1\n(I3\nt(I1\nt\x89}tR.", four_floats);
  const auto* tensor = tree.root->get_if<PickleTensor>();
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->view.offset, 1);
  EXPECT_EQ(tensor->view.shape, (std::vector<std::int64_t>{3}));
}

TEST(Unpickler, LeavesPersistentIdsWithoutALoader) {
  EXPECT_EQ(load("Pkey\n.").root->describe(), "a persistent id");
  EXPECT_EQ(load("ctorch._utils\n_rebuild_tensor_v2\n(I0\nQI0\n))\x89}tR.").root->describe(),
            "a torch._utils._rebuild_tensor_v2");
}

TEST(Unpickler, StopsAtStop) {
  const std::string bytes = "I1\n.I2\n.";
  ByteReader in(as_byte_span(bytes), {"p", {}, 0});
  EXPECT_EQ(*unpickle(in).root->get_if<std::int64_t>(), 1);
  EXPECT_EQ(*unpickle(in).root->get_if<std::int64_t>(), 2);
}

TEST(Unpickler, RefusesWhatNoPicklerWrites) {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"", "p[data.pkl]+0x0: needs 1 bytes for a pickle opcode, 0 left"},
      {"80 06"_bytes, "p[data.pkl]+0x0: pickle protocol 6, expected at most 5"},
      {"80 02 4e"_bytes, "p[data.pkl]+0x3: needs 1 bytes for a pickle opcode"},
      {"\xff.", "+0x0: unknown pickle opcode 255"},
      {std::string(1, '\0'), "unknown pickle opcode 0"},
      {".", "STOP with 0 values on the stack, expected 1"},
      {"NN.", "STOP with 2 values on the stack"},
      {"(N.", "STOP before an open MARK was closed"},
      {"0", "stack underflow"},
      {"2", "stack underflow"},
      {"(2", "stack underflow"},  // values below a MARK cannot be reached
      {"N(0a", "stack underflow"},
      {"t", "no MARK on the stack"},
      {"h\x01", "memo 1 is read before it is written"},
      {"g7\n", "memo 7 is read before it is written"},
      {"gx\n", "'x' is not a memo index"},
      {"g-1\n", "'-1' is not a memo index"},
      {"q\x01", "stack underflow"},
      {"j\x01", "needs 4 bytes for a memo index, 1 left"},
      {"X\xff\xff\xff\xff"
       "abc",
       "needs 4294967295 bytes for a string, 3 left"},
      {"\x8d" + le<std::uint64_t>(UINT64_MAX), "needs 18446744073709551615 bytes for a string"},
      {"\x8e" + le<std::uint64_t>(1ULL << 62), "needs 4611686018427387904 bytes for bytes"},
      {"\x96" + le<std::uint64_t>(1ULL << 40), "needs 1099511627776 bytes for a bytearray"},
      {"\x8b\xff\xff\xff\xff", "negative size -1 of an int"},
      {"\x8b\xff\xff\xff\x7f", "needs 2147483647 bytes for an int"},
      {"T\xff\xff\xff\xff", "negative size -1 of a string"},
      {"Ix\n", "'x' is not an int"},
      {"I\n", "'' is not an int"},
      {"L99999999999999999999L\n", "a decimal int beyond 64 bits is not supported"},
      {"Fx\n", "'x' is not a float"},
      {"F1", "no newline ends a FLOAT"},
      {"Sabc\n", "a STRING that is not quoted"},
      {"S'\\q'\n", "an invalid escape in a STRING"},
      {"V\\uzzzz\n", "an invalid escape in a UNICODE"},
      {"NNa", "APPEND to None, expected a list"},
      {"]NNs", "SETITEM on a list of 0, expected a dict"},
      {"}(Nu", "an odd number of keys and values"},
      {"(Nd", "an odd number of keys and values"},
      {"](N\x90", "ADDITEMS to a list of 0, expected a set"},
      {"NNR", "the arguments of REDUCE are None, expected a tuple"},
      {"NN\x81", "the arguments of NEWOBJ are None, expected a tuple"},
      {"N)N\x92",
       "the arguments of NEWOBJ_EX are a tuple of 0 and None, expected a tuple and a dict"},
      {"(o", "OBJ without a class"},
      {"NNb", "BUILD on None, expected an object without state"},
      {"}Nb", "BUILD on a dict"},
      {"cm\nC\n)RNbNb", "BUILD on a m.C, expected an object without state"},
      {"I1\nI2\n\x93", "a name in a module is the int 2, expected a string"},
      {"cm", "no newline ends a module's name"},
      {"cm\nC", "no newline ends a name in a module"},
      {"c" + std::string(5000, 'm') + "\nC\n",
       "a module's or class's name of 5000 bytes, expected at most 4096"},
      {"\x82\x01", "the copyreg extension registry is not supported"},
      {"\x97", "an out-of-band buffer is not supported"},
      {"}S'k'\nNsS'k'\nNs.", "a dict holds the key 'k' twice"},
      {"}S'k'\np1\nNsg1\nNs.", "a dict holds the key 'k' twice"},
  };
  for (const auto& [bytes, phrase] : rows) {
    SCOPED_TRACE(phrase);
    expect_error<FormatError>([&bytes = bytes] { load(bytes); }, phrase);
  }
}

TEST(Unpickler, RefusesTensorsThatLie) {
  const auto tensor = [](const std::string& args) {
    return "ctorch._utils\n_rebuild_tensor_v2\n(" + args + "tR.";
  };
  const std::vector<std::pair<std::string, std::string>> rows{
      {tensor("I0\nQI0\n(I5\nt(I1\nt\x89}"),
       "bad tensor: element 4 lies beyond its storage of 4 elements"},
      {tensor("I0\nQI-1\n(I1\nt(I1\nt\x89}"), "bad tensor: negative storage offset -1"},
      {tensor("I0\nQI0\n(I-1\nt(I1\nt\x89}"), "bad tensor: negative size -1"},
      {tensor("I0\nQI0\n(I2\nt(I-1\nt\x89}"), "bad tensor: negative stride -1"},
      {tensor("I0\nQI0\n(I4611686018427387904\nI4\nt(I1\nI1\nt\x89}"),
       "bad tensor: the number of elements overflows"},
      {tensor("I0\nQI0\n(I2\nt(I9223372036854775807\nt\x89}"), "beyond its storage"},
      {tensor("I0\nQI1\n(I2\nt(I9223372036854775807\nt\x89}"), "bad tensor: the strides overflow"},
      {tensor("I0\nQI0\n(I1\nI1\nt(I1\nt\x89}"), "bad tensor: 2 dimensions but 1 strides"},
      {tensor("I0\nQI0\nN(I1\nt\x89}"), "a tensor's shape is None, expected a tuple of ints"},
      {tensor("I0\nQI0\n(Nt(I1\nt\x89}"), "a tensor's shape holds None, expected ints"},
      {tensor("I0\nQN(I1\nt(I1\nt\x89}"), "a tensor's offset is None, expected an int"},
      {tensor("I0\nQI0\n(I1\nt(I1\ntN}"), "a tensor's requires_grad is None, expected a bool"},
      {tensor("NI0\n(I1\nt(I1\nt\x89}"), "a tensor over None, expected a storage"},
      {tensor("I0\nQ"), "a tensor with 1 arguments, expected 6 or 7"},
      {tensor("I0\nQI0\n(I1\nt(I1\nt\x89}NN"), "a tensor with 8 arguments, expected 6 or 7"},
      {tensor("I0\nQI0\n(I1\nt(I1\nt\x89}]"),
       "a tensor's metadata are a list of 0, expected a dict"},
      {tensor("I0\nQI0\n(I1\nt(I1\nt\x89}}S'zoo'\n\x88s"),
       "a tensor's metadata the string 'zoo' (True) is not supported"},
      {tensor("I0\nQI0\n(I1\nt(I1\nt\x89}}S'neg'\nI7\ns"),
       "a tensor's metadata the string 'neg' (the int 7) is not supported"},
      {tensor("I0\nQI0\n(I1\nt(I1\nt\x89}}S'conj'\n\x88s"),
       "a tensor of float32 with the conjugate bit"},
      {"ctorch._utils\n_rebuild_tensor\n(I0\nQI0\n(I1\nt(I1\nt\x89tR.",
       "a tensor with 5 arguments, expected 4"},
      {"ctorch._utils\n_rebuild_parameter_with_state\n(N\x89}tR.",
       "a parameter with 3 arguments, expected 4"},
      {"ctorch._tensor\n_rebuild_from_type_v2\n(NtR.",
       "a tensor with attributes of 1 arguments, expected 4"},
      {"ctorch._utils\n_rebuild_parameter\n(N\x89}tR.", "a parameter over None, expected a tensor"},
      {"ctorch._utils\n_rebuild_parameter\n(NtR.", "a parameter with 1 arguments, expected 3"},
  };
  for (const auto& [bytes, phrase] : rows) {
    SCOPED_TRACE(phrase);
    expect_error<FormatError>([&bytes = bytes] { load(bytes, four_floats); }, phrase);
  }
}

TEST(Unpickler, RefusesTruncationAtEveryByte) {
  const std::string bytes =
      "80 02 7d 71 00 58 01 00 00 00 61 71 01 28 4b 01 4d 2c 01 "
      "47 3f f8 00 00 00 00 00 00 74 71 02 73 2e"_bytes;
  load(bytes);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    expect_error<FormatError>([&] { load(bytes.substr(0, size)); }, "p[data.pkl]+0x");
}

TEST(Unpickler, EndsBombs) {
  // Each has less than 3 MB, but following it would take gigabytes or never end.
  expect_error<FormatError>([] { load(std::string(2'100'000, ']') + "."); },
                            "more than 2000000 values in one pickle");
  std::string many = "(lp0\n(NNlp1\na";
  for (int i = 0; i < 100'000; ++i) many += "g1\na";
  many +=
      "\x85q\x02"
      "0ccollections\nOrderedDict\nq\x03"
      "0(";
  for (int i = 0; i < 1000; ++i) many += "h\x03h\x02R";
  expect_error<FormatError>([&] { load(many + "l."); }, "items of OrderedDicts made from lists");
  // A long key in many dicts, and a long name used many times.
  std::string keys = "X" + le<std::uint32_t>(1'000'000) + std::string(1'000'000, 'k') +
                     "q\x01"
                     "0(";
  for (int i = 0; i < 50'000; ++i) keys += "}h\x01Ns";
  load(keys + "l.");
  std::string names = "X" + le<std::uint32_t>(1'000'000) + std::string(1'000'000, 'n') +
                      "q\x01"
                      "0(";
  for (int i = 0; i < 50'000; ++i) names += "h\x01h\x01\x93";
  expect_error<FormatError>([&] { load(names + "l."); },
                            "name of 1000000 bytes, expected at most 4096");
  // The same storage in bytes, loaded twice.
  std::string storage =
      "ctorch.storage\n_load_from_bytes\nq\x01"
      "0B" +
      le<std::uint32_t>(1000) + std::string(1000, 's') +
      "\x85q\x02"
      "0(h\x01h\x02R";
  int loaded = 0;
  const auto loader = [&](PickleArena& arena, std::string_view, const Location& where) {
    ++loaded;
    return four_floats(arena, *arena.none(), where);
  };
  load(storage + "l.", {}, loader);
  EXPECT_EQ(loaded, 1);
  expect_error<FormatError>([&] { load(storage + "h\x01h\x02Rl.", {}, loader); },
                            "storages of 2000 bytes are loaded from a pickle of which 10");
  EXPECT_EQ(loaded, 2);
}

TEST(Unpickler, ReadsDeepNestingWithoutRecursion) {
  constexpr std::size_t kDepth = 500'000;
  const auto tree = load(std::string(kDepth, ']') + std::string(kDepth - 1, 'a') + ".");
  EXPECT_EQ(tree.root->describe(), "a list of 1");
}

}  // namespace
}  // namespace compat
