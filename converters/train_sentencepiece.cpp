// btm-convert train-sentencepiece: runs the library's trainer on any text that preprocess reads,
// and writes the dict.txt of the pieces.
#include <malloc.h>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <iostream>
#include <new>
#include <sstream>
#include <system_error>
#include <unordered_map>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/fairseq/dictionary.h"
#include "compat/io/atomic_file.h"
#include "compat/io/temporaries.h"
#include "compat/program/command_line.h"
#include "converters/byte_progress.h"
#include "converters/commands.h"
#include "converters/text_documents.h"
#include "converters/text_inputs.h"

namespace converters {
namespace {

namespace fs = std::filesystem;

struct TrainOptions {
  std::string input, model_prefix, dict, model_type = "unigram", normalization = "nmt_nfkc";
  std::string user_defined_symbols;
  std::int64_t vocab_size = 8000, input_sentence_size = 0, max_sentence_length = 4192,
               seed_sentencepiece_size = 1'000'000;
  std::int64_t workers = 1, seed = 1, padding_factor = 8;
  double character_coverage = 0.9995;
  bool byte_fallback = false, split_digits = false, verbose = false, overwrite = false;
  DocumentFormat format;
};

/// The lines of all documents, for the trainer. An exception must not pass through the library: it
/// is stored for rethrow().
class Sentences final : public sentencepiece::SentenceIterator {
 public:
  Sentences(const std::vector<fs::path>& files, const TrainOptions& options, ByteProgress& progress)
      : reader_(files, options.format), options_(options), progress_(progress) {
    fill();
  }

  bool done() const override { return at_ == lines_.size(); }
  const std::string& value() const override { return lines_[at_]; }
  void Next() override {
    if (++at_ == lines_.size()) fill();
  }
  sentencepiece::util::Status status() const override { return {}; }

  std::uint64_t count() const noexcept { return count_; }
  /// A sentence about the lines that were too long to train on. "" when there were none.
  std::string skipped() const {
    if (skipped_ == 0) return {};
    return compat::concat(
        skipped_, " of ", count_ + skipped_, " lines, ",
        compat::decimal(100.0 * static_cast<double>(skipped_bytes_) / static_cast<double>(bytes_),
                        1),
        "% of the text, are longer than ", options_.max_sentence_length,
        " bytes and were skipped; --max-sentence-length raises the limit");
  }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void fill() {
    lines_.clear();
    at_ = 0;
    try {
      Block block;
      while (lines_.empty() && reader_.next(block)) {
        for_each_document(block, options_.format, [this](std::string_view text, std::uint64_t) {
          compat::for_each_line(text, [this](std::string_view line) {
            if (compat::strip(line).empty()) return;
            bytes_ += line.size();
            if (line.size() > static_cast<std::size_t>(options_.max_sentence_length)) {
              ++skipped_;  // the trainer would skip it too, but with several warnings
              skipped_bytes_ += line.size();
              return;
            }
            lines_.emplace_back(line);
          });
        });
        progress_.advance(block.disk_bytes);
      }
    } catch (...) {
      lines_.clear();
      error_ = std::current_exception();
    }
    count_ += lines_.size();
  }

