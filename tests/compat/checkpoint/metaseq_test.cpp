// metaseq's checkpoints: names of files, every layout, and what is refused.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "compat/checkpoint/checkpoint.h"
#include "compat/checkpoint/metaseq_name.h"
#include "compat/checkpoint/named_models.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::golden;

std::vector<std::byte> bytes_of(const Checkpoint& checkpoint, const std::string& name) {
  const TensorView* const view = checkpoint.find(name);
  if (view == nullptr) return {};
  std::vector<std::byte> scratch;
  const auto bytes = view->contiguous_bytes(scratch);
  return {bytes.begin(), bytes.end()};
}

TEST(MetaseqName, IsStemPartAndShard) {
  const auto text = [](const char* path) {
    const auto name = metaseq_name(path);
    if (!name) return std::string("-");
    const auto number = [](const std::optional<std::size_t>& n) {
      return n ? std::to_string(*n) : std::string("-");
    };
    return name->stem + " " + number(name->part) + " " + number(name->shard);
  };
  EXPECT_EQ(text("d/reshard-model_part-0.pt"), "reshard 0 -");
  EXPECT_EQ(text("checkpoint_last-model_part-12-shard345.pt"), "checkpoint_last 12 345");
  EXPECT_EQ(text("checkpoint_1_2-shard0.pt"), "checkpoint_1_2 - 0");
  for (const char* other : {"checkpoint_last.pt", "reshard-model_part-0.bin", "-shard0.pt",
                            "a-shard.pt", "a-shard-1.pt", "a-shard1x.pt", "a-shard1234567.pt"})
    EXPECT_EQ(text(other), "-") << other;
}

TEST(Metaseq, EveryLayoutHoldsTheSameModel) {
  const auto whole = Checkpoint::open(golden("metaseq/fused/restored.pt"));
  EXPECT_EQ(whole.format(), "metaseq");
  for (const char* folder : {"parts", "flat", "flat_parts"}) {
    const auto model = resolve_model(golden("metaseq/" + std::string(folder)));
    EXPECT_EQ(model.kind, ModelKind::kMetaseq) << folder;
    const auto checkpoint = Checkpoint::open(model.path);
    ASSERT_EQ(checkpoint.model().size(), whole.model().size()) << folder;
    for (const auto& [name, view] : whole.model()) {
      ASSERT_NE(checkpoint.find(name), nullptr) << folder << ' ' << name;
      EXPECT_EQ(checkpoint.find(name)->shape, view.shape) << folder << ' ' << name;
      EXPECT_EQ(bytes_of(checkpoint, name), bytes_of(whole, name)) << folder << ' ' << name;
    }
    EXPECT_EQ(checkpoint.config().root().to_text(), whole.config().root().to_text()) << folder;
  }
}

TEST(Metaseq, HasFairseqsSettings) {
  const auto opt = Checkpoint::open(golden("metaseq/fused/restored.pt"));
  EXPECT_TRUE(opt.config().get_bool("model", "decoder_normalize_before", false));
  EXPECT_TRUE(opt.config().get_bool("model", "decoder_learned_pos", false));
  EXPECT_TRUE(opt.config().get_bool("model", "no_scale_embedding", false));
  EXPECT_EQ(opt.config().get_int("model", "max_target_positions", 0), 32);
  EXPECT_EQ(opt.config().get_string("model", "activation_fn", ""), "relu");
  const auto old = Checkpoint::open(golden("metaseq/projected/reshard.pt"));
  EXPECT_FALSE(old.config().get_bool("model", "decoder_normalize_before", true));
  EXPECT_EQ(old.config().get_int("model", "decoder_input_dim", 0), 8);
  EXPECT_EQ(old.config().get_int("model", "decoder_embed_dim", 0), 16);
}

TEST(Metaseq, IsNamedByAnyOfItsFilesOrByNone) {
  for (const char* name : {"parts", "parts/reshard.pt", "parts/reshard-model_part-1.pt"}) {
    const auto model = resolve_model(golden("metaseq/" + std::string(name)));
    EXPECT_EQ(model.name, "parts") << name;
    EXPECT_EQ(model.path, golden("metaseq/parts/reshard-model_part-0.pt")) << name;
  }
  EXPECT_EQ(resolve_model(golden("metaseq/flat")).name, "model");
  EXPECT_EQ(resolve_model(golden("metaseq/consolidated")).name, "consolidated");
}

