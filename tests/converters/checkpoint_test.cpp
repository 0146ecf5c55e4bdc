#include "compat/checkpoint/checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>

#include "compat/base/error.h"
#include "compat/checkpoint/safetensors_checkpoint.h"
#include "compat/fairseq/config_json.h"
#include "compat/huggingface/safetensors.h"
#include "compat/io/sha256.h"
#include "converters/commands.h"
#include "converters/logit_proof.h"
#include "tests/support/command_output.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace {

namespace fs = std::filesystem;
using btm_test::expect_error;
using btm_test::golden;
using btm_test::TempDir;
using compat::Checkpoint;

std::string convert(const std::vector<std::string>& args) {
  return btm_test::output_of(converters::run_checkpoint, args);
}

const fs::path& elm() {
  static const fs::path path = golden("checkpoints/elm_perl/checkpoint_last.pt");
  return path;
}

/// Name, type, shape and content of every tensor, and the configuration.
std::string summary(const fs::path& path, bool with_positions = true) {
  const auto checkpoint = Checkpoint::open(path);
  std::string text = compat::config_to_json(checkpoint.config().root());
  std::vector<std::byte> scratch;
  std::vector<std::string> rows;
  for (const auto& [name, view] : checkpoint.model()) {
    if (!with_positions && name == "decoder.embed_positions.weight") continue;
    if (name == "decoder.embed_positions._float_tensor") continue;  // uninitialised memory
    std::string row = "\n" + name + " " + std::string(compat::dtype_name(view.dtype())) + " " +
                      compat::sha256_hex(view.contiguous_bytes(scratch));
    for (const std::int64_t size : view.shape) row += " " + std::to_string(size);
    rows.push_back(std::move(row));
  }
  std::ranges::sort(rows);
  for (const std::string& row : rows) text += row;
  return text;
}

TEST(ConvertCheckpoint, LayoutsAndSafetensorsComeBackTheSame) {
  const TempDir folder;
  convert({elm(), folder / "legacy.pt", "--to", "legacy"});
  convert({folder / "legacy.pt", folder / "zip.pt"});
  convert({folder / "zip.pt", folder / "m.safetensors", "--to", "safetensors"});
  convert({folder / "m.safetensors", folder / "back.pt"});
  EXPECT_EQ(Checkpoint::open(folder / "legacy.pt").format(), "legacy");
  EXPECT_EQ(Checkpoint::open(folder / "m.safetensors").format(), "safetensors");
  for (const char* const file : {"legacy.pt", "zip.pt", "back.pt"})
    EXPECT_EQ(summary(folder / file), summary(elm())) << file;
}

TEST(ConvertCheckpoint, KeepsSharedStoragesShared) {
  const TempDir folder;
  for (const char* const dtype : {"keep", "fp16"}) {
    const fs::path out = folder / (std::string(dtype) + ".pt");
    convert({elm(), out, "--dtype", dtype});
    const auto checkpoint = Checkpoint::open(out);
    EXPECT_EQ(checkpoint.find("decoder.embed_tokens.weight")->storage,
              checkpoint.find("decoder.output_projection.weight")->storage)
        << dtype;
  }
}

TEST(ConvertCheckpoint, PrecisionsAreThoseOfTorch) {
  // torch rounded the golden variants.
  const TempDir folder;
  for (const auto& [dtype, variant] : {std::pair{"fp16", "variants/zip_float16.pt"},
                                       std::pair{"bf16", "variants/zip_bfloat16.pt"}}) {
    const fs::path out = folder / (std::string(dtype) + ".pt");
    convert({golden("variants/zip_dict.pt"), out, "--dtype", dtype});
    EXPECT_EQ(summary(out).substr(summary(out).find('\n')),
              summary(golden(variant)).substr(summary(golden(variant)).find('\n')))
        << dtype;
  }
}

TEST(ConvertCheckpoint, StripsTheOptimizer) {
  const TempDir folder;
  const fs::path whole = golden("checkpoints/seed/checkpoint_1_100.pt");
  ASSERT_NE(Checkpoint::open(whole).find_entry("last_optimizer_state"), nullptr);
  convert({whole, folder / "out.pt", "--strip-optimizer"});
  EXPECT_EQ(Checkpoint::open(folder / "out.pt").find_entry("last_optimizer_state"), nullptr);
  EXPECT_NE(Checkpoint::open(folder / "out.pt").find_entry("extra_state"), nullptr);
  EXPECT_EQ(summary(folder / "out.pt"), summary(whole));
}

