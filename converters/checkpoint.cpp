// btm-convert checkpoint: converts fairseq checkpoints to other layouts, precisions and formats,
// and back.
#include "compat/checkpoint/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <set>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/checkpoint/forest.h"
#include "compat/checkpoint/named_models.h"
#include "compat/checkpoint/safetensors_checkpoint.h"
#include "compat/fairseq/config_json.h"
#include "compat/fairseq/network_settings.h"
#include "compat/huggingface/safetensors.h"
#include "compat/io/atomic_file.h"
#include "compat/program/command_line.h"
#include "converters/commands.h"
#include "converters/config_form.h"
#include "converters/demix_shards.h"
#include "converters/hugging_face_export.h"
#include "converters/hugging_face_tokenizer.h"
#include "converters/logit_proof.h"
#include "converters/staged_folder.h"
#include "converters/tensor_ops.h"

namespace converters {
namespace {

namespace fs = std::filesystem;
using compat::Checkpoint;
using compat::NamedTensors;

struct CheckpointOptions {
  std::string in, out, to = "zip", dtype = "keep", config = "keep", hf_model = "auto", shared,
                       domains, dict, encoder_json, vocab_bpe, sentencepiece;
  bool strip_optimizer = false, skip_proof = false, overwrite = false;
};

const std::map<std::string, compat::DType>& dtypes() {
  static const std::map<std::string, compat::DType> kDTypes{{"fp32", compat::DType::kFloat32},
                                                            {"fp16", compat::DType::kFloat16},
                                                            {"bf16", compat::DType::kBFloat16}};
  return kDTypes;
}

/// The model with weights of type `dtype`. Tensors that share their bytes still share them.
NamedTensors converted(const NamedTensors& model, const std::string& dtype) {
  if (dtype == "keep") return model;
  std::map<std::pair<const compat::Storage*, std::int64_t>, std::vector<compat::TensorView>>
      done;  // tensors by their place in the file
  NamedTensors out;
  for (const auto& [name, view] : model) {
    auto& same_place = done[{view.storage.get(), view.offset}];
    const auto twin = std::ranges::find_if(
        same_place,
        [&shape = view.shape](const compat::TensorView& other) { return other.shape == shape; });
    if (twin != same_place.end() && view.is_contiguous()) {
      out.emplace_back(name, *twin);
      continue;
    }
    out.emplace_back(name, as_dtype(view, dtypes().at(dtype)));
    if (view.is_contiguous()) same_place.push_back(out.back().second);
  }
  return out;
}

/// Adds the tied output, which fairseq's state dict names and formats without shared tensors leave
/// out.
void restore_tie(NamedTensors& model, const compat::Config& config) {
  const auto named = [&](std::string_view name) {
    return std::ranges::find(model, name,
                             [](const auto& item) { return std::string_view(item.first); });
  };
  if (!config.get_bool("model", "share_decoder_input_output_embed", false) ||
      named("decoder.output_projection.weight") != model.end())
    return;
  if (const auto embedding = named("decoder.embed_tokens.weight"); embedding != model.end())
    model.emplace_back("decoder.output_projection.weight", embedding->second);
}

compat::PickleNode* changed_root(compat::PickleArena& arena, const compat::PickleNode& before,
                                 const NamedTensors& model, const compat::Config& config,
                                 const CheckpointOptions& options) {
  compat::PickleNode* const root = compat::with_model(arena, before, model);
  auto& dict = *root->get_if<compat::PickleDict>();
  const bool to_cfg = options.config == "cfg" && config.is_flat(),
             to_namespace = options.config == "namespace" && !config.is_flat();
  std::erase_if(dict.items, [&](const auto& item) {
    const auto* key = item.first->template get_if<std::string>();
    return key != nullptr && ((options.strip_optimizer && *key == "last_optimizer_state") ||
                              ((to_cfg || to_namespace) && (*key == "cfg" || *key == "args")));
  });
  if (to_cfg || to_namespace) {
    dict.items.emplace(dict.items.begin(), arena.string("cfg"),
                       to_cfg ? cfg_of(arena, config) : arena.none());
    dict.items.emplace(dict.items.begin(), arena.string("args"),
                       to_cfg ? arena.none() : namespace_of(arena, config));
  }
  return compat::with_history(arena, *root);
}

/// `root` with cfg and args from `kept`.
compat::PickleNode* with_configuration(compat::PickleArena& arena, const compat::PickleNode& root,
                                       const compat::PickleNode& kept) {
  compat::PickleDict copy = *root.get_if<compat::PickleDict>();
  for (auto& [key, value] : copy.items)
    if (const auto* name = key->get_if<std::string>();
        name != nullptr && (*name == "cfg" || *name == "args"))
      value = const_cast<compat::PickleNode*>(kept.find(*name));
  return arena.make(std::move(copy));
}

/// The checkpoint's dict with the digest of --dict. FormatError when that is not the model's
/// dictionary.
const compat::PickleNode& with_given_dictionary(compat::PickleArena& arena,
                                                const Checkpoint& checkpoint,
                                                const CheckpointOptions& options) {
  if (options.dict.empty()) return checkpoint.root();
  const auto dictionary = compat::Dictionary::load(options.dict);
  const compat::TensorView* const embedding = checkpoint.find("decoder.embed_tokens.weight");
  if (embedding != nullptr && !embedding->shape.empty() && dictionary.size() != embedding->shape[0])
    throw compat::FormatError(
        {options.dict, {}, {}},
        compat::concat("has ", dictionary.size(), " symbols, the model has ", embedding->shape[0]));
  const compat::KnownDictionary given = compat::known_dictionary(dictionary, options.dict);
  compat::check_same_dictionary(given, checkpoint.dictionary());
  return *compat::with_dictionary(arena, checkpoint.root(), given.sha256);
}

void write_torch(const Checkpoint& checkpoint, const fs::path& out,
                 const CheckpointOptions& options) {
  NamedTensors model = checkpoint.model();
  compat::PickleArena arena;
  const compat::PickleNode* root = &with_given_dictionary(arena, checkpoint, options);
  std::optional<compat::Config> original;
  if (const compat::PickleTree kept = compat::stored_configuration(checkpoint.path());
      kept.root != nullptr) {
    original = compat::Config::from_checkpoint(kept.root->find("cfg"), kept.root->find("args"),
                                               checkpoint.path());
    if (NamedTensors undone = undo_export(checkpoint, *original); !undone.empty()) {
      model = std::move(undone);
      arena.keep(kept.arena);
      root = with_configuration(arena, *root, *kept.root);
      // The tie is made again, so that both names refer to one tensor.
      if (original->get_bool("model", "share_decoder_input_output_embed", false))
        std::erase_if(model, [](const auto& item) {
          return item.first == "decoder.output_projection.weight";
        });
    } else {
      original.reset();
    }
  }
  const compat::Config& config = original ? *original : checkpoint.config();
  restore_tie(model, config);
  if (const double epsilon = compat::layer_norm_epsilon(config);
      epsilon != compat::kLayerNormEpsilon)
    std::cout << "note: layer_norm_epsilon is " << epsilon << ": btm uses it ("
              << compat::kLayerNormEpsilonKey
              << " in cfg.model); fairseq ignores it and computes with "
              << compat::kLayerNormEpsilon << "\n";
  const auto layout =
      options.to == "legacy" ? compat::TorchLayout::kLegacy : compat::TorchLayout::kZip;
  compat::save_checkpoint(
      out, *changed_root(arena, *root, converted(model, options.dtype), config, options), layout);
}

/// The metadata of a safetensors file: `format`, then the checkpoint's entries besides its tensors.
/// `config` replaces the checkpoint's configuration.
std::vector<std::pair<std::string, std::string>> metadata_of(const Checkpoint& checkpoint,
                                                             const char* format,
                                                             const compat::ConfigValue& config,
                                                             const CheckpointOptions& options) {
  compat::PickleArena arena;
  auto metadata = compat::checkpoint_metadata(with_given_dictionary(arena, checkpoint, options),
                                              checkpoint.path());
  const std::string_view counts =
      checkpoint.config().is_flat() ? compat::kArgsMetadata : compat::kCfgMetadata;
  for (auto& [key, text] : metadata)
    if (key == counts) text = compat::config_to_json(config);
  metadata.insert(metadata.begin(), {"format", format});
  return metadata;
}

void write_safetensors(const Checkpoint& checkpoint, const fs::path& out,
                       const CheckpointOptions& options) {
  NamedTensors model = converted(checkpoint.model(), options.dtype);
  if (checkpoint.config().get_bool("model", "share_decoder_input_output_embed", false))
    std::erase_if(
        model, [](const auto& item) { return item.first == "decoder.output_projection.weight"; });
  compat::save_safetensors(out, model,
                           metadata_of(checkpoint, "fairseq", checkpoint.config().root(), options));
}

std::int64_t positions_of(const Checkpoint& checkpoint) {
  return checkpoint.config().get_int(
      "model", "max_target_positions",
      checkpoint.config().get_int("task", "tokens_per_sample", 1024));
}

void prove(const Checkpoint& checkpoint, const fs::path& original, const fs::path& copy,
           const CheckpointOptions& options) {
  const compat::TensorView* const embedding = checkpoint.find("decoder.embed_tokens.weight");
  if (options.skip_proof || embedding == nullptr) return;
  const fs::path btm = btm_beside();
  if (btm.empty())
    throw compat::IoError("btm",
                          "is not in the folder of btm-convert, which compares the logits with it "
                          "(--skip-proof omits that)");
  const std::int64_t positions = positions_of(checkpoint);
  const bool exact = options.dtype == "keep" || options.dtype == "fp32";
  const LogitProof proof =
      prove_same_logits(btm, original, copy, embedding->shape.at(0),
                        std::min<std::int64_t>(positions, 128), exact ? 1e-5 : 1.0);
  std::cout << "same logits: " << proof.tokens
            << " tokens, largest difference of a log-probability " << proof.largest_difference
            << (exact ? "" : " (weights rounded to " + options.dtype + ")") << "\n";
}

void write_tokenizer(const fs::path& folder, const compat::Dictionary& dictionary,
                     const CheckpointOptions& options, std::int64_t positions) {
  compat::TokenizerOptions tokenizer{.gpt2_encoder_json = options.encoder_json,
                                     .gpt2_vocab_bpe = options.vocab_bpe,
                                     .sentencepiece_model = options.sentencepiece};
  if (!options.sentencepiece.empty()) tokenizer.bpe = "sentencepiece";
  if (!options.encoder_json.empty()) tokenizer.bpe = "gpt2";
  if (tokenizer.bpe == "none") return;
  const HuggingFaceTokenizer written =
      write_hugging_face_tokenizer(folder, dictionary, options.dict, tokenizer, positions);
  if (!options.sentencepiece.empty())
    fs::copy_file(options.sentencepiece, folder / "sentencepiece.bpe.model");
  std::cout << "same ids: " << written.proven_texts << " texts, " << written.proven_tokens
            << " tokens"
            << (written.ties > 0
                    ? compat::concat(
                          " (", written.ties,
                          " texts have two equally good segmentations, and either may result)")
                    : "")
            << "\n";
  if (written.missing_tokens > 0)
    std::cout << "note: " << compat::printable(options.dict, 4096) << " lacks "
              << written.missing_tokens
              << " of the tokenizer's tokens: " << written.missing_tokens - written.extra_ids
              << " become <unk>, as in a data-bin; " << written.extra_ids
              << " are parts of other tokens and have ids from " << dictionary.size()
              << " on, which the model refuses\n";
}

void write_hugging_face(const Checkpoint& checkpoint, const CheckpointOptions& options) {
  const compat::DType dtype =
      options.dtype == "keep" ? compat::DType::kFloat32 : dtypes().at(options.dtype);
  const HuggingFaceExport model = export_hugging_face(checkpoint, options.hf_model, dtype);
  StagedFolder staged(options.out, options.overwrite);
  compat::write_file_atomically(staged.path() / "config.json", model.config);
  compat::save_safetensors(staged.path() / "model.safetensors", model.tensors,
                           metadata_of(checkpoint, "pt", model.fairseq_config, options));
  if (!options.dict.empty()) {
    fs::copy_file(options.dict, staged.path() / "dict.txt");
    write_tokenizer(staged.path(), compat::Dictionary::load(options.dict), options,
                    positions_of(checkpoint));
  }
  prove(checkpoint, checkpoint.path(), staged.path() / "model.safetensors", options);
  staged.commit();
  std::cout << "wrote " << compat::printable(options.out, 4096) << " (" << model.model_type << ", "
            << model.tensors.size() << " tensors)\n";
}

/// Calls the output `name` in what it prints.
void convert_one(const fs::path& in, const fs::path& out, const fs::path& name,
                 const CheckpointOptions& options) {
  compat::check_new_output(out, options.overwrite);
  const Checkpoint checkpoint = Checkpoint::open(in);
  if (options.to == "safetensors")
    write_safetensors(checkpoint, out, options);
  else
    write_torch(checkpoint, out, options);
  std::cout << "wrote " << compat::printable(name.string(), 4096) << " (" << fs::file_size(out)
            << " bytes)\n";
}

/// UsageError unless they can name folders in OUT, each another one.
void check_domains(const std::vector<std::string>& names) {
  std::set<std::string> seen;
  for (const std::string& name : names) {
    compat::check_expert_name(name);
    if (!seen.insert(name).second) throw compat::UsageError("--domains names '" + name + "' twice");
  }
}

/// Every model of a folder as one of its own: OUT/NAME/checkpoint_last.pt.
void convert_several(const std::vector<compat::NamedModel>& models,
                     const CheckpointOptions& options) {
  std::vector<std::string> names = compat::split_at(options.domains, ',');
  const bool named = !names.empty();
  if (named && names.size() != models.size())
    throw compat::UsageError(compat::concat(
        "--domains names ", names.size(), " domains, the folder holds ", models.size(), " models"));
  check_domains(names);
  StagedFolder staged(options.out, options.overwrite);
  for (std::size_t i = 0; i < models.size(); ++i) {
    const bool is_rank = models[i].kind == compat::ModelKind::kDemixRank;
    const fs::path folder = named     ? names[i]
                            : is_rank ? compat::concat("rank-", i)
                                      : models[i].name;
    const fs::path out =
        folder / (options.to == "safetensors" ? "model.safetensors" : "checkpoint_last.pt");
    fs::create_directories(staged.path() / folder);
    convert_one(models[i].path, staged.path() / out, out, options);
  }
  staged.commit();
}

/// Whether `in` is a folder of DeMIX ranks, be it of one.
bool holds_ranks(const fs::path& in, const std::vector<compat::NamedModel>& models) {
  return fs::is_directory(in) && models.front().kind == compat::ModelKind::kDemixRank;
}

void write_demix(const std::vector<compat::NamedModel>& models, const CheckpointOptions& options) {
  std::vector<fs::path> experts;
  for (const compat::NamedModel& model : models) experts.push_back(model.path);
  write_demix_shards(experts,
                     options.shared.empty() ? "" : compat::resolve_model(options.shared).path,
                     options.out, options.overwrite);
  std::cout << "wrote " << experts.size() << " shards and " << compat::printable(options.out, 4096)
            << "-shared.pt\n";
}

compat::CommandSpec spec_of(CheckpointOptions& options) {
  return {
      "btm-convert checkpoint",
      std::string("Writes a checkpoint in another layout, precision or program's format. A DeMIX "
                  "rank is read with its shared half as a dense model; Hugging Face's models are "
                  "OPT, GPT-2 and XGLM. The output appears whole or not at all. ") +
          compat::kWhatAModelIs,
      {{"IN",
        "the model; a folder of DeMIX ranks and a forest give all of theirs; for --to demix dense "
        "models separated by ':'",
        &options.in},
       {"OUT",
        "file to write; a folder for --to hf and for several models; a prefix "
        "(FOLDER/checkpoint_last) for --to demix",
        &options.out}},
      {{"Output", {compat::flag_overwrite(options.overwrite)}},
       {"Form",
        {compat::flag_choice("to", options.to, {"zip", "legacy", "safetensors", "hf", "demix"},
                             "form of the output: torch's two layouts, safetensors, a Hugging Face "
                             "folder, or DeMIX shards"),
         compat::flag_choice("dtype", options.dtype, {"keep", "fp32", "fp16", "bf16"},
                             "type of the weights (keep means fp32 for --to hf)"),
         compat::flag_switch("strip-optimizer", options.strip_optimizer,
                             "omit the optimizer's state"),
         compat::flag_choice(
             "config", options.config, {"keep", "cfg", "namespace"},
             "write the configuration as nested cfg or as flat argparse.Namespace")}},
       {"Hugging Face",
        {compat::flag_choice(
             "hf-model", options.hf_model, {"auto", "opt", "gpt2", "xglm"},
             "architecture (auto: XGLM for pre-norm models with sinusoidal positions, else OPT)"),
         compat::flag_text(
             "dict", "DICT", options.dict,
             "the model's dict.txt: the output stores its digest; --to hf also copies it"),
         compat::flag_text("gpt2-encoder-json", "FILE", options.encoder_json,
                           "GPT-2's encoder.json: with --dict, writes the tokenizer's files"),
         compat::flag_text("gpt2-vocab-bpe", "FILE", options.vocab_bpe, "GPT-2's vocab.bpe"),
         compat::flag_text("sentencepiece-model", "MODEL", options.sentencepiece,
                           "a sentencepiece model: with --dict, writes the tokenizer's files"),
         compat::flag_switch("skip-proof", options.skip_proof,
                             "do not compare the logits of both models with btm")}},
       {"DeMIX",
        {compat::flag_text("shared", "CKPT", options.shared,
                           "--to demix: take what experts share from this checkpoint"),
         compat::flag_text(
             "domains", "LIST", options.domains,
             "of several models: names of their folders in OUT (without: those of the "
             "forest, or rank-0, rank-1, ...)")}}},
      {}};
}

void check_options(const CheckpointOptions& options) {
  if (options.encoder_json.empty() != options.vocab_bpe.empty())
    throw compat::UsageError("--gpt2-encoder-json and --gpt2-vocab-bpe need each other");
  if (!options.encoder_json.empty() && !options.sentencepiece.empty())
    throw compat::UsageError(
        "--sentencepiece-model and --gpt2-encoder-json: expected one tokenizer");
  const char* const tokenizer = !options.encoder_json.empty()    ? "--gpt2-encoder-json"
                                : !options.sentencepiece.empty() ? "--sentencepiece-model"
                                                                 : "";
  if (*tokenizer != 0 && options.dict.empty())
    throw compat::UsageError(std::string(tokenizer) + " needs --dict");
  if (options.to == "demix" && options.dtype != "keep")
    throw compat::UsageError(
        "--to demix keeps the precision, expected --dtype keep (convert the experts first)");
}

}  // namespace

compat::CommandSpec checkpoint_spec() { return compat::spec_owning<CheckpointOptions>(spec_of); }

int run_checkpoint(std::span<const std::string> args) {
  CheckpointOptions options;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(spec_of(options), args, std::cout, ignored)) return 0;
  check_options(options);
  const auto warn = [](const std::string& line) {
    std::cerr << "btm-convert checkpoint: warning: " << line << std::endl;
  };
  const bool to_demix = options.to == "demix";
  const auto models = compat::resolve_models(options.in, warn, to_demix ? ":" : "");
  if (models.empty()) throw compat::UsageError("IN names no model");
  const bool several = models.size() > 1 || holds_ranks(options.in, models);
  if (!options.domains.empty() && (to_demix || options.to == "hf" || !several))
    throw compat::UsageError("--domains names the models of a folder, each of which becomes one");
  if (to_demix) {
    write_demix(models, options);
  } else if (options.to == "hf") {
    const fs::path in =
        models.size() == 1 ? models.front().path : compat::resolve_model(options.in).path;
    write_hugging_face(Checkpoint::open(in), options);
  } else if (several) {
    convert_several(models, options);
  } else {
    const fs::path out = options.out;
    convert_one(models.front().path, out, out.filename(), options);
  }
  return 0;
}

}  // namespace converters
