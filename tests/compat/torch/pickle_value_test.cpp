#include "compat/torch/pickle_value.h"

#include <gtest/gtest.h>

namespace compat {
namespace {

PickleDict dict_of(PickleArena& arena, const std::string& key, std::int64_t value) {
  PickleDict dict;
  dict.items.emplace_back(arena.string(key), arena.integer(value));
  return dict;
}

TEST(PickleNode, FindsByKeyInDictsAndObjects) {
  PickleArena arena;
  EXPECT_EQ(*arena.make(dict_of(arena, "a", 1))->find("a")->get_if<std::int64_t>(), 1);
  EXPECT_EQ(arena.make(dict_of(arena, "a", 1))->find("b"), nullptr);
  PickleObject object;  // a Namespace: state; a defaultdict: items. State comes first.
  object.state = arena.make(dict_of(arena, "a", 2));
  object.items = dict_of(arena, "b", 3).items;
  const PickleNode* const node = arena.make(object);
  EXPECT_EQ(*node->find("a")->get_if<std::int64_t>(), 2);
  EXPECT_EQ(*node->find("b")->get_if<std::int64_t>(), 3);
  EXPECT_EQ(arena.integer(1)->find("a"), nullptr);
}

TEST(PickleNode, DescribesItself) {
  PickleArena arena;
  EXPECT_EQ(arena.none()->describe(), "None");
  EXPECT_EQ(arena.integer(-3)->describe(), "the int -3");
  EXPECT_EQ(arena.string("a\n")->describe(), "the string 'a\\x0a'");
  EXPECT_EQ(arena.make(PickleTuple{{arena.none()}})->describe(), "a tuple of 1");
  EXPECT_EQ(arena.make(PickleGlobal{"os", "system"})->describe(),
            "the class or function os.system");
  PickleObject object;
  object.callable = arena.make(PickleGlobal{"argparse", "Namespace"});
  EXPECT_EQ(arena.make(object)->describe(), "an argparse.Namespace");
  const auto rebuilt = [&](const char* how, std::vector<PickleNode*> args) {
    PickleObject call;
    call.callable = arena.make(PickleGlobal{"torch._utils", how});
    call.args = arena.make(PickleTuple{std::move(args)});
    return arena.make(call)->describe();
  };
  std::vector<PickleNode*> args(6, arena.none());
  EXPECT_EQ(rebuilt("_rebuild_tensor_v3", args), "a tensor of an unknown kind");
  args.push_back(arena.make(PickleGlobal{"torch", "float8_e4m3fn"}));
  EXPECT_EQ(rebuilt("_rebuild_tensor_v3", args), "a tensor of torch.float8_e4m3fn");
  EXPECT_EQ(rebuilt("_rebuild_sparse_tensor", {}), "a sparse tensor");
  EXPECT_EQ(rebuilt("_rebuild_qtensor", {}), "a quantized tensor");
}

}  // namespace
}  // namespace compat