TEST(Metaseq, RefusesSetsWithAHole) {
  const btm_test::TempDir dir;
  const auto copy = [&](const char* from, const char* to) {
    std::filesystem::copy_file(golden(std::string("metaseq/") + from), dir / to);
  };
  copy("flat/model-shard0.pt", "model-shard0.pt");
  copy("flat/model-shard2.pt", "model-shard2.pt");
  expect_error<FormatError>([&] { Checkpoint::open(dir / "model-shard0.pt"); },
                            "expected part 0, shard 1");
  copy("flat/model-shard1.pt", "other-shard1.pt");
  expect_error<FormatError>([&] { Checkpoint::open(dir / "other-shard1.pt"); },
                            "expected part 0, shard 0");
  expect_error<FormatError>([&] { resolve_model(dir.path()); },
                            "holds parts of several models (model, other)");
  copy("flat/model-shard0.pt", "last-model_part-0-shard0.pt");
  copy("flat/model-shard1.pt", "last-model_part-0-shard1.pt");
  copy("flat/model-shard2.pt", "last-model_part-1-shard0.pt");
  expect_error<FormatError>([&] { Checkpoint::open(dir / "last.pt"); },
                            "expected 2 shards of 2 parts");
}

/// A model of one layer in memory, which a row of the table below damages.
struct Made {
  PickleArena arena;
  PickleDict model, settings, metadata, info;
  std::vector<std::int64_t> numels{2, 2}, shapes{2, 2};
  std::int64_t padding = 1;

  Made() {
    add("decoder.embed_tokens.weight", {4, 3});
    add("decoder.layers.0.fc1.weight", {6, 3});
    add("decoder.layers.0.self_attn.qkv_proj.weight", {9, 3});
    add("decoder.layer_norm.weight", {3});
    arena.put(settings, "decoder_attention_heads", arena.integer(1));
    arena.put(settings, "full_megatron_init", arena.boolean(true));
  }
  void add(const std::string& name, std::vector<std::int64_t> shape,
           DType dtype = DType::kFloat32) {
    std::size_t size = element_size(dtype);
    for (const std::int64_t n : shape) size *= static_cast<std::size_t>(n);
    remove(model, name);
    arena.put(model, name,
              arena.tensor(TensorView::contiguous(
                  Storage::copy_of(dtype, std::vector<std::byte>(size)), std::move(shape))));
  }
  void remove(PickleDict& dict, std::string_view name) {
    std::erase_if(dict.items, [&](const auto& item) {
      return *item.first->template get_if<std::string>() == name;
    });
  }
  PickleNode* list(const std::vector<PickleNode*>& items) { return arena.make(PickleList{items}); }
  /// A flat parameter "m.flat_param_0" of two vectors a and b, and one element of padding.
  void flatten() {
    add("m.flat_param_0", {5});
    arena.put(info, "names", list({arena.string("a"), arena.string("b")}));
    arena.put(info, "shapes",
              list({list({arena.integer(shapes[0])}), list({arena.integer(shapes[1])})}));
    arena.put(info, "numels", list({arena.integer(numels[0]), arena.integer(numels[1])}));
    arena.put(info, "padding", arena.integer(padding));
  }
  /// The same, where a has another shape and b the other ones of the four elements.
  void flatten_as(const std::vector<std::int64_t>& shape, std::int64_t numel) {
    numels = shapes = {numel, 4 - numel};
    flatten();
    std::vector<PickleNode*> sizes;
    for (const std::int64_t size : shape) sizes.push_back(arena.integer(size));
    remove(info, "shapes");
    arena.put(info, "shapes", list({list(sizes), list({arena.integer(4 - numel)})}));
  }
  void save(const std::filesystem::path& path) {
    PickleDict root, cfg;
    arena.put(cfg, "model", arena.make(PickleDict(settings)));
    arena.put(root, "cfg", arena.make(std::move(cfg)));
    arena.put(root, "model", arena.make(PickleDict(model)));
    if (!info.items.empty()) {
      PickleDict params, module, all;
      arena.put(params, "flat_param_0", arena.make(PickleDict(info)));
      arena.put(module, "fsdp_path", arena.string("m"));
      arena.put(module, "params", arena.make(std::move(params)));
      arena.put(all, "param_metadata", list({arena.make(std::move(module))}));
      arena.put(all, "buffer_names",
                list({arena.string("decoder.embed_tokens.weight"),
                      arena.string("decoder.layers.0.fc1.weight")}));
      arena.put(root, "shard_metadata", arena.make(std::move(all)));
    }
    save_torch_file(path, *arena.make(std::move(root)));
  }
};

