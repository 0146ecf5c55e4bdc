// fairseq-preprocess for language models, with the tokenisation before it: text files to a dict.txt
// and data-bins.
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
  // fairseq's, under its names
  std::string trainpref, validpref, testpref;
  std::string destdir = "data-bin", srcdict, dataset_impl = "mmap";
  std::int64_t thresholdsrc = 0, nwordssrc = -1, padding_factor = 8, workers = 1, seed = 1;
  bool dict_only = false;
  // ours
  compat::TokenizerOptions tokenizer;
  DocumentFormat format;
  bool keep_empty = false;
  std::string end_of_document, domains;
  double valid_fraction = -1,
         test_fraction =
             -1;  ///< Of the text's bytes. Below 0: 0.01 where the split is ours to make, else 0.
};

/// One pass over input files and what comes of it: train alone, a valid or test split, or all three
/// of a seeded split.
struct SplitTask {
  TextInputs inputs;
  std::vector<std::string>
      outputs;  ///< Prefixes inside destdir: "train", "perl/valid_perl". Of a seeded split: train,
                ///< valid, test; "" where a fraction is 0.
  double valid_fraction = 0, test_fraction = 0;
  bool train = false;  ///< The first output is a training set: the dictionary is made from it.
};

/// What the options ask for, in the order of the work. UsageError where they contradict each other;
/// IoError for an input that is not there.
std::vector<SplitTask> plan_splits(const PreprocessOptions& options);
/// The domains of --domains; empty without it.
std::vector<std::string> domain_names(const PreprocessOptions& options);

/// Does the work; a line to `log` for each finished part, and what the user should know of the
/// split. Files appear whole or not at all; those that an earlier run made from the same inputs and
/// options (as preprocess.json in destdir remembers) are kept. What a run that did not finish left
/// of other inputs is cleared away.
void preprocess(const PreprocessOptions& options, std::ostream& log);

}  // namespace converters