TEST(ConvertCheckpoint, ConfigurationsChangeFormAndBack) {
  const TempDir folder;
  convert({elm(), folder / "flat.pt", "--config", "namespace"});
  const auto flat = Checkpoint::open(folder / "flat.pt");
  EXPECT_TRUE(flat.config().is_flat());
  EXPECT_EQ(flat.config().get_string("", "arch", ""), "transformer_lm_gpt3_small");
  EXPECT_EQ(flat.config().get_int("model", "decoder_attention_heads", 0), 4);
  convert({folder / "flat.pt", folder / "nested.pt", "--config", "cfg"});
  const auto nested = Checkpoint::open(folder / "nested.pt"), original = Checkpoint::open(elm());
  ASSERT_FALSE(nested.config().is_flat());
  for (const char* const section :
       {"model", "optimizer", "lr_scheduler", "criterion", "checkpoint", "optimization"})
    for (const auto& [key, value] :
         std::get<compat::ConfigValue::Dict>(original.config().root().find(section)->value)) {
      const auto* const found = nested.config().root().find(section)->find(key);
      ASSERT_NE(found, nullptr) << section << "." << key;
      EXPECT_EQ(found->to_text(), value.to_text()) << section << "." << key;
    }
}

TEST(ConvertCheckpoint, HuggingFaceFoldersComeBack) {
  const TempDir folder;
  for (const std::string kind : {"opt", "gpt2"}) {
    const bool prove =
        kind == "gpt2" &&
        !converters::btm_beside().empty();  // one proof is enough: it starts btm twice
    std::vector<std::string> args{
        elm(),        folder / kind, "--to",   "hf",
        "--hf-model", kind,          "--dict", golden("data-bin/dict.txt")};
    if (!prove) args.push_back("--skip-proof");
    const std::string printed = convert(args);
    EXPECT_EQ(printed.starts_with("same logits: 768 tokens"), prove) << printed;
    EXPECT_TRUE(fs::exists(folder / kind / "config.json"));
    EXPECT_EQ(btm_test::read_file(folder / kind / "dict.txt"),
              btm_test::read_file(golden("data-bin/dict.txt")));
    convert({folder / kind, folder / (kind + ".pt")});
    // GPT-2 does not have rows for the two positions that fairseq never uses.
    EXPECT_EQ(summary(folder / (kind + ".pt"), kind != "gpt2"), summary(elm(), kind != "gpt2"))
        << kind;
  }
}

/// The digest of tests/golden/data-bin/dict.txt.
constexpr const char* kGoldenDictionary =
    "28d0f73d0d74273419fe163151e965ca9b1262f99fb787aefd75b3dcc8e951d1";

TEST(ConvertCheckpoint, TheDictionarysDigestGoesAlongEveryWay) {
  const TempDir folder;
  convert({elm(), folder / "known.pt", "--dict", golden("data-bin/dict.txt")});
  convert({folder / "known.pt", folder / "legacy.pt", "--to", "legacy"});
  convert({folder / "legacy.pt", folder / "m.safetensors", "--to", "safetensors"});
  convert({folder / "m.safetensors", folder / "hf", "--to", "hf", "--skip-proof"});
  convert({folder / "hf", folder / "back.pt"});
  convert({folder / "back.pt", folder / "d", "--to", "demix"});
  for (const char* const file : {"known.pt", "legacy.pt", "m.safetensors", "hf",
                                 "hf/model.safetensors", "back.pt", "d-rank-0.pt"})
    EXPECT_EQ(Checkpoint::open(folder / file).dictionary().sha256, kGoldenDictionary) << file;
}

