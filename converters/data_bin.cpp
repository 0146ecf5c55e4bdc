// btm-convert data-bin: converts data-bins to other forms. It can join, select, shuffle and shard
// them, and map them to another dictionary.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iomanip>
#include <iostream>

#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/fairseq/huffman_dataset.h"
#include "compat/fairseq/indexed_dataset_builder.h"
#include "compat/fairseq/zst_dataset.h"
#include "compat/io/atomic_file.h"
#include "compat/program/command_line.h"
#include "compat/program/progress_bar.h"
#include "compat/tokenizer/tokenizer.h"
#include "converters/commands.h"
#include "converters/data_bin_plan.h"
#include "converters/npy_dataset.h"
#include "converters/staged_folder.h"
#include "converters/text_dataset.h"

namespace converters {
namespace {

namespace fs = std::filesystem;

struct DataBinOptions {
  std::string in, out, to = "mmap", dict, dtype, sentencepiece, encoder_json, vocab_bpe;
  bool allow_unknown = false, overwrite = false;
  DataBinSelection selection;
  compat::ZstOptions zst;
};

std::vector<std::string_view> suffixes(std::string_view to) {
  if (to == "raw") return {".None-None"};
  if (to == "text") return {".txt"};
  if (to == "jsonl") return {".jsonl"};
  if (to == "npy") return {".npy", ".sizes.npy"};
  if (to == "huffman") return {".bin", ".idx", ".vocab"};
  return {".bin", ".idx"};
}

/// fairseq's choice for the dictionary. Without a dictionary, the type of the data.
std::string dtype_for(const DataBinJob& job, const DataBinOptions& options) {
  if (!options.dtype.empty()) return options.dtype;
  if (options.to == "cached" || options.to == "lazy") return "int32";
  if (job.dictionary != nullptr) return job.dictionary->size() < 65500 ? "uint16" : "uint32";
  const std::string_view dtype = job.dataset->dtype();
  return job.dataset->impl() == compat::DatasetImpl::kLegacy || dtype == "huffman"
             ? "int32"
             : std::string(dtype);
}

class Writer {
 public:
  explicit Writer(const DataBinOptions& options) : options_(options) {
    if (!options.sentencepiece.empty())
      tokenizer_ = compat::load_sentencepiece(options.sentencepiece);
    if (!options.encoder_json.empty())
      tokenizer_ = compat::load_gpt2_bpe(options.encoder_json, options.vocab_bpe);
  }

  void write(const DataBinJob& job, const fs::path& prefix) const {
    if (options_.to == "mmap") return build(job, prefix, compat::DatasetImpl::kMmap);
    if (options_.to == "cached" || options_.to == "lazy")
      return build(job, prefix, compat::DatasetImpl::kLegacy);
    if (options_.to == "zst") return build(job, prefix, compat::DatasetImpl::kZst);
    if (options_.to == "npy")
      return write_npy_dataset(prefix, *job.dataset, dtype_for(job, options_));
    const bool needs_symbols = options_.to != "jsonl" || tokenizer_ != nullptr;
    if (needs_symbols && job.dictionary == nullptr)
      throw compat::UsageError("--to " + options_.to +
                               " needs a dict.txt beside the data or in the folder above");
    if (options_.to == "raw") return write_raw_dataset(prefix, *job.dataset, *job.dictionary);
    if (options_.to == "huffman")
      return compat::write_huffman_dataset(prefix, *job.dataset, *job.dictionary);
    const TextDecoder decoder{tokenizer_.get(), job.dictionary.get()};
    if (options_.to == "text") return write_text_dataset(prefix, *job.dataset, decoder);
    write_jsonl_dataset(prefix, *job.dataset, decoder);
  }