TEST(Metaseq, RefusesWhatDoesNotFit) {
  const btm_test::TempDir dir;
  struct Row {
    const char* phrase;
    std::function<void(Made&)> damage;
  };
  const std::vector<Row> rows{
      {"expected three projections",
       [](Made& m) {
         m.add("decoder.layers.0.self_attn.qkv_proj.weight", {8, 3});
       }},
      {"has no matrix 'decoder.embed_tokens.weight'",
       [](Made& m) { m.add("decoder.embed_tokens.weight", {4}); }},
      {"has no matrix 'decoder.layers.0.fc1.weight'",
       [](Made& m) { m.remove(m.model, "decoder.layers.0.fc1.weight"); }},
      {"has no decoder_attention_heads",
       [](Made& m) { m.remove(m.settings, "decoder_attention_heads"); }},
      {"no shard_metadata that say what is in them", [](Made& m) { m.add("m.flat_param_0", {5}); }},
      {"has 3 elements and the shape [3], and 2 are left",
       [](Made& m) {
         m.numels = m.shapes = {3, 3}, m.padding = 0, m.flatten();
       }},
      {"has 3 elements and the shape [2]", [](Made& m) { m.numels[1] = 3, m.flatten(); }},
      {"with 6 of padding", [](Made& m) { m.padding = 6, m.flatten(); }},
      {"expected a size", [](Made& m) { m.numels[0] = -1, m.flatten(); }},
      {"the shape of 'm.a': 65 dimensions, at most 64 expected",
       [](Made& m) { m.flatten_as(std::vector<std::int64_t>(65, 1), 1); }},
      {"the shape of 'm.a': the number of elements overflows",
       [](Made& m) {
         m.flatten_as({std::int64_t{1} << 40, std::int64_t{1} << 40, 0}, 0);
       }},
      {"the shape of 'm.a': the number of elements overflows",
       [](Made& m) {
         m.flatten_as({0, std::int64_t{1} << 40, std::int64_t{1} << 40}, 0);
       }},
      {"names 4 elements of a flat parameter of 5", [](Made& m) { m.padding = 0, m.flatten(); }},
      {"has no 'm.flat_param_0'",
       [](Made& m) {
         m.flatten();
         m.remove(m.model, "m.flat_param_0");
         m.add("m.flat_param_1", {5});
       }},
      {"'names' is missing, expected a list",
       [](Made& m) {
         m.flatten();
         m.remove(m.info, "names");
       }},
  };
  for (const Row& row : rows) {
    Made made;
    row.damage(made);
    made.save(dir / "m.pt");
    expect_error<FormatError>([&] { Checkpoint::open(dir / "m.pt"); }, row.phrase);
  }
}

TEST(Metaseq, RefusesOtherNetworksByName) {
  const btm_test::TempDir dir;
  for (const char* key : {"use_stable_embedding", "disable_bias", "disable_affine_ln"}) {
    Made made;
    made.arena.put(made.settings, key, made.arena.boolean(true));
    made.save(dir / "m.pt");
    expect_error<UnsupportedError>([&] { Checkpoint::open(dir / "m.pt"); },
                                   std::string("not supported: ") + key);
  }
  Made made;
  made.arena.put(made.settings, "self_attn_doc_sep", made.arena.integer(2));
  made.add("decoder.layers.0.layers.1.fc1.weight", {6, 3});
  made.save(dir / "m.pt");
  expect_error<UnsupportedError>([&] { Checkpoint::open(dir / "m.pt"); },
                                 "self_attn_doc_sep=2), layers in groups");
}

TEST(Metaseq, RefusesPartsThatDoNotFitEachOther) {
  const btm_test::TempDir dir;
  const auto expect = [&](const std::function<void(Made&)>& damage, const char* phrase) {
    Made first, second;
    damage(second);
    first.save(dir / "m-model_part-0.pt");
    second.save(dir / "m-model_part-1.pt");
    expect_error<FormatError>([&] { Checkpoint::open(dir / "m.pt"); }, phrase);
  };
  expect([](Made& m) { m.remove(m.model, "decoder.layer_norm.weight"); },
         "part 1 has no 'decoder.layer_norm.weight'");
  expect(
      [](Made& m) {
        m.add("decoder.embed_tokens.weight", {4, 2});
      },
      "'decoder.embed_tokens.weight' has pieces of float32 [4, 3] and of float32 [4, 2]");
  expect(
      [](Made& m) {
        m.add("decoder.layers.0.fc1.weight", {6, 3}, DType::kFloat16);
      },
      "and of float16 [6, 3]");
  for (const char* part : {"m-model_part-0.pt", "m-model_part-1.pt"}) {
    Made made;
    made.add("decoder.layers.1.fc1.weight", {std::int64_t{1} << 58, 0});
    made.save(dir / part);
  }
  expect_error<FormatError>([&] { Checkpoint::open(dir / "m.pt"); },
                            "'decoder.layers.1.fc1.weight' has the joined shape "
                            "[576460752303423488, 0]: the number of elements overflows");
}

}  // namespace
}  // namespace compat