  BlockReader reader_;
  const TrainOptions& options_;
  ByteProgress& progress_;
  std::vector<std::string> lines_;
  std::size_t at_ = 0;
  std::uint64_t count_ = 0, skipped_ = 0, bytes_ = 0, skipped_bytes_ = 0;
  std::exception_ptr error_;
};

std::string trained_model(const TrainOptions& o) {
  const std::vector<fs::path> files = all_text_inputs(o.input).files;
  std::uint64_t total = 0;
  for (const fs::path& file : files) total += fs::file_size(file);
  ByteProgress progress("reading", total);
  Sentences sentences(files, o, progress);
  sentencepiece::SetRandomGeneratorSeed(static_cast<unsigned>(o.seed));
  const auto text = [](bool value) { return value ? "true" : "false"; };
  std::unordered_map<std::string, std::string> settings{
      {"model_type", o.model_type},
      {"vocab_size", std::to_string(o.vocab_size)},
      {"character_coverage", std::to_string(o.character_coverage)},
      {"input_sentence_size", std::to_string(o.input_sentence_size)},
      {"max_sentence_length", std::to_string(o.max_sentence_length)},
      {"seed_sentencepiece_size", std::to_string(o.seed_sentencepiece_size)},
      {"num_threads", std::to_string(o.workers)},
      {"byte_fallback", text(o.byte_fallback)},
      {"split_digits", text(o.split_digits)},
      {"normalization_rule_name", o.normalization},
      {"minloglevel", o.verbose ? "0" : "2"},
  };
  if (!o.user_defined_symbols.empty()) settings["user_defined_symbols"] = o.user_defined_symbols;
  std::string model;
  sentencepiece::util::Status status;
  try {
    status = sentencepiece::SentencePieceTrainer::Train(settings, &sentences, &model);
  } catch (const std::system_error& error) {
    throw compat::UnsupportedError(compat::concat(
        "--workers ", o.workers, ": cannot start the threads: ", error.code().message()));
  }
  progress.clear();
  sentences.rethrow();
  if (sentences.count() == 0)
    throw compat::UnsupportedError("no text to train on in " + compat::printable(o.input) +
                                   (sentences.skipped().empty() ? "" : ": " + sentences.skipped()));
  // The library's messages begin with a place in its source: "./src/trainer_interface.cc(662)
  // [condition] problem".
  if (!status.ok()) {
    std::string_view message = status.message();
    if (const std::size_t bracket = message.find("] "); bracket != std::string_view::npos)
      message.remove_prefix(bracket + 2);
    throw compat::UnsupportedError("sentencepiece: " +
                                   compat::printable(compat::strip(message), 300));
  }
  std::cout << "trained on " << sentences.count() << " lines in "
            << static_cast<std::int64_t>(progress.seconds() + 0.5) << " s" << std::endl;
  if (const std::string skipped = sentences.skipped(); !skipped.empty())
    std::cerr << "btm-convert train-sentencepiece: warning: " << skipped << std::endl;
  return model;
}

/// The dictionary of the pieces, as fairseq's recipes make it from a .vocab: in the model's order,
/// with counts of 100, without fairseq's special symbols.
compat::Dictionary dictionary_of(const sentencepiece::SentencePieceProcessor& processor,
                                 std::int64_t padding_factor) {
  compat::Dictionary dictionary;
  for (int id = 0; id < processor.GetPieceSize(); ++id)
    if (!processor.IsUnknown(id) && !processor.IsControl(id) && !processor.IsUnused(id))
      dictionary.add_symbol(processor.IdToPiece(id), 100);
  dictionary.pad_to_multiple(padding_factor);
  return dictionary;
}

compat::CommandSpec spec_of(TrainOptions& o) {
  using compat::flag_integer;
  using compat::flag_switch;
  using compat::flag_text;
  compat::FlagGroup files{
      "Files",
      {
          flag_text("input", "FILE[,FILE...]", o.input,
                    "text to train on; a FILE may be a folder or a pattern, as in preprocess"),
          flag_text("model-prefix,model_prefix", "PREFIX", o.model_prefix,
                    "write PREFIX.model and PREFIX.vocab"),
          flag_text(
              "dict", "FILE", o.dict,
              "write the dict.txt of the pieces here, for --srcdict (default: PREFIX.dict.txt)"),
          padding_factor_flag(o.padding_factor),
          compat::flag_overwrite(o.overwrite),
      }};
  compat::FlagGroup model{
      "Model (sentencepiece's flags)",
      {
          flag_integer("vocab-size,vocab_size", "N", o.vocab_size, "number of pieces", 1),
          compat::flag_choice("model-type,model_type", o.model_type,
                              {"unigram", "bpe", "word", "char"}, "kind of model"),
          compat::flag_real("character-coverage,character_coverage", "F", o.character_coverage,
                            "share of the text's characters that must have a piece", 0, 1),
          flag_integer("input-sentence-size,input_sentence_size", "N", o.input_sentence_size,
                       "train on N random lines; 0: all", 0),
          flag_integer("max-sentence-length,max_sentence_length", "N", o.max_sentence_length,
                       "skip lines of more than N bytes", 1),
          flag_integer("seed-sentencepiece-size,seed_sentencepiece_size", "N",
                       o.seed_sentencepiece_size,
                       "number of candidate pieces at the start of a unigram model", 1),
          flag_text("normalization-rule-name,normalization_rule_name", "NAME", o.normalization,
                    "nmt_nfkc, nfkc, nmt_nfkc_cf, nfkc_cf or identity"),
          flag_text("user-defined-symbols,user_defined_symbols", "LIST", o.user_defined_symbols,
                    "pieces that are never divided, separated by commas"),
          flag_switch("byte-fallback,byte_fallback", o.byte_fallback,
                      "add pieces for bytes, so that no text is unknown"),
          flag_switch("split-digits,split_digits", o.split_digits,
                      "allow at most one digit per piece"),
          flag_integer("seed,random_seed", "N", o.seed, "seed of the random choice of lines"),
          flag_integer("workers,num_threads", "N", o.workers, "number of threads", 1),
          flag_switch("verbose", o.verbose, "print the trainer's log"),
      }};
  return {"btm-convert train-sentencepiece",
          "Trains a sentencepiece model with the library's own trainer and writes the dict.txt of "
          "its pieces.",
          {},
          {files, model, document_flags(o.format)},
          {}};
}

/// Ends the process with one line. An exception in the library's threads would end it with a stack
/// trace.
void end_without_memory() {
  constexpr std::string_view kProblem =
      "btm-convert train-sentencepiece: error: out of memory: --input-sentence-size N trains on N "
      "lines\n";
  static std::atomic_flag told;
  while (told.test_and_set()) ::pause();  // another thread is ending the process
  const ssize_t printed = ::write(STDERR_FILENO, kProblem.data(), kProblem.size());
  compat::remove_noted_temporaries();
  ::_exit(printed < 0 ? 2 : 1);
}

/// Saves addresses under ulimit -v: all threads use one arena. Each further arena would reserve 64
/// MB of addresses.
void save_addresses() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    ::mallopt(M_ARENA_MAX, 1);
}

}  // namespace

