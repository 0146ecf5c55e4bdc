#include "compat/checkpoint/checkpoint.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "compat/base/error.h"
#include "compat/io/sha256.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::golden;

/// Builds the dict of a checkpoint.
struct Made {
  PickleArena arena;
  PickleDict dict;
  Made& with(const std::string& key, PickleNode* value) {
    dict.items.emplace_back(arena.string(key), value);
    return *this;
  }
  PickleNode* tensors(const std::vector<std::string>& names) {
    PickleDict model;
    for (const std::string& name : names)
      model.items.emplace_back(
          arena.string(name),
          arena.tensor(TensorView::contiguous(
              Storage::copy_of(DType::kFloat32, std::vector<std::byte>(8)), {2})));
    return arena.make(std::move(model));
  }
  PickleNode* config() {
    PickleDict model, cfg;
    model.items.emplace_back(arena.string("_name"), arena.string("x"));
    cfg.items.emplace_back(arena.string("model"), arena.make(std::move(model)));
    return arena.make(std::move(cfg));
  }
  PickleNode* optimizer(const std::vector<std::int64_t>& indices) {
    PickleDict state, optimizer;
    for (const std::int64_t index : indices)
      state.items.emplace_back(arena.integer(index), arena.none());
    optimizer.items.emplace_back(arena.string("state"), arena.make(std::move(state)));
    return arena.make(std::move(optimizer));
  }
  void save(const std::filesystem::path& path) {
    save_torch_file(path, *arena.make(PickleNode::Variant(dict)));
  }
};

TEST(Checkpoint, MergesDemixShardsAsTheReference) {
  const auto expected =
      nlohmann::json::parse(btm_test::read_file(golden("checkpoints/demix/merged.json")));
  std::vector<std::byte> scratch;
  for (const std::string rank : {"0", "1", "2", "3"}) {
    const auto checkpoint =
        Checkpoint::open(golden("checkpoints/demix/checkpoint_last-rank-" + rank + ".pt"));
    EXPECT_EQ(checkpoint.files().size(), 2U);
    const auto& model = expected[rank]["model"];
    ASSERT_EQ(checkpoint.model().size(), model.size());
    for (const auto& [name, view] : checkpoint.model()) {
      ASSERT_TRUE(model.contains(name)) << name;
      EXPECT_EQ("torch." + std::string(dtype_name(view.dtype())),
                model[name][0].get<std::string>());
      EXPECT_EQ(view.shape, model[name][1].get<std::vector<std::int64_t>>());
      EXPECT_EQ(sha256_hex(view.contiguous_bytes(scratch)), model[name][2].get<std::string>())
          << name;
    }
  }
}

TEST(Checkpoint, MergesAdamsStateByParameterIndex) {
  const auto checkpoint =
      Checkpoint::open(golden("checkpoints/demix_fork/sharded/checkpoint_last-rank-0.pt"));
  const auto dense = Checkpoint::open(golden("checkpoints/demix_fork/dense/checkpoint_last.pt"));
  ASSERT_EQ(checkpoint.model().size(), dense.model().size());
  for (std::size_t i = 0; i < dense.model().size(); ++i)
    EXPECT_EQ(checkpoint.model()[i].first, dense.model()[i].first);
  const auto indices = [](const Checkpoint& from) {
    std::vector<std::int64_t> keys;
    for (const auto& [key, value] :
         from.find_entry("last_optimizer_state")->find("state")->get_if<PickleDict>()->items)
      keys.push_back(*key->get_if<std::int64_t>());
    return keys;
  };
  EXPECT_EQ(indices(checkpoint), indices(dense));
}

TEST(Checkpoint, ReadsEveryFormOfConfiguration) {
  for (const char* name : {"variants/zip_dict.pt", "variants/zip_cfg_dictconfig.pt",
                           "variants/zip_args_namespace.pt", "variants/legacy_dict.pt"}) {
    const auto checkpoint = Checkpoint::open(golden(name));
    EXPECT_EQ(checkpoint.config().get_int("model", "decoder_embed_dim", 0), 64) << name;
    EXPECT_EQ(checkpoint.config().is_flat(), std::string_view(name).ends_with("namespace.pt"))
        << name;
    EXPECT_NE(checkpoint.find("decoder.embed_tokens.weight"), nullptr);
    EXPECT_EQ(checkpoint.find("nothing"), nullptr);
  }
}

