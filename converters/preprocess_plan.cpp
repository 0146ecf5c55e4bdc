// Finds the files that fairseq-preprocess's prefixes and --domains name.
#include <algorithm>
#include <set>

#include "compat/base/error.h"
#include "compat/base/text.h"
#include "converters/preprocess.h"

namespace converters {
namespace {

constexpr std::string_view kPlaceholder = "{domain}";

std::string for_domain(std::string prefix, const std::string& domain) {
  for (std::size_t at = 0; (at = prefix.find(kPlaceholder, at)) != std::string::npos;
       at += domain.size())
    prefix.replace(at, kPlaceholder.size(), domain);
  return prefix;
}

/// fairseq numbers further validation and test sets: valid, valid1, valid2. Those of a domain D are
/// here valid_D, valid1_D.
void add_numbered(std::vector<SplitTask>& tasks, const std::string& prefix, const std::string& name,
                  const std::string& folder, const std::string& suffix) {
  std::size_t number = 0;
  for (const TextInputs& part : text_inputs(prefix)) {
    tasks.push_back(
        {part, {folder + name + (number > 0 ? std::to_string(number) : "") + suffix}, 0, 0, false});
    ++number;
  }
}

void check(const PreprocessOptions& options) {
  if (options.destdir.empty()) throw compat::UsageError("--destdir is empty, expected a folder");
  if (options.trainpref.empty() && options.srcdict.empty())
    throw compat::UsageError(
        "--trainpref is needed to make a dictionary (or give one with --srcdict)");
  const bool wants_split = options.valid_fraction > 0 || options.test_fraction > 0;
  if (wants_split && (!options.validpref.empty() || !options.testpref.empty()))
    throw compat::UsageError(
        "--valid-fraction and --test-fraction split --trainpref, expected no --validpref and "
        "--testpref");
  if (wants_split && options.trainpref.empty())
    throw compat::UsageError("--valid-fraction and --test-fraction need --trainpref");
  if (std::max(options.valid_fraction, 0.0) + std::max(options.test_fraction, 0.0) >= 1)
    throw compat::UsageError(
        "--valid-fraction and --test-fraction leave nothing to train on, expected a sum below 1");
  if (options.domains.empty()) return;
  for (const auto& [flag, prefix] : {std::pair{"--trainpref", &options.trainpref},
                                     {"--validpref", &options.validpref},
                                     {"--testpref", &options.testpref}})
    if (!prefix->empty() && prefix->find(kPlaceholder) == std::string::npos)
      throw compat::UsageError(std::string(flag) + " '" + compat::printable(*prefix) +
                               "' contains no {domain}, which --domains replaces");
}

}  // namespace

std::vector<std::string> domain_names(const PreprocessOptions& options) {
  const std::vector<std::string> names = compat::split_at(options.domains, ',');
  std::set<std::string> seen;
  for (const std::string& name : names) {
    if (name == "." || name == ".." || name.find('/') != std::string::npos)
      throw compat::UsageError("--domains: '" + compat::printable(name) +
                               "' cannot be a folder's name");
    if (!seen.insert(name).second)
      throw compat::UsageError("--domains: '" + compat::printable(name) + "' occurs twice");
  }
  if (names.empty() && !options.domains.empty())
    throw compat::UsageError("--domains names no domain");
  return names;
}

std::vector<SplitTask> plan_splits(const PreprocessOptions& options) {
  check(options);
  std::vector<std::string> domains = domain_names(options);
  const bool by_domain = !domains.empty();
  if (!by_domain) domains.emplace_back();
  std::vector<SplitTask> tasks;
  for (const std::string& domain : domains) {
    const std::string folder = by_domain ? domain + "/" : "",
                      suffix = by_domain ? "_" + domain : "";
    if (!options.trainpref.empty()) {
      SplitTask task{
          all_text_inputs(for_domain(options.trainpref, domain)), {folder + "train"}, 0, 0, true};
      const double otherwise =
          by_domain && options.validpref.empty() && options.testpref.empty() ? 0.01 : 0;
      task.valid_fraction = options.valid_fraction < 0 ? otherwise : options.valid_fraction;
      task.test_fraction = options.test_fraction < 0 ? otherwise : options.test_fraction;
      if (task.valid_fraction > 0 || task.test_fraction > 0)
        task.outputs = {folder + "train", task.valid_fraction > 0 ? folder + "valid" + suffix : "",
                        task.test_fraction > 0 ? folder + "test" + suffix : ""};
      tasks.push_back(std::move(task));
    }
    add_numbered(tasks, for_domain(options.validpref, domain), "valid", folder, suffix);
    add_numbered(tasks, for_domain(options.testpref, domain), "test", folder, suffix);
  }
  return tasks;
}

std::uint64_t total_size(const std::vector<std::filesystem::path>& files) {
  std::uint64_t total = 0;
  for (const std::filesystem::path& file : files) total += std::filesystem::file_size(file);
  return total;
}

void refuse_empty(const SplitTask& task) {
  const auto& files = task.inputs.files;
  throw compat::UnsupportedError(compat::printable(files.front().string(), 4096) +
                                 (files.size() > 1 ? " and the other files" : "") +
                                 ": no document for " + task.outputs.front() +
                                 " (an empty file, or blank lines only)");
}

}  // namespace converters