TEST(ConvertCheckpoint, RefusesAnotherDictionaryOfTheSameSize) {
  const TempDir folder;
  convert({elm(), folder / "known.pt", "--dict", golden("data-bin/dict.txt")});
  std::string lines = btm_test::read_file(golden("data-bin/dict.txt"));
  ASSERT_TRUE(lines.starts_with(", 14192\n. 13798\n"));
  lines.replace(0, 16, ". 13798\n, 14192\n");
  btm_test::write_file(folder / "dict.txt", lines);
  for (const char* const to : {"zip", "safetensors", "hf"}) {
    expect_error<compat::FormatError>(
        [&] {
          convert({folder / "known.pt", folder / "out", "--to", to, "--skip-proof", "--dict",
                   folder / "dict.txt"});
        },
        "dict.txt: has another dictionary (SHA-256 ");
    EXPECT_FALSE(fs::exists(folder / "out")) << to;
  }
}

/// Whether args and cfg of a torch file are an argparse.Namespace ("N"), a dict ("d") or None
/// ("-").
std::string forms(const fs::path& path) {
  const compat::TorchFile file = compat::load_torch_file(path);
  std::string text;
  for (const char* const key : {"args", "cfg"}) {
    const compat::PickleNode* const node = file.tree.root->find(key);
    const auto* const object = node == nullptr ? nullptr : node->get_if<compat::PickleObject>();
    const auto* const type =
        object == nullptr ? nullptr : object->callable->get_if<compat::PickleGlobal>();
    text += node == nullptr || node->is_none()                                           ? "-"
            : type != nullptr && type->module == "argparse" && type->name == "Namespace" ? "N"
            : node->get_if<compat::PickleDict>() != nullptr                              ? "d"
                                                                                         : "?";
  }
  return text;
}

TEST(ConvertCheckpoint, EveryFormOfConfigurationComesBackAsItWas) {
  const TempDir folder;
  convert({elm(), folder / "args.pt", "--config", "namespace"});
  convert({elm(), folder / "cfg.pt"});
  {  // both, as fairseq 0.10 wrote them
    const auto args = Checkpoint::open(folder / "args.pt"),
               cfg = Checkpoint::open(folder / "cfg.pt");
    compat::PickleDict both = *cfg.root().get_if<compat::PickleDict>();
    for (auto& [key, value] : both.items)
      if (*key->get_if<std::string>() == "args")
        value = const_cast<compat::PickleNode*>(args.root().find("args"));
    compat::PickleArena arena;
    compat::save_checkpoint(folder / "both.pt", *arena.make(std::move(both)));
  }
  for (const auto& [name, form] :
       {std::pair{"args", "N-"}, std::pair{"cfg", "-d"}, std::pair{"both", "Nd"}}) {
    const auto file = [&, stem = std::string(name)](const char* end) {
      return folder / (stem + end);
    };
    ASSERT_EQ(forms(file(".pt")), form) << name;
    convert({file(".pt"), file(".safetensors"), "--to", "safetensors"});
    convert({file(".safetensors"), file("_1.pt")});
    convert({file(".pt"), file("_hf"), "--to", "hf", "--skip-proof"});
    convert({file("_hf"), file("_2.pt")});
    for (const char* const back : {"_1.pt", "_2.pt"}) {
      EXPECT_EQ(forms(file(back)), form) << name << back;
      EXPECT_EQ(summary(file(back)), summary(file(".pt"))) << name << back;
    }
  }
}

TEST(ConvertCheckpoint, SinusoidalPostNormModelsBecomeOptAndComeBack) {
  const TempDir folder;
  const fs::path base = golden("training/base/checkpoint_last.pt");
  convert({base, folder / "hf", "--to", "hf", "--skip-proof"});
  const auto mapped = Checkpoint::open(folder / "hf");
  EXPECT_EQ(mapped.format(), "hugging face");
  EXPECT_FALSE(mapped.config().get_bool("model", "decoder_normalize_before", true));
  // Row 3 is the second position: sin(3), ..., cos(3), ... in fp32.
  const auto* positions = mapped.find("decoder.embed_positions.weight");
  std::vector<std::byte> scratch;
  const auto bytes = positions->contiguous_bytes(scratch);
  float first = 0, half = 0;
  std::memcpy(&first, bytes.data() + 3 * 64 * 4, 4);
  std::memcpy(&half, bytes.data() + (3 * 64 + 32) * 4, 4);
  EXPECT_NEAR(first, std::sin(3.0), 1e-6);
  EXPECT_NEAR(half, std::cos(3.0), 1e-6);
}