TEST(Checkpoint, IsWrittenWithAnotherModel) {
  const btm_test::TempDir dir;
  const auto source = Checkpoint::open(golden("checkpoints/demix_fork/dense/checkpoint_last.pt"));
  PickleArena arena;
  NamedTensors model(source.model().begin(), source.model().begin() + 2);
  save_checkpoint(dir / "new.pt", *with_model(arena, source.root(), model));
  const auto copy = Checkpoint::open(dir / "new.pt");
  EXPECT_EQ(copy.model().size(), 2U);
  EXPECT_EQ(copy.config().root().to_text(), source.config().root().to_text());
  EXPECT_NE(copy.find_entry("extra_state"), nullptr);
}

TEST(Checkpoint, KeepsADictionarysDigest) {
  const btm_test::TempDir dir;
  const auto source = Checkpoint::open(golden("checkpoints/demix_fork/dense/checkpoint_last.pt"));
  EXPECT_EQ(source.dictionary().sha256, "");  // fairseq's
  EXPECT_EQ(source.dictionary().dict_txt.filename(), "dict.txt");
  PickleArena arena;
  const std::string first(64, 'a'), second(64, 'b');
  const PickleNode* root =
      with_dictionary(arena, *with_dictionary(arena, source.root(), first), second);
  EXPECT_EQ(root->get_if<PickleDict>()->items.size(),
            source.root().get_if<PickleDict>()->items.size() + 1);
  save_checkpoint(dir / "kept.pt", *root);
  EXPECT_EQ(Checkpoint::open(dir / "kept.pt").dictionary().sha256, second);
  save_checkpoint(dir / "none.pt", *with_dictionary(arena, *root, ""));
  EXPECT_EQ(Checkpoint::open(dir / "none.pt").dictionary().sha256, "");
  save_checkpoint(dir / "bad.pt", *with_dictionary(arena, *root, "sha256:\x1b"));
  expect_error<FormatError>(
      [&] { Checkpoint::open(dir / "bad.pt"); },
      "bad.pt[dictionary_sha256]: is 'sha256:\\x1b', expected 64 digits of a SHA-256");
}

TEST(Checkpoint, RefusesShardsOfTwoDictionaries) {
  const btm_test::TempDir dir;
  const auto save = [&](const char* name, const char* tensor, const std::string& dictionary) {
    Made made;
    made.with("model", made.tensors({tensor})).with("cfg", made.config());
    if (!dictionary.empty()) made.with(kDictionaryKey, made.arena.string(dictionary));
    made.save(dir / name);
  };
  const std::string first(64, 'a'), second(64, 'b');
  save("c-rank-0.pt", "decoder.layers.0.fc1.weight", first);
  save("c-shared.pt", "decoder.layers.0.final_layer_norm.weight", "");
  EXPECT_EQ(Checkpoint::open(dir / "c-rank-0.pt").dictionary().sha256, first);
  save("c-shared.pt", "decoder.layers.0.final_layer_norm.weight", second);
  expect_error<FormatError>([&] { Checkpoint::open(dir / "c-rank-0.pt"); },
                            "c-rank-0.pt: has another dictionary (SHA-256 aaaaaaaaaaaa...)");
}

TEST(Checkpoint, KnowsShardsByTheirNames) {
  EXPECT_EQ(Checkpoint::shared_half_of("a/checkpoint_last-rank-12.pt"),
            "a/checkpoint_last-shared.pt");
  for (const char* other :
       {"checkpoint_last.pt", "checkpoint_last-rank-.pt", "checkpoint_last-rank-1x.pt",
        "checkpoint_last-rank-1.bin", "rank-1.pt"})
    EXPECT_EQ(Checkpoint::shared_half_of(other), "") << other;
  EXPECT_TRUE(Checkpoint::is_shared_half("a/checkpoint_last-shared.pt"));
  EXPECT_FALSE(Checkpoint::is_shared_half("a/checkpoint_last.pt"));
}

