// What the steps of a plan have in common: names, paths and files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <type_traits>
#include <vector>

#include "btm/run/lineup.h"
#include "btm/run/plan.h"
#include "btm/run/step.h"

namespace btm {

template <class T>
void append(std::vector<T>& list, const std::vector<std::type_identity_t<T>>& more) {
  list.insert(list.end(), more.begin(), more.end());
}

/// Which text of the commands is written: what is run, or what the key is made of. The latter has
/// a mark in place of each domain's name and each absolute path, because content tells domains and
/// files apart.
enum class Writes : std::uint8_t { kCommands, kIdentity };

/// Refers to its plan and lineup.
class StepNames {
 public:
  StepNames(const Plan& plan, const Lineup& lineup, Writes writes);

  const Plan& plan() const { return plan_; }
  const Lineup& lineup() const { return lineup_; }
  /// The folder of domains with dict.txt.
  const std::string& data() const { return data_; }
  std::string tokenizer() const;
  /// For btm train. The log changes no result: the key has the interval of earlier versions.
  std::string log_interval() const;

  std::string path_text(const std::filesystem::path& path, const char* mark) const;
  /// The same for a file of text. The programs tell JSON Lines from plain text by the ending, so
  /// that the mark of JSON Lines, "MARK.jsonl", is another.
  std::string text_path(const std::filesystem::path& file, const char* mark) const;
  /// The same for a pattern with {domain}: its file of that domain has the ending.
  std::string text_pattern(const std::filesystem::path& pattern, const std::string& domain,
                           const char* mark) const;
  /// A domain's name where only its content matters.
  std::string called(const std::string& domain) const { return is_identity_ ? "{}" : domain; }
  std::string called(const std::vector<std::string>& domains) const;
  /// Folder `parent` of a domain or expert in the run's folder.
  std::filesystem::path folder_of(const char* parent, const std::string& domain) const;

  std::string expert_file(const std::string& name) const;
  /// NAME=FILE of each expert, also in the key.
  std::vector<std::string> named_experts() const;
  /// The files of experts that no step makes.
  std::vector<std::filesystem::path> brought_files() const;
  std::vector<std::string> expert_steps() const;
  /// Steps that preprocess the domains; none for a data-bin.
  std::vector<std::string> preprocessed(const std::vector<std::string>& domains) const;
  /// The files that an evaluation reads and no step makes.
  std::vector<std::filesystem::path> evaluation_inputs() const;

 private:
  const Plan& plan_;
  const Lineup& lineup_;
  bool is_identity_;
  std::string data_;
};

}  // namespace btm
