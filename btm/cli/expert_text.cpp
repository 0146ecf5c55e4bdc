#include "btm/cli/expert_text.h"

#include <unistd.h>

#include <iostream>

#include "btm/cli/expert_life.h"
#include "btm/cli/text_models.h"
#include "btm/run/run_step.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/io/text_file.h"
#include "compat/program/process.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

/// The folder of the data-bin: where `btm run` looks for that of an expert that was added, or in
/// the expert's own folder.
fs::path data_folder(const fs::path& forest, const std::string& name, const fs::path& dictionary) {
  const fs::path whole = fs::weakly_canonical(forest);
  const fs::path of_run = whole.parent_path() / "data-bin";
  std::error_code missing;
  const bool is_of_run = whole.filename() == compat::kExpertsOfRun &&
                         fs::equivalent(of_run, dictionary.parent_path(), missing);
  return is_of_run ? of_run / name : whole / name / "data-bin";
}

}  // namespace

int prepare_text(ExpertAddOptions& options) {
  if (!options.data.empty())
    throw compat::UsageError("found TEXT and --data, expected one of them");
  const std::string name = options.name.empty() ? options.domain : options.name;
  compat::check_expert_name(name);
  options.forest = compat::forest_folder(options.forest);
  check_not_foreign(compat::open_forest(options.forest), name);
  for (const std::string& text : options.texts) {
    if (text.find(',') != std::string::npos)
      throw compat::UsageError("'" + compat::printable(text, 4096) +
                               "' holds a ',', which separates files in btm-convert preprocess");
    const bool is_pattern = text.find_first_of("*?[") != std::string::npos;
    if (!fs::is_directory(text) && !is_pattern) compat::existing_text_file(text);
  }
  TextModelOptions models;
  models.models = options.forest.string();
  models.tokenizer = options.tokenizer;
  const FoundModels found = find_models(models, [](const std::string&) {});
  const compat::FoundTokenizer tokenizer = tokenizer_of(models, found);
  const fs::path folder = data_folder(options.forest, name, found.dictionary_file);
  const std::string share = compat::shortest(options.held_out);
  CommandLine command{"btm-convert", "preprocess"};
  for (const std::string& word : compat::tokenizer_words(tokenizer.options))
    command.push_back(word);
  for (const std::string& word :
       {std::string("--srcdict"), found.dictionary_file, std::string("--trainpref"),
        compat::join(options.texts, ","), std::string("--valid-fraction"), share,
        std::string("--test-fraction"), share, std::string("--destdir"), folder.string()})
    command.push_back(word);
  compat::SignalQueue signals;
  bool interrupted = false;
  compat::Child child({.argv = resolved(command), .output = STDERR_FILENO});
  const int status = child.wait(signals, interrupted);
  options.data = folder.string();
  return status;
}

}  // namespace btm
