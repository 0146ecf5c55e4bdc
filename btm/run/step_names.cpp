#include "btm/run/step_names.h"

#include "compat/base/concat.h"
#include "compat/io/text_file.h"

namespace btm {

namespace fs = std::filesystem;

StepNames::StepNames(const Plan& plan, const Lineup& lineup, Writes writes)
    : plan_(plan),
      lineup_(lineup),
      is_identity_(writes == Writes::kIdentity),
      data_(plan.data_bin.empty() ? "data-bin" : path_text(plan.data_bin, "{bin}")) {}

std::string StepNames::log_interval() const {
  return is_identity_ ? "50" : std::to_string(plan_.shown_log_interval());
}

std::string StepNames::path_text(const fs::path& path, const char* mark) const {
  return is_identity_ ? mark : path.string();
}

std::string StepNames::text_path(const fs::path& file, const char* mark) const {
  return path_text(file,
                   compat::names_json_lines(file) ? (std::string(mark) + ".jsonl").c_str() : mark);
}

std::string StepNames::text_pattern(const fs::path& pattern, const std::string& domain,
                                    const char* mark) const {
  return is_identity_ ? text_path(Plan::of_domain(pattern, domain), mark) : pattern.string();
}

std::string StepNames::called(const std::vector<std::string>& domains) const {
  return compat::join(domains, ",", [this](const std::string& name) { return called(name); });
}

std::string StepNames::tokenizer() const {
  return plan_.tokenizer_model.empty() ? "tokeniser/spm.model"
                                       : path_text(plan_.tokenizer_model, "{model}");
}

fs::path StepNames::folder_of(const char* parent, const std::string& domain) const {
  return fs::path(parent) / called(domain);
}

std::string StepNames::expert_file(const std::string& name) const {
  for (const BroughtExpert& expert : lineup_.brought)
    if (expert.name == name) return path_text(expert.checkpoint, "{brought}");
  return (folder_of("experts", name) / "checkpoint_last.pt").string();
}

std::vector<std::string> StepNames::named_experts() const {
  std::vector<std::string> named;
  for (const std::string& name : lineup_.experts()) named.push_back(name + "=" + expert_file(name));
  return named;
}

std::vector<fs::path> StepNames::brought_files() const {
  std::vector<fs::path> files;
  for (const BroughtExpert& expert : lineup_.brought)
    files.push_back(plan_.output / expert.checkpoint);
  return files;
}

std::vector<std::string> StepNames::expert_steps() const {
  std::vector<std::string> names;
  for (const std::string& domain : lineup_.trained) names.push_back("expert." + domain);
  return names;
}

std::vector<std::string> StepNames::preprocessed(const std::vector<std::string>& domains) const {
  std::vector<std::string> steps;
  if (!plan_.data_bin.empty()) return steps;
  for (const std::string& domain : domains) steps.push_back("preprocess." + domain);
  return steps;
}

std::vector<fs::path> StepNames::evaluation_inputs() const {
  std::vector<fs::path> files;
  for (const BroughtExpert& expert : lineup_.brought) append(files, expert.data_files);
  if (plan_.data_bin.empty()) return files;
  files.push_back(plan_.data_bin / "dict.txt");
  for (const std::string& domain : lineup_.evaluated)
    for (const std::string& split : {plan_.split, std::string("valid")})
      for (const std::string& name : {split + "_" + domain, split})
        for (const char* ending : {".bin", ".idx"})
          if (const fs::path file = plan_.data_bin / domain / (name + ending);
              fs::is_regular_file(file))
            files.push_back(file);
  return files;
}

}  // namespace btm