TEST(ConvertCheckpoint, SinusoidalPreNormModelsBecomeXglm) {
  const TempDir folder;
  // The golden expert with sinusoidal positions.
  const auto checkpoint = Checkpoint::open(elm());
  compat::NamedTensors model = checkpoint.model();
  std::erase_if(model,
                [](const auto& item) { return item.first == "decoder.embed_positions.weight"; });
  std::string cfg = compat::config_to_json(checkpoint.config().root());
  const std::string learned = "\"decoder_learned_pos\":true";
  ASSERT_NE(cfg.find(learned), std::string::npos);
  cfg.replace(cfg.find(learned), learned.size(), "\"decoder_learned_pos\":false");
  compat::save_safetensors(folder / "in.safetensors", model, {{compat::kCfgMetadata, cfg}});
  EXPECT_NE(convert({folder / "in.safetensors", folder / "hf", "--to", "hf", "--skip-proof"})
                .find("(xglm, 35 tensors)"),
            std::string::npos);
  convert({folder / "hf", folder / "back.pt"});
  EXPECT_EQ(summary(folder / "back.pt"), summary(folder / "in.safetensors"));
}

/// The golden expert as safetensors, with a text of its configuration replaced and its tensors
/// changed.
void write_changed(const fs::path& path, const std::string& from, const std::string& to,
                   const std::function<void(compat::NamedTensors&)>& change = {}) {
  const auto checkpoint = Checkpoint::open(elm());
  compat::NamedTensors model = checkpoint.model();
  if (change) change(model);
  std::string cfg = compat::config_to_json(checkpoint.config().root());
  ASSERT_NE(cfg.find(from), std::string::npos) << cfg;
  cfg.replace(cfg.find(from), from.size(), to);
  compat::save_safetensors(path, model, {{compat::kCfgMetadata, cfg}});
}

TEST(ConvertCheckpoint, EarlyPreNormModelsLeaveTheirUnusedNormAndComeBackWithoutIt) {
  const TempDir folder;
  const float version = 2;
  const auto early = compat::TensorView::contiguous(
      compat::Storage::copy_of(compat::DType::kFloat32, std::as_bytes(std::span(&version, 1))),
      {1});
  write_changed(folder / "in.safetensors", "{", "{", [&](compat::NamedTensors& model) {
    for (auto& [name, view] : model)
      if (name == "decoder.version") view = early;
  });
  convert({folder / "in.safetensors", folder / "hf", "--to", "hf", "--hf-model", "opt",
           "--skip-proof"});
  EXPECT_NE(
      btm_test::read_file(folder / "hf" / "config.json").find("\"_remove_final_layer_norm\": true"),
      std::string::npos);
  convert({folder / "hf", folder / "back.pt"});
  const auto back = Checkpoint::open(folder / "back.pt");
  EXPECT_EQ(back.find("decoder.layer_norm.weight"), nullptr);
  EXPECT_TRUE(back.config().get_bool("model", "no_decoder_final_norm", false));
  EXPECT_TRUE(back.config().get_bool("model", "share_decoder_input_output_embed", false));
  if (!converters::btm_beside().empty())
    converters::prove_same_logits(converters::btm_beside(), folder / "in.safetensors",
                                  folder / "back.pt", 2112, 128, 1e-9);
}

TEST(ConvertCheckpoint, Gpt2sEpsilonGoesThroughBothWays) {
  const TempDir folder;
  const std::string printed = convert({golden("hf_import/gpt2_eps_0.001"), folder / "in.pt"});
  EXPECT_NE(printed.find("note: layer_norm_epsilon is 0.001: btm uses it"), std::string::npos)
      << printed;
  convert({folder / "in.pt", folder / "hf", "--to", "hf", "--hf-model", "gpt2", "--skip-proof"});
  EXPECT_NE(
      btm_test::read_file(folder / "hf" / "config.json").find("\"layer_norm_epsilon\": 0.001"),
      std::string::npos);
  convert({folder / "hf", folder / "back.pt"});
  EXPECT_EQ(summary(folder / "back.pt"), summary(folder / "in.pt"));
  expect_error<compat::UnsupportedError>(
      [&] {
        convert(
            {folder / "in.pt", folder / "x", "--to", "hf", "--hf-model", "opt", "--skip-proof"});
      },
      "layer_norm_epsilon 0.001 (GPT-2 has it)");
}

