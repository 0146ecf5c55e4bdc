#include "converters/preprocess.h"

#include <algorithm>
#include <array>
#include <map>
#include <ostream>
#include <set>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/parallel.h"
#include "compat/base/text.h"
#include "compat/fairseq/dictionary_text.h"
#include "compat/io/atomic_file.h"
#include "compat/io/digest_cache.h"
#include "compat/io/sha256.h"
#include "compat/tokenizer/document_encoder.h"
#include "converters/byte_progress.h"
#include "converters/document_split.h"
#include "converters/preprocess_destination.h"
#include "converters/preprocess_manifest.h"
#include "converters/preprocess_output.h"
#include "converters/preprocess_sources.h"
#include "converters/staged_folder.h"

namespace converters {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct EncodedBlock {
  std::array<EncodedSplit, 3> splits;
  std::uint64_t disk_bytes = 0;
  std::size_t dropped = 0;  ///< Empty documents.
};

/// The outputs of a task, null where it has none.
using Outputs = std::vector<std::unique_ptr<PreprocessOutput>>;

void commit(const Outputs& outputs) {
  const compat::SignalsWait together;
  for (const auto& output : outputs)
    if (output) output->commit();
}

class Preprocessor {
 public:
  Preprocessor(const PreprocessOptions& options, std::ostream& log)
      : options_(options), format_(options.format), log_(log), tasks_(plan_splits(options)) {
    const bool raw_text = options.tokenizer.bpe != "none";
    format_.strip = raw_text;
    format_.drop_empty = raw_text && !options.keep_empty;
    tokenizer_ = compat::load_tokenizer(options.tokenizer);
    manifest_ = std::make_unique<PreprocessManifest>(options.destdir);
    reading_ = reading_facts(options, format_, digests_);
  }

  void run() {
    for (const SplitTask& task : tasks_) tell_folders(task);
    const json source = options_.srcdict.empty() ? dictionary_source() : json();
    const compat::Dictionary dictionary = options_.srcdict.empty()
                                              ? made_dictionary(source)
                                              : compat::Dictionary::load(options_.srcdict);
    log_ << "dictionary: " << dictionary.size() << " types";
    if (options_.tokenizer.bpe == "sentencepiece" && options_.srcdict.empty())
      log_ << " found in the text, which can be fewer than the model's pieces (for all pieces: "
              "--srcdict with the dict.txt of train-sentencepiece)";
    log_ << std::endl;
    const fs::path destdir = options_.destdir;
    std::error_code error;
    fs::create_directories(destdir, error);
    if (error) throw compat::IoError(destdir.string(), "cannot create", error.value());
    PreprocessDestination destination(destdir, domain_names(options_), *manifest_, dictionary);
    check_replaced(destination);
    if (options_.overwrite && destination.holds_other_sets(replaced_files()))
      replace_all(dictionary, source, destination);
    else
      make_all(dictionary, source, destination);
    manifest_->finish();
  }

 private:
  json split_source(const SplitTask& task) {
    return {{"inputs", file_facts(task.inputs.files, digests_)},
            {"whole_files", task.inputs.of_folders.size()},
            {"reading", reading_},
            {"split", task.outputs.size() == 1
                          ? json()
                          : json{task.valid_fraction, task.test_fraction, options_.seed}}};
  }

  /// What a task's sets are made from.
  json source_of(const SplitTask& task, const std::string& dictionary_digest) {
    json source = split_source(task);
    source["dictionary"] = dictionary_digest;
    source["impl"] = options_.dataset_impl;
    return source;
  }

  std::vector<std::string> files_of(const SplitTask& task) const {
    std::vector<std::string> files;
    for (const std::string& prefix : task.outputs)
      if (!prefix.empty())
        for (std::string& file : files_of_output(prefix, options_.dataset_impl))
          files.push_back(std::move(file));
    return files;
  }

