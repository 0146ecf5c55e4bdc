#include "btm/run/preprocess_steps.h"

#include <algorithm>
#include <utility>

#include "compat/base/concat.h"
#include "compat/base/numbers.h"
#include "compat/io/text_file.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

class PreprocessSteps {
 public:
  explicit PreprocessSteps(const StepNames& names)
      : names_(names), plan_(names.plan()), lineup_(names.lineup()) {}

  std::vector<Step> build() {
    if (plan_.tokenizer_model.empty()) add_tokenizer();
    if (plan_.has_corpus()) add_clusters();
    add_dictionary();
    for (const std::string& domain : lineup_.domains) add_preprocessing(domain);
    return std::move(steps_);
  }

 private:
  std::vector<fs::path> texts(const fs::path& pattern) const {
    if (plan_.has_corpus()) return {plan_.corpus};
    std::vector<fs::path> files;
    for (const std::string& domain : lineup_.founders)
      files.push_back(Plan::of_domain(pattern, domain));
    return files;
  }

  void add_tokenizer() {
    const std::string files = compat::join(texts(plan_.train), ",", [this](const fs::path& file) {
      return names_.text_path(file, "{train}");
    });
    steps_.push_back({.name = "tokeniser",
                      .commands = {{"btm-convert", "train-sentencepiece", "--input", files,
                                    "--model-prefix", "tokeniser/spm", "--vocab-size",
                                    std::to_string(plan_.vocab_size), "--overwrite"}},
                      .inputs = texts(plan_.train),
                      .outputs = {"tokeniser/spm.model", "tokeniser/spm.dict.txt"},
                      .folder = "tokeniser"});
  }

  /// The corpus by clusters, as text/cN/NAME of the run's folder.
  void add_clusters() {
    const std::string corpus = names_.text_path(plan_.corpus, "{corpus}");
    CommandLine train{"btm",      "cluster",        "train",
                      corpus,     "--num-clusters", std::to_string(plan_.clusters),
                      "--output", "clusters/model", "--overwrite"};
    CommandLine assign{"btm",  "cluster",      "assign", "clusters/model",
                       corpus, "--output-dir", "text",   "--overwrite"};
    if (plan_.clusters_balanced)
      assign.emplace_back("--balanced");
    else
      train.emplace_back("--unbalanced");
    append(train, plan_.cluster_flags);
    steps_.push_back({.name = "clusters",
                      .commands = {std::move(train)},
                      .inputs = {plan_.corpus},
                      .outputs = {"clusters/model"},
                      .folder = "clusters"});
    Step split{.name = "split",
               .commands = {std::move(assign)},
               .after = {"clusters"},
               .inputs = {plan_.corpus},
               .folder = "text"};
    for (const std::string& domain : plan_.domains) split.outputs.push_back(cluster_text(domain));
    steps_.push_back(std::move(split));
  }

  /// The text of a cluster, whose number, not its name, is in the path.
  fs::path cluster_text(const std::string& domain) const {
    const auto place = std::ranges::find(plan_.domains, domain) - plan_.domains.begin();
    return fs::path("text") / ("c" + std::to_string(place)) /
           compat::uncompressed_name(plan_.corpus.filename());
  }

  /// The dictionary of all domains, also of those that come later.
  void add_dictionary() {
    CommandLine command{"btm-convert", "preprocess", "--dict-only", "--destdir", names_.data()};
    Step step{.name = "dictionary", .outputs = {fs::path(names_.data()) / "dict.txt"}};
    if (plan_.tokenizer_model.empty()) {
      append(command, {"--srcdict", "tokeniser/spm.dict.txt"});
      step.after = {"tokeniser"};
    } else {
      const std::string files = compat::join(texts(plan_.train), ",", [this](const fs::path& file) {
        return names_.text_path(file, "{train}");
      });
      append(command, {"--bpe", "sentencepiece", "--sentencepiece-model", names_.tokenizer(),
                       "--trainpref", files});
      step.inputs = texts(plan_.train);
      step.inputs.push_back(plan_.tokenizer_model);
    }
    step.commands = {std::move(command)};
    steps_.push_back(std::move(step));
  }

  void add_preprocessing(const std::string& domain) {
    const fs::path folder = names_.folder_of("data-bin", domain);
    CommandLine command{
        "btm-convert",           "preprocess",       "--bpe",     "sentencepiece",
        "--sentencepiece-model", names_.tokenizer(), "--srcdict", names_.data() + "/dict.txt"};
    Step step{.name = "preprocess." + domain, .after = {"dictionary"}, .folder = folder};
    if (plan_.tokenizer_model.empty())
      step.after.emplace_back("tokeniser");
    else
      step.inputs.push_back(plan_.tokenizer_model);
    std::string ending = "_" + names_.called(domain);
    if (plan_.has_corpus() || plan_.has_text_held_out()) {
      ending.clear();
      const std::string text =
          plan_.has_corpus() ? cluster_text(domain).string()
                             : names_.text_path(Plan::of_domain(plan_.train, domain), "{train}");
      const std::string share =
          compat::shortest(plan_.has_corpus() ? plan_.held_out : plan_.text_held_out);
      append(command, {"--trainpref", text, "--valid-fraction", share, "--test-fraction", share,
                       "--destdir", folder.string()});
      if (plan_.has_corpus())
        step.after.emplace_back("split");
      else
        append(step.inputs, founder_files(plan_, domain));
    } else {
      append(command,
             {"--domains", names_.called(domain), "--trainpref",
              names_.text_pattern(plan_.train, domain, "{train}"), "--validpref",
              names_.text_pattern(plan_.valid, domain, "{valid}"), "--testpref",
              names_.text_pattern(plan_.test, domain, "{test}"), "--destdir", names_.data()});
      append(step.inputs, founder_files(plan_, domain));
    }
    step.commands = {std::move(command)};
    step.outputs = {folder / "dict.txt"};
    for (const std::string& set : {std::string("train"), "valid" + ending, "test" + ending})
      for (const char* file : {".bin", ".idx"}) step.outputs.push_back(folder / (set + file));
    step.group = "preprocess";
    steps_.push_back(std::move(step));
  }

  const StepNames& names_;
  const Plan& plan_;
  const Lineup& lineup_;
  std::vector<Step> steps_;
};

}  // namespace

std::vector<Step> preprocess_steps(const StepNames& names) {
  return PreprocessSteps(names).build();
}

}  // namespace btm