TEST(ConvertCheckpoint, RefusesSettingsThatNoTargetHasBeforeAnyProof) {
  const TempDir folder;
  struct Row {
    const char *from, *to, *phrase;
  };
  for (const Row& row :
       {Row{"\"activation_fn\":\"gelu\"", "\"activation_fn\":\"swish\"",
            "not supported: activation swish"},
        Row{"\"activation_fn\":", "\"alibi\":true,\"activation_fn\":",
            "ALiBi positions (alibi=True)"},
        Row{"\"scale_heads\":false", "\"scale_heads\":true", "NormFormer (scale_heads=True)"},
        Row{"\"decoder_attention_heads\":4", "\"decoder_attention_heads\":5",
            "has 5 attention heads for a width of 64"}}) {
    write_changed(folder / "in.safetensors", row.from, row.to);
    for (const char* const kind : {"opt", "gpt2"})
      expect_error<std::runtime_error>(
          [&] {
            convert({folder / "in.safetensors", folder / "x", "--to", "hf", "--hf-model", kind,
                     "--skip-proof"});
          },
          row.phrase);
    EXPECT_FALSE(fs::exists(folder / "x"));
  }
}

TEST(ConvertCheckpoint, DemixShardsBecomeDenseModelsAndBack) {
  const TempDir folder;
  convert({golden("checkpoints/demix"), folder / "dense", "--domains",
           "fortunes,jargon,perl,politics"});
  for (const auto& [domain, rank] : {std::pair{"fortunes", "0"}, std::pair{"politics", "3"}})
    EXPECT_EQ(
        summary(folder / "dense" / domain / "checkpoint_last.pt"),
        summary(golden("checkpoints/demix/checkpoint_last-rank-" + std::string(rank) + ".pt")));
  const std::string two = (folder / "dense" / "fortunes" / "checkpoint_last.pt").string() + ":" +
                          (folder / "dense" / "perl" / "checkpoint_last.pt").string();
  convert({two, folder / "again", "--to", "demix"});
  EXPECT_EQ(summary(folder / "again-rank-1.pt"),
            summary(golden("checkpoints/demix/checkpoint_last-rank-2.pt")));
}

TEST(ConvertCheckpoint, ShardsAreOfOneNetwork) {
  const TempDir folder;
  write_changed(folder / "in.safetensors", "\"decoder_attention_heads\":4",
                "\"decoder_attention_heads\":2");
  const std::string two = elm().string() + ":" + (folder / "in.safetensors").string();
  expect_error<compat::FormatError>(
      [&] {
        convert({two, folder / "x", "--to", "demix", "--shared", elm()});
      },
      "decoder_attention_heads is 2, expected 4 as in");
  EXPECT_FALSE(fs::exists(folder.path().string() + "/x-shared.pt"));
}

TEST(ConvertCheckpoint, ShardsNeedEqualSharedPartsOrOneToTakeThemFrom) {
  const TempDir folder;
  const std::string two =
      elm().string() + ":" + golden("checkpoints/elm_jargon/checkpoint_last.pt").string();
  expect_error<compat::FormatError>(
      [&] {
        convert({two, folder / "x", "--to", "demix"});
      },
      "'decoder.embed_tokens.weight' is to be shared");
  EXPECT_TRUE(fs::is_empty(folder.path()));
  convert({two, folder / "x", "--to", "demix", "--shared",
           golden("checkpoints/seed/checkpoint_last.pt")});
  // The sources of the golden shards.
  EXPECT_EQ(summary(folder / "x-rank-1.pt").substr(summary(folder / "x-rank-1.pt").find('\n')),
            summary(golden("checkpoints/demix/checkpoint_last-rank-1.pt"))
                .substr(summary(golden("checkpoints/demix/checkpoint_last-rank-1.pt")).find('\n')));
}