  std::set<std::string> replaced_files() const {
    std::set<std::string> files;
    if (!options_.dict_only)
      for (const SplitTask& task : tasks_)
        for (std::string& file : files_of(task)) files.insert(std::move(file));
    return files;
  }

  json dictionary_source() {
    json sources = json::array();
    for (const SplitTask& task : tasks_)
      if (task.train) sources.push_back(split_source(task));
    return {sources, options_.thresholdsrc, options_.nwordssrc, options_.padding_factor};
  }

  void tell_folders(const SplitTask& task) const {
    if (task.inputs.of_folders.empty()) return;
    log_ << task.outputs.front() << ": " << task.inputs.files.size() << " files";
    if (task.inputs.skipped > 0)
      log_ << " (" << task.inputs.skipped << " others skipped: not named .txt or .jsonl)";
    log_ << std::endl;
  }

  compat::Dictionary made_dictionary(const json& source);
  void check_replaced(const PreprocessDestination& destination);
  void make_all(const compat::Dictionary& dictionary, const json& source,
                const PreprocessDestination& destination);
  void replace_all(const compat::Dictionary& dictionary, const json& source,
                   const PreprocessDestination& destination);
  void count_symbols(const SplitTask& task, ByteProgress& progress,
                     std::vector<compat::SymbolCounter>& counters);
  Outputs make_outputs(const SplitTask& task, const json& source, const fs::path& folder,
                       const compat::DocumentEncoder& encoder,
                       const compat::Dictionary& dictionary);
  void copy(const SplitTask& task, PreprocessOutput& output);
  void encode(const SplitTask& task, const compat::DocumentEncoder& encoder, Outputs& outputs);
  bool is_plain_copy(const SplitTask& task) const {
    return options_.dataset_impl == "raw" && !tokenizer_ && options_.end_of_document.empty() &&
           task.outputs.size() == 1 && task.inputs.files.size() == 1 &&
           document_break(format_of(task), task.inputs.files.front()) == "line" &&
           !is_jsonl(format_, task.inputs.files.front());
  }
  DocumentFormat format_of(const SplitTask& task) const {
    DocumentFormat format = format_;
    format.whole_files = task.inputs.of_folders;
    return format;
  }
  /// Null for a task with a single output. The first call reads the task's files to get the sizes
  /// of their documents.
  const DocumentSplit* split_of(const SplitTask& task);
  std::size_t workers() const noexcept { return static_cast<std::size_t>(options_.workers); }