 private:
  void build(const DataBinJob& job, const fs::path& prefix, compat::DatasetImpl impl) const {
    const std::string dtype = dtype_for(job, options_);
    const auto builder = impl == compat::DatasetImpl::kZst
                             ? compat::create_zst_builder(prefix, 0, dtype, options_.zst)
                             : compat::IndexedDatasetBuilder::create(prefix, impl, 0, dtype);
    compat::ProgressBar bar(prefix.filename().string(),
                            ::isatty(STDERR_FILENO) == 1 ? "tqdm" : "none", 1, false, {});
    for (std::int64_t i = 0; i < job.dataset->size(); ++i) {
      builder->add(job.dataset->sequence(i));
      if (i % 256 == 0)
        bar.update(i, job.dataset->size(), [] { return compat::ProgressBar::Stats{}; });
    }
    builder->finalize();
  }

  const DataBinOptions& options_;
  std::unique_ptr<compat::Tokenizer> tokenizer_;
};

void report(const DataBinJob& job, const fs::path& prefix, const DataBinOptions& options) {
  std::uint64_t bytes = 0;
  for (const std::string_view suffix : suffixes(options.to))
    bytes += fs::file_size(prefix.string() + std::string(suffix));
  std::cout << compat::printable(job.target.string(), 4096) << ": " << job.dataset->size()
            << " sequences, " << job.dataset->total_tokens() << " tokens, " << bytes << " bytes\n";
}

/// Text is read without a dictionary.
bool needs_dictionary(const DataBinOptions& options) { return options.to != "text"; }

void refuse_other_dictionaries(const DataBinPlan& plan, const fs::path& folder) {
  for (const auto& [source, target] : plan.dictionaries)
    if (const fs::path path = folder / target;
        fs::exists(path) && !(compat::Dictionary::load(path) == compat::Dictionary::load(source)))
      throw compat::IoError(path.string(),
                            "is another dictionary than that of the data, expected a new path");
}

void copy_dictionaries(const DataBinPlan& plan, const fs::path& folder) {
  for (const auto& [source, target] : plan.dictionaries) {
    const fs::path path = folder / target;
    if (path.has_parent_path()) fs::create_directories(path.parent_path());
    if (!fs::exists(path)) fs::copy_file(source, path);
  }
}

void refuse_existing(const fs::path& prefix, const DataBinOptions& options) {
  for (const std::string_view suffix : suffixes(options.to))
    compat::check_new_output(prefix.string() + std::string(suffix), options.overwrite);
}

void convert_folder(const DataBinPlan& plan, const Writer& writer, const DataBinOptions& options) {
  StagedFolder staged(options.out, options.overwrite);
  if (needs_dictionary(options)) copy_dictionaries(plan, staged.path());
  for (const DataBinJob& job : plan.jobs) {
    const fs::path prefix = staged.path() / job.target;
    fs::create_directories(prefix.parent_path());
    writer.write(job, prefix);
    report(job, prefix, options);
  }
  staged.commit();
}

void convert_data_sets(const DataBinPlan& plan, const Writer& writer,
                       const DataBinOptions& options) {
  const fs::path folder = fs::path(options.out).parent_path();
  if (!folder.empty()) fs::create_directories(folder);
  for (const DataBinJob& job : plan.jobs) refuse_existing(folder / job.target, options);
  if (needs_dictionary(options)) refuse_other_dictionaries(plan, folder);
  for (const DataBinJob& job : plan.jobs) {
    writer.write(job, folder / job.target);
    report(job, folder / job.target, options);
  }
  if (needs_dictionary(options)) copy_dictionaries(plan, folder);
}

compat::CommandSpec spec_of(DataBinOptions& options) {
  return {"btm-convert data-bin",
          "Converts a data-bin to another form and keeps ids and dict.txt. The data-bin is a "
          "folder with all its splits and domains, or one data set given by its prefix. The output "
          "appears whole or not at all.",
          {{"IN", "folder or prefix; several, separated by ':', are joined by splits", &options.in},
           {"OUT", "folder or prefix to write", &options.out}},
          {{"Output", {compat::flag_overwrite(options.overwrite)}},
           {"Form",
            {compat::flag_choice(
                 "to", options.to,
                 {"mmap", "cached", "lazy", "raw", "huffman", "zst", "text", "jsonl", "npy"},
                 "fairseq's forms (cached and lazy have the same layout), zst (compressed, read by "
                 "btm), text (decoded with a tokenizer), JSON lines, or numpy arrays"),
             compat::flag_text("dtype", "TYPE", options.dtype,
                               "type of stored ids: uint16, int32, ... (mmap and zst: uint16 below "
                               "65500 symbols, else uint32; cached and lazy: int32)"),
             compat::flag_integer("level", "N", options.zst.level,
                                  "zst: zstd's compression level, 1 to 19", 1),
             compat::flag_integer("frame-tokens", "N", options.zst.frame_tokens,
                                  "zst: tokens per frame; a frame is decoded as a whole", 1)}},
           {"Selection",
            {compat::flag_text("sequences", "RANGES", options.selection.sequences,
                               "keep only these sequences of every split, as 0:1000,5000: (counted "
                               "from 0, ends excluded)"),
             compat::flag_integer("shuffle", "SEED", options.selection.shuffle,
                                  "shuffle the sequences of every split", 0, "file order"),
             compat::flag_integer("shards", "N", options.selection.shards,
                                  "divide the train splits of a folder among OUT/shard0, "
                                  "OUT/shard1, ... (other splits go to shard0), or a single data "
                                  "set among OUT, OUT1, OUT2, ..., which fairseq reads as one",
                                  1)}},
           {"Dictionary",
            {compat::flag_text("dict", "DICT", options.dict, "map ids by symbol to this dict.txt"),
             compat::flag_switch("allow-unknown", options.allow_unknown,
                                 "with --dict: map symbols that it lacks to <unk>")}},
           {"Tokenizer (for --to text, and \"text\" in jsonl)",
            {compat::flag_text("sentencepiece-model", "MODEL", options.sentencepiece,
                               "sentencepiece model"),
             compat::flag_text("gpt2-encoder-json", "FILE", options.encoder_json,
                               "GPT-2's encoder.json"),
             compat::flag_text("gpt2-vocab-bpe", "FILE", options.vocab_bpe, "GPT-2's vocab.bpe")}}},
          {}};
}

void check_options(const DataBinOptions& options) {
  if (options.encoder_json.empty() != options.vocab_bpe.empty())
    throw compat::UsageError("--gpt2-encoder-json and --gpt2-vocab-bpe need each other");
  if (!options.sentencepiece.empty() && !options.encoder_json.empty())
    throw compat::UsageError(
        "--sentencepiece-model and --gpt2-encoder-json: expected one tokenizer");
  if (options.to == "text" && options.sentencepiece.empty() && options.encoder_json.empty())
    throw compat::UsageError(
        "--to text needs a tokenizer: --sentencepiece-model, or --gpt2-encoder-json and "
        "--gpt2-vocab-bpe");
  if (fs::path(options.out).filename().empty() && !fs::is_directory(options.in))
    throw compat::UsageError("'" + compat::printable(options.out, 4096) +
                             "': expected a prefix such as FOLDER/train");
}

}  // namespace

compat::CommandSpec data_bin_spec() { return compat::spec_owning<DataBinOptions>(spec_of); }

int run_data_bin(std::span<const std::string> args) {
  DataBinOptions options;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(spec_of(options), args, std::cout, ignored)) return 0;
  check_options(options);
  const Writer writer(options);
  const DataBinPlan plan =
      plan_data_bin(compat::split_at(options.in, ':'), options.dict, options.allow_unknown,
                    fs::path(options.out).filename().string(), options.selection);
  if (plan.jobs.empty()) throw compat::IoError(options.in, "holds no data set");
  if (plan.is_folder)
    convert_folder(plan, writer, options);
  else
    convert_data_sets(plan, writer, options);
  return 0;
}

}  // namespace converters
