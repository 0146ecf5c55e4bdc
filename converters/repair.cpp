// btm-convert repair: makes a repaired copy of broken data sets and checkpoints.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <optional>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/checkpoint/named_models.h"
#include "compat/fairseq/indexed_dataset_builder.h"
#include "compat/fairseq/indexed_dataset_layout.h"
#include "compat/io/atomic_file.h"
#include "compat/program/command_line.h"
#include "converters/commands.h"
#include "converters/data_sets.h"
#include "converters/vocabulary_fit.h"

namespace converters {
namespace {

namespace fs = std::filesystem;

struct RepairOptions {
  std::string in, out, dict, dtype;
  bool legacy = false, allow_new_symbols = false, overwrite = false;
};

fs::path bin_of(const fs::path& path) {
  return path.extension() == ".bin" ? path : fs::path(path.string() + ".bin");
}

bool is_orphan(const fs::path& path) {
  const fs::path bin = bin_of(path);
  return fs::is_regular_file(bin) && !fs::exists(fs::path(bin).replace_extension(".idx"));
}

/// The ids of a .bin as one data set. An index of pieces is invented, so that data of any length
/// can be read.
std::unique_ptr<compat::IndexedDataset> as_pieces(
    const std::shared_ptr<const compat::MappedFile>& bin, const compat::TokenType& type,
    std::uint64_t tokens) {
  constexpr std::uint64_t kPiece = std::uint64_t{1} << 16;
  const auto index = std::make_shared<std::string>(compat::kMmapMagic);
  const auto append = [&](auto value) {
    index->append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  const std::uint64_t count = (tokens + kPiece - 1) / kPiece;
  append(std::uint64_t{1});
  append(type.code);
  append(count);
  for (std::uint64_t i = 0; i < count; ++i)
    append(static_cast<std::int32_t>(std::min(kPiece, tokens - i * kPiece)));
  for (std::uint64_t i = 0; i < count; ++i)
    append(static_cast<std::int64_t>(i * kPiece * type.size));
  return compat::IndexedDataset::open(
      compat::MappedFile::of_memory(bin->path(), compat::as_byte_span(*index), index), bin);
}

/// Rebuilds the index of a .bin without .idx. Sequences end at </s>, which fairseq-preprocess
/// writes after every line.
void rebuild_index(const RepairOptions& options) {
  const fs::path bin_path = bin_of(options.in), out(options.out);
  for (const char* const suffix : {".bin", ".idx"})
    compat::check_new_output(out.string() + suffix, options.overwrite);
  const fs::path prefix = fs::path(bin_path).replace_extension();
  const fs::path dictionary_path =
      options.dict.empty() ? dictionary_path_beside(prefix) : fs::path(options.dict);
  std::optional<compat::Dictionary> dictionary;
  if (!dictionary_path.empty()) dictionary = compat::Dictionary::load(dictionary_path);
  if (!dictionary && options.dtype.empty())
    throw compat::UsageError("no dict.txt beside " + compat::printable(bin_path.string(), 4096) +
                             ": expected --dict or --dtype, which say how ids are stored");
  const auto impl = options.legacy ? compat::DatasetImpl::kLegacy : compat::DatasetImpl::kMmap;
  const auto& type =
      compat::token_type_for(impl, dictionary ? dictionary->size() : 0, options.dtype);
  const auto bin = compat::MappedFile::open(bin_path);
  const std::uint64_t tokens = bin->bytes().size() / type.size;
  const auto pieces = as_pieces(bin, type, tokens);
  const auto builder = compat::IndexedDatasetBuilder::create(out, impl, 0, type.name);
  const std::int64_t shift = options.legacy ? 1 : 0, eos = 2;
  std::vector<std::int64_t> sequence;
  std::int64_t sequences = 0, kept = 0;
  for (std::int64_t i = 0; i < pieces->size(); ++i)
    for (const std::int64_t stored : pieces->sequence(i)) {
      const std::int64_t id = stored - shift;
      if (id < 0 || (dictionary && id >= dictionary->size()))
        throw compat::FormatError(
            {bin->path(), {}, {}},
            compat::concat("holds the token id ", id, ", the dictionary has ",
                           dictionary ? dictionary->size() : 0,
                           " symbols (is it stored in another --dtype, or --legacy?)"));
      sequence.push_back(id);
      if (id != eos) continue;
      builder->add(sequence);
      ++sequences;
      kept += static_cast<std::int64_t>(sequence.size());
      sequence.clear();
    }
  if (sequences == 0)
    throw compat::FormatError({bin->path(), {}, {}},
                              "holds no sequence that ends with </s>: nothing to repair");
  builder->finalize();
  std::cout << "wrote " << compat::printable(options.out, 4096) << ": " << sequences
            << " sequences, " << kept << " tokens";
  const std::uint64_t lost = bin->bytes().size() - static_cast<std::uint64_t>(kept) * type.size;
  if (lost > 0) std::cout << "; left out: " << lost << " bytes after the last </s>";
  std::cout << "\n";
}

compat::CommandSpec spec_of(RepairOptions& options) {
  return {
      "btm-convert repair",
      std::string(
          "Makes usable again what is broken, in a new place. A .bin without .idx: its index is "
          "rebuilt, sequences end at </s>. A checkpoint whose "
          "vocabulary does not fit a dict.txt (it lacks or has madeupwords): rows are added or "
          "dropped at the end. Data in shards is joined by "
          "'btm-convert data-bin A:B OUT' and cut anew by its --shards. ") +
          compat::kWhatAModelIs,
      {{"IN", "an orphaned .bin, or a model", &options.in},
       {"OUT", "prefix of the data set, or checkpoint, to write", &options.out}},
      {{"Output", {compat::flag_overwrite(options.overwrite)}},
       {"Data set",
        {compat::flag_text("dtype", "TYPE", options.dtype,
                           "how ids are stored: uint16, int32, ... (without: as fairseq does "
                           "for the dictionary)"),
         compat::flag_switch("legacy", options.legacy,
                             "the .bin is of --dataset-impl lazy or cached (ids one higher)")}},
       {"Both",
        {compat::flag_text("dict", "DICT", options.dict,
                           "the dictionary (data set: without, the dict.txt beside it)")}},
       {"Checkpoint",
        {compat::flag_switch("allow-new-symbols", options.allow_new_symbols,
                             "the dictionary's further symbols are words, not madeupwords: "
                             "they get the mean of all embeddings")}}},
      {}};
}

}  // namespace

compat::CommandSpec repair_spec() { return compat::spec_owning<RepairOptions>(spec_of); }

int run_repair(std::span<const std::string> args) {
  RepairOptions options;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(spec_of(options), args, std::cout, ignored)) return 0;
  if (is_orphan(options.in)) {
    rebuild_index(options);
    return 0;
  }
  if (const fs::path prefix = data_set_prefix(options.in); !prefix.empty())
    throw compat::UsageError(
        compat::printable(options.in, 4096) +
        ": has an index, nothing to repair (btm-convert verify lists problems)");
  if (options.dict.empty())
    throw compat::UsageError("a checkpoint needs a dictionary to fit it to, expected --dict");
  compat::check_new_output(options.out, options.overwrite);
  const auto checkpoint = compat::Checkpoint::open(compat::resolve_model(options.in).path);
  const auto dictionary = compat::Dictionary::load(options.dict);
  const VocabularyFit fit =
      fit_vocabulary(checkpoint, dictionary, options.dict, options.allow_new_symbols);
  const compat::KnownDictionary given = compat::known_dictionary(dictionary, options.dict);
  if (!options.allow_new_symbols) compat::check_same_dictionary(given, checkpoint.dictionary());
  compat::PickleArena arena;
  compat::PickleNode* const root = compat::with_history(
      arena, *compat::with_dictionary(
                 arena, *compat::with_model(arena, checkpoint.root(), fit.model), given.sha256));
  std::erase_if(root->get_if<compat::PickleDict>()->items, [](const auto& item) {
    const auto* key = item.first->template get_if<std::string>();
    return key != nullptr && *key == "last_optimizer_state";  // its moments have the old shapes
  });
  compat::save_checkpoint(options.out, *root);
  std::cout << "wrote " << compat::printable(options.out, 4096) << ": " << fit.old_rows
            << " rows became " << fit.new_rows
            << (checkpoint.find_entry("last_optimizer_state") != nullptr
                    ? ", optimizer state left out"
                    : "")
            << "\n";
  return 0;
}

}  // namespace converters
