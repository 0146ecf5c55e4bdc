#include "compat/torch/named_tensors.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace compat {
namespace {

using btm_test::expect_error;

TensorView ones(std::int64_t count) {
  return TensorView::contiguous(
      Storage::copy_of(DType::kFloat32,
                       std::vector<std::byte>(static_cast<std::size_t>(count) * sizeof(float))),
      {count});
}

TEST(NamedTensors, AreThoseOfADictInItsOrder) {
  PickleArena arena;
  PickleDict dict;
  arena.put(dict, "b", arena.tensor(ones(2)));
  arena.put(dict, "a", arena.tensor(ones(3)));
  const NamedTensors tensors = named_tensors(*arena.make(std::move(dict)), "f", "model");
  ASSERT_EQ(tensors.size(), 2U);
  EXPECT_EQ(tensors[0].first, "b");
  EXPECT_EQ(tensors[1].second.shape, std::vector<std::int64_t>{3});
  EXPECT_TRUE(named_tensors(*arena.make(PickleDict{}), "f", "model").empty());
}

TEST(NamedTensors, RefuseWhatIsNoTensor) {
  PickleArena arena;
  const auto refused = [&](PickleNode::Variant value, const std::string& phrase) {
    SCOPED_TRACE(phrase);
    const PickleNode* const node = arena.make(std::move(value));
    expect_error<FormatError>([&] { named_tensors(*node, "f", "model"); }, phrase);
  };
  const auto dict_of = [&](PickleNode* key, PickleNode* value) {
    PickleDict dict;
    dict.items.emplace_back(key, value);
    return dict;
  };
  refused(PickleNone{}, "f[model]: is None, expected a dict of tensors");
  refused(PickleList{}, "expected a dict of tensors");
  refused(dict_of(arena.make(std::int64_t{1}), arena.tensor(ones(1))),
          "has the key the int 1, expected a string");
  refused(dict_of(arena.string("w"), arena.none()), "'w' is None, expected a plain tensor");
  refused(dict_of(arena.string("\x1b[2J"), arena.none()), "'\\x1b[2J' is None");
  refused(dict_of(arena.string("w"), arena.make(PickleObject{})), "expected a plain tensor");
}

TEST(WrapperPrefix, IsWhatAllNamesBeginWith) {
  const auto prefix = [](std::vector<std::string> names) {
    NamedTensors tensors;
    for (std::string& name : names) tensors.emplace_back(std::move(name), ones(1));
    return wrapper_prefix(tensors);
  };
  EXPECT_EQ(prefix({"module.a", "module.b"}), "module.");
  EXPECT_EQ(prefix({"_orig_mod.a"}), "_orig_mod.");
  EXPECT_EQ(prefix({"module.a", "b"}), "");
  EXPECT_EQ(prefix({"module.a", "_orig_mod.b"}), "");
  EXPECT_EQ(prefix({"module"}), "");
  EXPECT_EQ(prefix({}), "");
}

}  // namespace
}  // namespace compat