TEST(ConvertCheckpoint, RefusesBadInput) {
  const TempDir folder;
  expect_error<compat::IoError>([&] { convert({folder / "none.pt", folder / "x.pt"}); }, "none.pt");
  expect_error<compat::IoError>(
      [&] {
        convert({golden("data-bin/dict.txt"), folder / "x.pt"});
      },
      "dict.txt: is a dictionary, expected a checkpoint, a folder with");
  expect_error<compat::IoError>(
      [&] {
        convert({elm(), elm()});
      },
      "is there already (--overwrite replaces it)");
  expect_error<compat::UsageError>(
      [&] {
        convert({elm(), folder / "x", "--to", "gguf"});
      },
      "expected one of zip, legacy");
  expect_error<compat::UnsupportedError>(
      [&] {
        convert({elm(), folder / "x", "--to", "hf", "--hf-model", "xglm"});
      },
      "sinusoidal positions");
  expect_error<compat::UsageError>(
      [&] {
        convert({golden("checkpoints/demix"), folder / "x", "--domains", "a"});
      },
      "the folder holds 4 models");
  const std::string wanted = "cannot name an expert, expected letters";
  for (const auto& [names, phrase] :
       std::map<std::string, std::string>{{"a,b,c,../d", wanted},
                                          {"a,b,c," + (folder / "outside").string(), wanted},
                                          {"a,b,c,a", "--domains names 'a' twice"}})
    expect_error<compat::UsageError>(
        [&] {
          convert({golden("checkpoints/demix"), folder / "x", "--domains", names});
        },
        phrase);
  EXPECT_FALSE(fs::exists(folder / "d"));
  EXPECT_FALSE(fs::exists(folder / "outside"));
  expect_error<compat::UsageError>(
      [&] {
        convert({elm(), folder / "x", "--domains", "a"});
      },
      "--domains names the models of a folder");
  for (const std::string to : {"zip", "hf", "demix"})
    expect_error<compat::UsageError>(
        [&] {
          convert({"", folder / "x", "--to", to});
        },
        "IN names no model");
  btm_test::write_file(folder / "dict.txt", "a 1\n");
  expect_error<compat::FormatError>(
      [&] {
        convert({elm(), folder / "x", "--to", "hf", "--dict", folder / "dict.txt", "--skip-proof"});
      },
      "has 5 symbols, the model has 2112");
  const std::string model = golden("corpus/spm.model"), encoder = golden("gpt2/encoder.json"),
                    merges = golden("gpt2/vocab.bpe"), dict = golden("data-bin/dict.txt");
  const auto to_hf = [&](std::vector<std::string> more) {
    std::vector<std::string> args{elm(), folder / "x", "--to", "hf", "--skip-proof"};
    args.insert(args.end(), more.begin(), more.end());
    convert(args);
  };
  expect_error<compat::UsageError>(
      [&] {
        to_hf({"--sentencepiece-model", model});
      },
      "--sentencepiece-model needs --dict");
  expect_error<compat::UsageError>(
      [&] {
        to_hf({"--gpt2-encoder-json", encoder});
      },
      "need each other");
  expect_error<compat::UsageError>(
      [&] {
        to_hf({"--sentencepiece-model", model, "--gpt2-encoder-json", encoder, "--gpt2-vocab-bpe",
               merges});
      },
      "expected one tokenizer");
  expect_error<compat::FormatError>(
      [&] {
        to_hf({"--dict", dict, "--gpt2-encoder-json", encoder, "--gpt2-vocab-bpe", merges});
      },
      "is not the tokenizer's, expected an id of encoder.json");
  expect_error<compat::FormatError>(
      [&] {
        to_hf({"--dict", dict, "--sentencepiece-model", "/etc/passwd"});
      },
      "not a sentencepiece model");
  EXPECT_FALSE(fs::exists(folder / "x"));
}

TEST(ConvertCheckpoint, WritesATokenizerWithTheModel) {
  const TempDir folder;
  const std::string printed =
      convert({elm(), folder / "hf", "--to", "hf", "--skip-proof", "--dict",
               golden("data-bin/dict.txt"), "--sentencepiece-model", golden("corpus/spm.model")});
  EXPECT_NE(printed.find("same ids: 31"), std::string::npos) << printed;
  EXPECT_NE(printed.find("lacks 1 of the tokenizer's tokens"), std::string::npos) << printed;
  for (const char* const file :
       {"tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model", "dict.txt"})
    EXPECT_TRUE(fs::exists(folder / "hf" / file)) << file;
}

}  // namespace