  const PreprocessOptions& options_;
  DocumentFormat format_;
  std::ostream& log_;
  std::vector<SplitTask> tasks_;
  std::unique_ptr<compat::Tokenizer> tokenizer_;
  std::unique_ptr<PreprocessManifest> manifest_;
  json reading_;
  compat::DigestCache digests_;
  std::map<std::string, DocumentSplit> splits_;  ///< By the name of the training set.
};

compat::Dictionary Preprocessor::made_dictionary(const json& source) {
  const fs::path path = fs::path(options_.destdir) / "dict.txt";
  if (fs::exists(path) && !manifest_->holds("dictionary", source, {"dict.txt"})) {
    if (!manifest_->unfinished() && !options_.overwrite)
      throw compat::IoError(path.string(),
                            "is there already and was not made from these inputs (--srcdict uses "
                            "it, --overwrite replaces it)");
  } else if (fs::exists(path)) {
    log_ << "dictionary: kept from an earlier run" << std::endl;
    return compat::Dictionary::load(path);
  }
  std::vector<fs::path> files;
  for (const SplitTask& task : tasks_)
    if (task.train) files.insert(files.end(), task.inputs.files.begin(), task.inputs.files.end());
  ByteProgress progress("dictionary", total_size(files));
  std::vector<compat::SymbolCounter> counters;
  for (std::size_t i = 0; i < workers(); ++i)
    counters.emplace_back(tokenizer_.get(), options_.end_of_document);
  for (const SplitTask& task : tasks_)
    if (task.train) count_symbols(task, progress, counters);
  for (std::size_t i = 0, made = 0; i < tasks_.size(); ++i)
    if (tasks_[i].train)
      require_unchanged(tasks_[i].inputs.files, source[0][made++]["inputs"], digests_);
  if (std::ranges::none_of(
          counters, [](const compat::SymbolCounter& counter) { return counter.documents() > 0; }))
    refuse_empty(*std::ranges::find_if(tasks_, &SplitTask::train));
  compat::Dictionary dictionary;
  for (const compat::SymbolCounter& counter : counters) counter.add_to(dictionary);
  dictionary.finalize(options_.thresholdsrc, options_.nwordssrc, options_.padding_factor);
  return dictionary;
}

/// The rule of all commands: a set is not replaced by one of other text without --overwrite. What
/// was made from the same text is kept, or made again where it is damaged. No set that stays is
/// left beside another dictionary.
void Preprocessor::check_replaced(const PreprocessDestination& destination) {
  std::set<std::string> names;
  if (!options_.dict_only)
    for (const SplitTask& task : tasks_) names.insert(task.outputs.front());
  if (!options_.overwrite && !options_.dict_only && !manifest_->unfinished()) {
    const std::vector<std::string> digests = destination.dictionary_digests();
    for (const SplitTask& task : tasks_) {
      const bool is_known = std::ranges::any_of(digests, [&](const std::string& digest) {
        return manifest_->is_made_from(task.outputs.front(), source_of(task, digest));
      });
      if (is_known) continue;
      for (const std::string& file : files_of(task))
        if (const fs::path path = fs::path(options_.destdir) / file; fs::exists(path))
          throw compat::IoError(path.string(),
                                "is there already (--overwrite replaces it), made from other text "
                                "or settings");
    }
  }
  destination.refuse_other_sets(replaced_files(), names);
}

/// Writes dict.txt, and then one set after another. A later run keeps the sets that are finished.
void Preprocessor::make_all(const compat::Dictionary& dictionary, const json& source,
                            const PreprocessDestination& destination) {
  const fs::path destdir = options_.destdir;
  const bool clears = manifest_->unfinished() && destination.has_another_dictionary();
  if (clears) {
    log_ << "removed the files of an unfinished run with another dictionary" << std::endl;
    manifest_->clear();
  }
  manifest_->begin(set_files_in(destdir).empty());
  destination.place_dictionary(clears || options_.overwrite);
  if (options_.srcdict.empty()) manifest_->record("dictionary", source, {"dict.txt"});
  if (options_.dict_only) return;
  const compat::DocumentEncoder encoder(dictionary, tokenizer_.get(), options_.end_of_document);
  const std::string digest = digests_.of(destdir / "dict.txt");
  for (const SplitTask& task : tasks_) {
    const json made_from = source_of(task, digest);
    const std::vector<std::string> files = files_of(task);
    const std::string& name = task.outputs.front();
    if (manifest_->holds(name, made_from, files)) {
      log_ << name << ": kept from an earlier run" << std::endl;
      continue;
    }
    const Outputs outputs = make_outputs(task, made_from, destdir, encoder, dictionary);
    const compat::SignalsWait together;
    commit(outputs);
    manifest_->record(name, made_from, files);
  }
}

/// Makes all sets in a folder of its own, and only then replaces the dictionary and the sets. When
/// that is cut short, sets are missing, but none lies beside a dictionary that is not its own.
void Preprocessor::replace_all(const compat::Dictionary& dictionary, const json& source,
                               const PreprocessDestination& destination) {
  const fs::path destdir = options_.destdir;
  const StagedFolder staged(destdir / "sets", true);
  const compat::DocumentEncoder encoder(dictionary, tokenizer_.get(), options_.end_of_document);
  const std::string digest =
      compat::sha256_hex(compat::as_byte_span(compat::dictionary_text(dictionary)));
  std::vector<json> made_from;
  for (const SplitTask& task : tasks_) {
    made_from.push_back(source_of(task, digest));
    commit(make_outputs(task, made_from.back(), staged.path(), encoder, dictionary));
  }
  const compat::SignalsWait together;
  const std::set<std::string> files = replaced_files();
  for (const std::string& file : files) fs::remove(destdir / file);
  destination.place_dictionary(true);
  for (const std::string& file : files) {
    fs::create_directories((destdir / file).parent_path());
    compat::rename_file(staged.path() / file, destdir / file);
  }
  if (options_.srcdict.empty()) manifest_->record("dictionary", source, {"dict.txt"});
  for (std::size_t i = 0; i < tasks_.size(); ++i)
    manifest_->record(tasks_[i].outputs.front(), made_from[i], files_of(tasks_[i]));
}
const DocumentSplit* Preprocessor::split_of(const SplitTask& task) {
  if (task.outputs.size() == 1) return nullptr;
  const std::string& name = task.outputs.front();
  if (const auto known = splits_.find(name); known != splits_.end()) return &known->second;
  DocumentSplit split(task.valid_fraction, task.test_fraction, options_.seed);
  const DocumentFormat format = format_of(task);
  BlockReader reader(task.inputs.files, format);
  ByteProgress progress("split", total_size(task.inputs.files));
  struct Weights {
    std::vector<std::pair<std::uint32_t, std::uint64_t>> documents;  ///< Bucket and bytes.
    std::uint64_t disk_bytes = 0;
  };
  compat::ordered_map<Block, Weights>(
      workers(), [&](Block& block) { return reader.next(block); },
      [&](std::size_t, const Block& block, Weights& weights) {
        weights.documents.clear();
        for_each_document(block, format, [&](std::string_view text, std::uint64_t offset) {
          weights.documents.emplace_back(split.bucket(block.file_number, offset), text.size());
        });
        weights.disk_bytes = block.disk_bytes;
      },
      [&](const Weights& weights) {
        for (const auto& [bucket, bytes] : weights.documents) split.add(bucket, bytes);
        progress.advance(weights.disk_bytes);
      });
  progress.clear();
  split.assign();
  for (std::size_t i = 1; i < task.outputs.size(); ++i)
    if (!task.outputs[i].empty() && split.part(i).documents == 0)
      throw compat::UnsupportedError("the split of " +
                                     compat::printable(task.inputs.files.front().string(), 4096) +
                                     " leaves " + task.outputs[i] +
                                     " without a document: there are too few documents (see "
                                     "--document-break; or give separate files)");
  tell_split(split, task.outputs, log_);
  return &splits_.emplace(name, std::move(split)).first->second;
}

void Preprocessor::count_symbols(const SplitTask& task, ByteProgress& progress,
                                 std::vector<compat::SymbolCounter>& counters) {
  const DocumentSplit* const split = split_of(task);
  const DocumentFormat format = format_of(task);
  BlockReader reader(task.inputs.files, format);
  compat::ordered_map<Block, std::uint64_t>(
      workers(), [&](Block& block) { return reader.next(block); },
      [&](std::size_t worker, const Block& block, std::uint64_t& disk_bytes) {
        for_each_document(block, format, [&](std::string_view text, std::uint64_t offset) {
          if (split == nullptr || split->split_of(split->bucket(block.file_number, offset)) == 0)
            counters[worker].count(text);
        });
        disk_bytes = block.disk_bytes;
      },
      [&](const std::uint64_t& disk_bytes) { progress.advance(disk_bytes); });
}

/// Writes the task's outputs, but for the last step: commit().
Outputs Preprocessor::make_outputs(const SplitTask& task, const json& source,
                                   const fs::path& folder, const compat::DocumentEncoder& encoder,
                                   const compat::Dictionary& dictionary) {
  Outputs outputs;
  for (const std::string& prefix : task.outputs)
    outputs.push_back(prefix.empty()
                          ? nullptr
                          : std::make_unique<PreprocessOutput>(
                                folder / prefix, options_.dataset_impl, dictionary.size()));
  encode(task, encoder, outputs);
  require_unchanged(task.inputs.files, source["inputs"], digests_);
  if (outputs.front()->empty()) refuse_empty(task);
  return outputs;
}

void Preprocessor::copy(const SplitTask& task, PreprocessOutput& output) {
  const auto file = compat::TextFile::open(task.inputs.files.front());
  std::vector<char> buffer(std::size_t{1} << 20);
  for (std::size_t got = buffer.size(); got == buffer.size();) {
    got = file->read(buffer);
    output.add_bytes({buffer.data(), got});
  }
  log_ << task.outputs.front() << ": copied" << std::endl;
}

void Preprocessor::encode(const SplitTask& task, const compat::DocumentEncoder& encoder,
                          Outputs& outputs) {
  if (is_plain_copy(task)) return copy(task, *outputs.front());
  ByteProgress progress(task.outputs.front(), total_size(task.inputs.files));
  const bool raw = options_.dataset_impl == "raw";
  std::vector<compat::DocumentEncoder> encoders;
  for (std::size_t i = 0; i < workers(); ++i) encoders.push_back(encoder.clone());
  const DocumentSplit* const drawn = split_of(task);
  const DocumentFormat format = format_of(task);
  BlockReader reader(task.inputs.files, format);
  std::size_t dropped = 0;
  compat::ordered_map<Block, EncodedBlock>(
      workers(), [&](Block& block) { return reader.next(block); },
      [&](std::size_t worker, const Block& block, EncodedBlock& encoded) {
        for (EncodedSplit& split : encoded.splits)
          split.ids.clear(), split.sizes.clear(), split.text.clear();
        encoded.dropped =
            for_each_document(block, format, [&](std::string_view text, std::uint64_t offset) {
              EncodedSplit& split =
                  encoded.splits[drawn == nullptr
                                     ? 0
                                     : drawn->split_of(drawn->bucket(block.file_number, offset))];
              const std::size_t before = split.ids.size();
              if (raw)
                encoders[worker].append_symbols(text, split.text);
              else
                encoders[worker].encode(text, split.ids);
              split.sizes.push_back(split.ids.size() - before);
            });
        encoded.disk_bytes = block.disk_bytes;
      },
      [&](const EncodedBlock& encoded) {
        for (std::size_t i = 0; i < outputs.size(); ++i)
          if (outputs[i]) outputs[i]->add(encoded.splits[i]);
        dropped += encoded.dropped;
        progress.advance(encoded.disk_bytes);
      });
  progress.clear();
  std::int64_t replaced = 0;
  std::uint64_t tokens = 0;
  for (const compat::DocumentEncoder& each : encoders) replaced += each.replaced();
  for (const auto& output : outputs) tokens += output ? output->tokens() : 0;
  std::string line;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i]) continue;
    compat::append(line, task.outputs[i], ": ", outputs[i]->sequences(), " sequences, ");
    if (!raw) compat::append(line, outputs[i]->tokens(), " tokens");
    line += "; ";
  }
  if (!raw && tokens > 0) {
    const double share = 100.0 * static_cast<double>(replaced) / static_cast<double>(tokens);
    compat::append(line, compat::general(share, 3), "% replaced by <unk>; ");
  }
  if (dropped > 0) compat::append(line, dropped, " empty documents dropped; ");
  const double seconds = std::max(progress.seconds(), 1e-3);
  const double megabytes = static_cast<double>(total_size(task.inputs.files)) / 1e6;
  compat::append(line, compat::decimal(megabytes / seconds, 1), " MB/s");
  log_ << line << std::endl;
}

}  // namespace

void preprocess(const PreprocessOptions& options, std::ostream& log) {
  Preprocessor(options, log).run();
}

}  // namespace converters
