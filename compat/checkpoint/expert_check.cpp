#include "compat/checkpoint/expert_check.h"

#include <algorithm>
#include <map>
#include <stdexcept>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/natural_order.h"
#include "compat/checkpoint/checkpoint.h"

namespace compat {
namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
  std::error_code unknown;
  return fs::exists(path, unknown);
}

using Shapes = std::map<std::string, std::vector<std::int64_t>>;

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return "[" + join(shape, ", ", [](std::int64_t size) { return std::to_string(size); }) + "]";
}

/// How the shapes of an expert differ from those of the first; "" where they do not.
std::string difference(const Shapes& found, const Shapes& expected, const std::string& first) {
  for (const auto& [name, shape] : expected) {
    const auto same = found.find(name);
    if (same == found.end())
      return "has no tensor " + printable(name) + ", which " + first + " has";
    if (same->second != shape)
      return printable(name) + " is " + shape_text(same->second) + ", and " + shape_text(shape) +
             " in " + first;
  }
  for (const auto& [name, shape] : found)
    if (!expected.contains(name))
      return "has tensor " + printable(name) + ", which " + first + " has not";
  return {};
}

/// Compares the experts with the first that can be opened.
class ForestCheck {
 public:
  explicit ForestCheck(const Forest& forest) : forest_(forest) {}

  std::string problem_of(const ForestExpert& expert) {
    const fs::path path = forest_.checkpoint_of(expert);
    if (!is_there(path))
      return expert.complete ? printable(path.string(), 4096) + " does not exist"
                             : "is to be continued, and has no checkpoint yet";
    try {
      const Checkpoint checkpoint = Checkpoint::open(path);
      if (!expert.dictionary.empty())
        check_same_dictionary(checkpoint.dictionary(), {"forest.json", expert.dictionary, {}});
      check_data(expert, checkpoint.dictionary());
      return compare(expert, checkpoint);
    } catch (const std::runtime_error& error) {
      return without_controls(error.what());
    }
  }

 private:
  static void check_data(const ForestExpert& expert, const KnownDictionary& dictionary) {
    const fs::path dict = fs::path(expert.data) / "dict.txt";
    if (!expert.data.empty() && is_there(dict))
      check_same_dictionary(known_dictionary(dict), dictionary);
  }

  std::string compare(const ForestExpert& expert, const Checkpoint& checkpoint) {
    Shapes shapes;
    for (const auto& [name, tensor] : checkpoint.model()) shapes[std::string(name)] = tensor.shape;
    if (!first_.empty()) {
      if (std::string text = difference(shapes, shapes_, first_); !text.empty()) return text;
      check_same_dictionary(checkpoint.dictionary(), dictionary_);
      return {};
    }
    first_ = expert.name;
    shapes_ = std::move(shapes);
    dictionary_ = checkpoint.dictionary();
    return {};
  }

  const Forest& forest_;
  std::string first_;
  Shapes shapes_;
  KnownDictionary dictionary_;
};

}  // namespace

std::vector<ExpertFinding> check_forest(const Forest& forest) {
  std::vector<ExpertFinding> findings;
  ForestCheck check(forest);
  for (const ForestExpert& expert : forest.experts)
    findings.push_back({expert.name, check.problem_of(expert)});
  if (!forest.has_manifest) return findings;
  std::vector<std::string> strangers;
  std::error_code error;
  for (fs::directory_iterator entry(forest.folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const bool is_removed =
        std::ranges::find(forest.removed, name, &ForestExpert::name) != forest.removed.end();
    if (is_there(entry->path() / "checkpoint_last.pt") && forest.find(name) == nullptr &&
        !is_removed)
      strangers.push_back(name);
  }
  if (error) throw IoError(forest.folder.string(), "cannot list", error.value());
  std::ranges::sort(strangers, natural_less);
  for (const std::string& name : strangers)
    findings.push_back({printable(name),
                        "is a folder with a checkpoint that the manifest does not name (btm expert "
                        "add takes it up)"});
  return findings;
}

std::string state_of(const Forest& forest, const ForestExpert& expert) {
  if (!expert.complete) return "to be continued";
  return is_there(forest.checkpoint_of(expert)) ? "complete" : "missing";
}

}  // namespace compat