TEST(Checkpoint, RefusesWhatIsNoCheckpoint) {
  const btm_test::TempDir dir;
  const auto refuse = [&](Made&& made, const char* phrase) {
    SCOPED_TRACE(phrase);
    made.save(dir / "c.pt");
    expect_error<FormatError>([&] { Checkpoint::open(dir / "c.pt"); }, phrase);
  };
  refuse(Made(), "c.pt: a dict without 'model' (its keys: none), expected a checkpoint");
  {
    Made m;
    m.with("state_dict", m.arena.none()).with("epoch", m.arena.none());
    refuse(std::move(m), "(its keys: state_dict, epoch)");
  }
  {
    Made m;
    m.with("model", m.arena.none());
    refuse(std::move(m), "c.pt[model]: is None, expected a dict of tensors");
  }
  {
    Made m;
    PickleDict d;
    d.items.emplace_back(m.arena.string("w"), m.arena.integer(1));
    m.with("model", m.arena.make(d));
    refuse(std::move(m), "c.pt[model]: 'w' is the int 1, expected a plain tensor");
  }
  {
    Made m;
    PickleDict d;
    d.items.emplace_back(m.arena.integer(1), m.arena.integer(1));
    m.with("model", m.arena.make(d));
    refuse(std::move(m), "c.pt[model]: has the key the int 1, expected a string");
  }
  {
    Made m;
    m.with("model", m.tensors({"w"}));
    refuse(std::move(m), "c.pt: holds neither cfg nor args");
  }
  {
    Made m;
    m.with("model", m.tensors({"w"})).with("cfg", m.arena.integer(1));
    refuse(std::move(m), "c.pt[cfg]: is the int 1, expected a dict");
  }
  PickleArena arena;
  save_torch_file(dir / "list.pt", *arena.make(PickleList{}));
  expect_error<FormatError>([&] { Checkpoint::open(dir / "list.pt"); },
                            "list.pt: holds a list of 0, expected a checkpoint");
}

TEST(Checkpoint, RefusesShardsThatDoNotFit) {
  const btm_test::TempDir dir;
  const auto rank = dir / "c-rank-0.pt", shared = dir / "c-shared.pt";
  const auto save = [](const std::filesystem::path& path, const std::vector<std::string>& names,
                       const std::vector<std::int64_t>& state) {
    Made made;
    made.with("model", made.tensors(names))
        .with("cfg", made.config())
        .with("last_optimizer_state", made.optimizer(state));
    made.save(path);
  };
  save(rank, {"decoder.layers.0.fc1.weight"}, {0});
  expect_error<FormatError>([&] { Checkpoint::open(rank); },
                            "c-rank-0.pt: is an expert of DeMIX without its shared part, expected");
  save(shared, {"decoder.embed_tokens.weight"}, {1});
  EXPECT_EQ(Checkpoint::open(rank).model().size(), 2U);
  expect_error<FormatError>([&] { Checkpoint::open(shared); },
                            "c-shared.pt: is the part that DeMIX experts share");
  save(shared, {"decoder.layers.0.fc1.weight"}, {1});
  expect_error<FormatError>([&] { Checkpoint::open(rank); },
                            "holds 'decoder.layers.0.fc1.weight', which its shared half");
  save(shared, {"decoder.embed_tokens.weight"}, {0});
  expect_error<FormatError>(
      [&] { Checkpoint::open(rank); },
      "c-rank-0.pt[last_optimizer_state]: parameter 0 has state in both halves");
}

TEST(Checkpoint, RefusesWhatIsNoFile) {
  const btm_test::TempDir dir;
  ASSERT_EQ(::mkfifo((dir / "pipe.pt").c_str(), 0600), 0);
  btm_test::write_file(dir / "empty.pt", "");
  expect_error<IoError>([&] { Checkpoint::open(dir / "pipe.pt"); }, "pipe.pt: is a FIFO");
  expect_error<IoError>([&] { Checkpoint::open(dir.path()); },
                        "is a directory, expected a regular file");
  expect_error<IoError>([&] { Checkpoint::open(dir / "none.pt"); },
                        "none.pt: cannot open: No such file");
  expect_error<FormatError>([&] { Checkpoint::open(dir / "empty.pt"); }, "empty.pt: is empty");
  expect_error<FormatError>([&] { Checkpoint::open(golden("data-bin/dict.txt")); },
                            "expected a file of torch.save");
  expect_error<FormatError>([&] { Checkpoint::open(golden("data-bin/perl/valid_perl.idx")); },
                            "is the index of a data-bin");
}

TEST(SaveCheckpoint, RefusesWhatItCouldNotRead) {
  const btm_test::TempDir dir;
  PickleArena arena;
  expect_error<FormatError>([&] { save_checkpoint(dir / "c.pt", *arena.make(PickleDict{})); },
                            "a dict without 'model'");
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

}  // namespace
}  // namespace compat
