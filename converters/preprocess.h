// fairseq-preprocess for language models, including the tokenization before it: text files to a
// dict.txt and data-bins.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

#include "compat/tokenizer/tokenizer.h"
#include "converters/text_documents.h"
#include "converters/text_inputs.h"

namespace converters {

struct PreprocessOptions {
  // fairseq's options, with fairseq's names.
  std::string trainpref, validpref, testpref;
  std::string destdir = "data-bin", srcdict, dataset_impl = "mmap";
  std::int64_t thresholdsrc = 0, nwordssrc = -1, padding_factor = 8, workers = 1, seed = 1;
  bool dict_only = false;
  // Options of this project.
  compat::TokenizerOptions tokenizer;
  DocumentFormat format;
  bool keep_empty = false;
  bool overwrite = false;  ///< Replaces sets of other text, and a dictionary that is found there.
  std::string end_of_document, domains;
  double valid_fraction = -1,
         test_fraction = -1;  ///< Shares of the text's bytes. Negative: 0.01 with --domains and no
                              ///< files for the split, else 0.
};

/// One pass over input files and its outputs: train, one valid or test split, or all three of a
/// random split.
struct SplitTask {
  TextInputs inputs;
  std::vector<std::string>
      outputs;  ///< Prefixes in destdir: "train", "perl/valid_perl". For a random split train,
                ///< valid and test, with "" where a fraction is 0.
  double valid_fraction = 0, test_fraction = 0;
  bool train = false;  ///< The first output is a training set, from which the dictionary is made.
};

/// The tasks of the options, in order. UsageError for options that contradict each other. IoError
/// for a missing input.
std::vector<SplitTask> plan_splits(const PreprocessOptions& options);
/// The domains of --domains. Empty without that flag.
std::vector<std::string> domain_names(const PreprocessOptions& options);

/// Runs all tasks. Writes a line to `log` for each finished part, and warnings about the split.
/// Files appear whole or not at all. Files that an earlier run made from the same inputs and
/// options are kept; preprocess.json in destdir records those. Files of an unfinished run with
/// other inputs are removed. IoError, before anything is written, where a set is there that was
/// made from other inputs or is not recorded, without `overwrite`. IoError also where a set that
/// stays would lie beside another dictionary. With `overwrite` a new dictionary and the sets of the
/// old one are replaced together, when all new sets are complete.
void preprocess(const PreprocessOptions& options, std::ostream& log);

std::uint64_t total_size(const std::vector<std::filesystem::path>& files);
/// UnsupportedError: its files hold no document.
[[noreturn]] void refuse_empty(const SplitTask& task);

}  // namespace converters