compat::CommandSpec train_sentencepiece_spec() {
  return compat::spec_owning<TrainOptions>(spec_of);
}

int run_train_sentencepiece(std::span<const std::string> args) {
  TrainOptions options;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(spec_of(options), args, std::cout, ignored)) return 0;
  if (options.input.empty() || options.model_prefix.empty())
    throw compat::UsageError("--input and --model-prefix are needed");
  if (options.dict.empty()) options.dict = options.model_prefix + ".dict.txt";
  for (const std::string& file : {options.dict, options.model_prefix + ".model"})
    compat::check_new_output(file, options.overwrite);
  save_addresses();
  std::set_new_handler(end_without_memory);
  const std::string model = trained_model(options);
  std::set_new_handler(nullptr);
  sentencepiece::SentencePieceProcessor processor;
  if (!processor.LoadFromSerializedProto(model).ok())
    throw compat::UnsupportedError("sentencepiece cannot read the model that it trained");
  std::ostringstream vocabulary;
  for (int id = 0; id < processor.GetPieceSize(); ++id)
    vocabulary << processor.IdToPiece(id) << "\t" << processor.GetScore(id) << "\n";
  const compat::Dictionary dictionary = dictionary_of(processor, options.padding_factor);
  const compat::SignalsWait together;
  compat::write_file_atomically(options.model_prefix + ".vocab", vocabulary.str());
  dictionary.save(options.dict);
  compat::write_file_atomically(options.model_prefix + ".model", model);
  std::cout << options.model_prefix << ".model: " << processor.GetPieceSize() << " pieces; "
            << options.dict << ": " << dictionary.size() << " types" << std::endl;
  return 0;
}

}  // namespace converters
