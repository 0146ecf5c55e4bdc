// `btm expert add`: adds an expert to a forest, started from existing ones.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "btm/cli/eval_flags.h"
#include "btm/evaluator/eval_options.h"
#include "compat/checkpoint/forest.h"
#include "compat/tokenizer/tokenizer.h"

namespace btm {

struct ExpertAddOptions {
  std::filesystem::path forest;
  std::string domain, name;  ///< `name` "": the domain.
  std::string from;  ///< "nearest", "posterior", an expert's name or a checkpoint's path; "":
                     ///< posterior, or the choice of the interrupted addition.
  std::string data;  ///< The new domain's data-bin.
  std::vector<std::string> texts;  ///< Instead of it: text, as btm-convert preprocess takes it.
  double held_out = 0.05;          ///< Share of the text for valid, and as much for test.
  compat::TokenizerOptions tokenizer = {compat::kFoundTokenizer};
  std::string split;    ///< "": valid_DOMAIN or valid.
  std::string without;  ///< Experts that nearest and posterior leave out, joined by ','.
  BatchingOptions batching;
  MachineOptions machine;
  std::int64_t prior_batches = 100;      ///< Use the posterior after batch N, counted from 0.
  std::vector<std::string> train_flags;  ///< After "--".
  /// Flags of btm train that are flags of btm expert add, too, in the words of the command line.
  std::vector<std::string> common_flags;
  LogOptions log;
};

/// Chooses the start, records it in the manifest, runs `btm train` as a process, evaluates, and
/// marks the expert complete. Resumes where an earlier call with the same name ended. Returns btm
/// train's status when it is not 0. Reports progress on stderr. UsageError, IoError, FormatError as
/// of the parts.
int add_expert(ExpertAddOptions options);

}  // namespace btm
