#include "compat/checkpoint/named_models.h"

#include <algorithm>
#include <array>
#include <map>
#include <regex>
#include <set>
#include <utility>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/natural_order.h"
#include "compat/base/nearest_name.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/checkpoint/forest.h"
#include "compat/checkpoint/metaseq_name.h"
#include "compat/checkpoint/moe_ranks.h"
#include "compat/checkpoint/shard_name.h"
#include "compat/huggingface/huggingface_folder.h"
#include "compat/huggingface/safetensors.h"

namespace compat {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLast = "checkpoint_last.pt";
constexpr const char* kWeights = "model.safetensors";
/// Files of metaseq that hold a whole model; in this order one stands for its folder.
constexpr std::array kWholeMetaseq{"consolidated.pt", "restored.pt", "reshard.pt"};
constexpr std::string_view kExpected =
    ", expected a checkpoint, a folder with checkpoint_last.pt, DeMIX ranks, parts of metaseq, a "
    "Hugging Face folder or a safetensors file";

std::string shown(const fs::path& path) { return printable(path.string(), 4096); }

/// "a, b, c, ..." of at most `most` names.
std::string some_of(const std::vector<std::string>& names, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), most); ++i)
    text += (i > 0 ? ", " : "") + printable(names[i]);
  return text + (names.size() > most ? ", ..." : "");
}

std::vector<std::string> names_of(const std::vector<NamedModel>& models) {
  std::vector<std::string> names;
  for (const NamedModel& model : models) names.push_back(model.name);
  return names;
}

/// The name of a folder, of "" (the current one), "x/.." and "x/" as well.
std::string folder_name(const fs::path& folder) {
  const fs::path name = folder.has_filename() ? folder.filename() : folder.parent_path().filename();
  if (!name.empty() && name != "." && name != "..") return name.string();
  std::error_code unknown;
  return fs::weakly_canonical(folder.empty() ? "." : folder, unknown).filename().string();
}

bool is_there(const fs::path& path) {
  std::error_code unknown;
  return fs::exists(path, unknown);
}

bool is_folder(const fs::path& path) {
  std::error_code unknown;
  return fs::is_directory(path, unknown);
}

/// What a file that is no model is by its name; "" for all others.
std::string_view other_file(const fs::path& path) {
  const std::string name = path.filename().string();
  if (name.starts_with("dict.") && name.ends_with(".txt")) return "is a dictionary";
  if (name == "forest.json") return "is the manifest of a forest, whose folder is to be given";
  if (name == "config.json" || name.ends_with(".index.json"))
    return "is a part of a Hugging Face folder, which is to be given";
  return {};
}

/// Whether a file of this name is called as its folder.
bool is_usual(std::string_view name) {
  return name == kLast || name == kWeights ||
         std::ranges::find(kWholeMetaseq, name) != kWholeMetaseq.end();
}

/// "; did you mean PATH?" for a path that does not exist, where its first missing part is close to
/// a name that is there; else "".
std::string suggestion_for(const fs::path& path) {
  constexpr std::size_t kMostRead = 10'000;
  std::error_code unknown;
  if (fs::symlink_status(path, unknown).type() != fs::file_type::not_found) return {};
  fs::path folder, missing;
  for (const fs::path& part : path) {
    missing = part;
    if (!is_there(folder / part)) break;
    folder /= part;
  }
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder.empty() ? "." : folder, error), end;
       !error && entry != end && names.size() < kMostRead; entry.increment(error))
    if (entry->path().filename() != missing)  // as a link that leads nowhere has
      names.push_back(entry->path().filename().string());
  std::ranges::sort(names);  // of names that are as close the first, whatever the folder's order
  const std::string near = nearest_name(missing.string(), names);
  if (near.empty()) return {};
  return "; did you mean " + printable((folder / near).string(), 4096) + '?';
}

NamedModel file_model(const fs::path& path) {
  if (const std::string_view other = other_file(path); !other.empty() && is_there(path))
    throw IoError(path.string(), std::string(other) + std::string(kExpected));
  if (!is_there(path) && is_there(path.string() + ".idx"))
    throw IoError(path.string(), "is the prefix of a data set" + std::string(kExpected));
  if (const auto parts = metaseq_files(path); !parts.empty()) {
    const std::string stem = metaseq_name(parts.front().path)->stem;
    return {is_usual(stem + ".pt") ? folder_name(path.parent_path()) : stem, parts.front().path,
            ModelKind::kMetaseq};
  }
  if (const std::string suggestion = suggestion_for(path); !suggestion.empty())
    throw IoError(path.string(), "cannot open: No such file or directory" + suggestion);
  const std::string name = path.filename().string();
  NamedModel model{is_usual(name) ? folder_name(path.parent_path()) : path.stem().string(), path,
                   ModelKind::kCheckpoint};
  if (is_safetensors(MappedFile::open(path)->bytes()))
    model.kind = ModelKind::kSafetensors;
  else if (const auto shard = shard_name(path); shard && is_moe_rank(path))
    model = {is_usual(shard->stem + ".pt") ? folder_name(path.parent_path()) : shard->stem,
             moe_rank_files(path).front(), ModelKind::kCheckpoint};
  else if (shard)
    model.kind = ModelKind::kDemixRank;
  return model;
}

/// What a folder holds that is no model.
std::string other_folder(const fs::path& folder) {
  constexpr std::size_t kMostRead = 10'000, kMostNamed = 4;
  std::vector<std::string> names, weights, data;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const fs::path name = entry->path().filename();
    names.push_back(name.string());
    for (const std::string_view extension : {".pt", ".pth", ".ckpt", ".bin", ".safetensors"})
      if (name.extension() == extension) weights.push_back(name.string());
    if (name == "dict.txt" || name.extension() == ".idx") data.push_back(name.string());
    if (names.size() == kMostRead) break;
  }
  if (error) throw IoError(folder.string(), "cannot list", error.value());
  for (auto* const list : {&names, &weights, &data}) std::ranges::sort(*list, natural_less);
  if (names.empty()) return "is an empty folder";
  if (!data.empty()) return "is a data-bin (it holds " + some_of(data, kMostNamed) + ")";
  if (!weights.empty())
    return "holds " + some_of(weights, kMostNamed) + " but no checkpoint_last.pt (name the file)";
  return "holds no model but " + some_of(names, kMostNamed);
}

/// The file of metaseq that stands for a folder: one with a whole model, else STEM.pt of its parts.
/// Empty where there is none. FormatError for parts of several models.
fs::path metaseq_in(const fs::path& folder) {
  for (const char* const name : kWholeMetaseq)
    if (is_there(folder / name)) return folder / name;
  const std::vector<std::string> stems = metaseq_stems_in(folder);
  for (const std::string& stem : stems)
    if (is_usual(stem + ".pt")) return folder / (stem + ".pt");
  if (stems.size() > 1)
    throw FormatError(
        {folder.string(), {}, {}},
        "holds parts of several models (" + some_of(stems, 4) + "), expected one: name its file");
  return stems.empty() ? fs::path() : folder / (stems.front() + ".pt");
}

/// checkpoint_0.pt, checkpoint_1.pt, ... of a folder, the experts of DeMIX's released archives.
/// Empty where there are fewer than two. FormatError where a number is missing.
std::vector<fs::path> numbered_experts_in(const fs::path& folder) {
  constexpr std::string_view kStem = "checkpoint_";
  std::map<std::size_t, fs::path> experts;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string stem = entry->path().stem().string();
    if (entry->path().extension() != ".pt" || !stem.starts_with(kStem)) continue;
    const std::string_view digits = std::string_view(stem).substr(kStem.size());
    const auto number = digits.size() > 6 ? std::nullopt : number_of<std::size_t>(digits);
    if (number && std::to_string(*number) == digits) experts[*number] = entry->path();
  }
  if (error) throw IoError(folder.string(), "cannot list", error.value());
  if (experts.size() < 2 || !experts.contains(0)) return {};
  std::vector<fs::path> paths;
  for (const auto& [number, path] : experts) {
    if (number != paths.size())
      throw FormatError({folder.string(), {}, {}},
                        concat("has no checkpoint_", paths.size(), ".pt beside its other experts"));
    paths.push_back(path);
  }
  return paths;
}

/// All but forests, whose experts may be no forests again; empty for a folder that is none of them.
std::vector<NamedModel> models_in(const fs::path& path) {
  if (!is_folder(path)) return {file_model(path)};
  if (is_hugging_face_folder(path)) return {{folder_name(path), path, ModelKind::kHuggingFace}};
  if (is_there(path / kLast)) return {file_model(path / kLast)};
  std::vector<NamedModel> models;
  for (const fs::path& rank : demix_ranks_in(path)) {
    models.push_back(file_model(rank));
    if (models.back().kind == ModelKind::kCheckpoint) return models;  // all ranks are one mixture
  }
  if (models.empty() && is_there(path / kWeights)) models.push_back(file_model(path / kWeights));
  if (models.empty())
    for (const fs::path& expert : numbered_experts_in(path)) models.push_back(file_model(expert));
  if (models.empty())
    if (const fs::path found = metaseq_in(path); !found.empty())
      models.push_back(file_model(found));
  return models;
}

/// "holds 3 models (a, b, c)".
std::string several(const std::vector<NamedModel>& models) {
  constexpr std::size_t kNamed = 8;
  return concat("holds ", models.size(), " models (", some_of(names_of(models), kNamed), ')');
}

NamedModel only_one(std::vector<NamedModel> models, const fs::path& path) {
  if (models.empty()) throw IoError(path.string(), other_folder(path) + std::string(kExpected));
  if (models.size() > 1)
    throw IoError(path.string(), several(models) + ", expected one: name its file or folder");
  return std::move(models.front());
}

std::vector<NamedModel> experts_of(const fs::path& folder, const WarnOfModels& warn) {
  Forest forest = open_forest(folder);
  // Without a manifest nothing else tells the model that the experts were branched from.
  const bool has_seed = !forest.has_manifest && forest.experts.size() > 1 &&
                        std::erase_if(forest.experts, [](const ForestExpert& expert) {
                          return expert.name == kSeedName;
                        }) > 0;
  if (const std::string line = taken_as_experts(forest); !line.empty())
    warn(line + (has_seed ? "; seed is left out (name it to mix it)" : ""));
  std::vector<NamedModel> models;
  for (const ForestExpert& expert : complete_experts(forest)) {
    const fs::path path = forest.checkpoint_of(expert);
    if (!is_there(path))
      throw IoError(path.string(), "does not exist, and the manifest of the forest names it as " +
                                       expert.name + " (btm expert remove takes it out)");
    models.push_back(only_one(models_in(path), path));
    models.back().name = expert.name;
  }
  return models;
}

std::vector<NamedModel> models_at(const fs::path& path, const WarnOfModels& warn) {
  std::vector<NamedModel> models = models_in(path);
  if (models.empty() && is_forest(path)) return experts_of(path, warn);
  if (models.empty()) return {only_one({}, path)};
  return models;
}

/// A word of the command line: NAME=MODEL or MODEL.
std::pair<std::string, std::string> name_and_path(const std::string& word) {
  const std::size_t equals = word.find('=');
  if ((!word.empty() && equals == std::string::npos) || word.find('/') < equals || is_there(word))
    return {{}, word};
  if (word.empty() || equals == 0 || equals + 1 == word.size())
    throw UsageError("'" + printable(word) + "', expected MODEL or NAME=MODEL");
  return {word.substr(0, equals), word.substr(equals + 1)};
}

/// The models with names of their own: where those in `is_given` are not, a UsageError; where
/// others are not, all others are named by their paths.
void make_unique(std::vector<NamedModel>& models, const std::vector<bool>& is_given) {
  std::set<std::string> given, all;
  for (std::size_t i = 0; i < models.size(); ++i) {
    all.insert(models[i].name);
    if (is_given[i] && !given.insert(models[i].name).second)
      throw UsageError("two models are named '" + printable(models[i].name) +
                       "', expected a name for each");
  }
  if (all.size() == models.size()) return;
  for (std::size_t i = 0; i < models.size(); ++i)
    if (!is_given[i]) models[i].name = models[i].path.string();
}

std::string demix_stem(const std::map<std::string, std::map<int, fs::path>>& ranks,
                       const fs::path& folder) {
  if (ranks.contains("checkpoint_last")) return "checkpoint_last";
  if (ranks.size() > 1)
    throw FormatError({folder.string(), {}, {}},
                      "holds DeMIX ranks of several models: " + printable(ranks.begin()->first) +
                          " and " + printable(std::next(ranks.begin())->first));
  return ranks.begin()->first;
}

}  // namespace

NamedModel resolve_model(const fs::path& path) {
  return only_one(models_at(path, [](const std::string&) {}), path);
}

std::vector<NamedModel> resolve_models(std::span<const std::string> words,
                                       const WarnOfModels& warn) {
  std::vector<NamedModel> models;
  std::vector<bool> is_given;
  for (const std::string& word : words) {
    const auto [name, path] = name_and_path(word);
    std::vector<NamedModel> found = models_at(path, warn);
    if (!name.empty() && found.size() > 1)
      throw UsageError("'" + printable(word, 4096) + "' names one model, and " + shown(path) + " " +
                       several(found));
    for (NamedModel& model : found) {
      if (!name.empty()) model.name = name;
      models.push_back(std::move(model));
      is_given.push_back(!name.empty());
    }
  }
  make_unique(models, is_given);
  return models;
}

std::vector<NamedModel> resolve_models(std::string_view list, const WarnOfModels& warn,
                                       std::string_view separators) {
  std::vector<std::string> words;
  for (std::size_t from = 0; from <= list.size();) {
    const std::size_t end = std::min(list.find_first_of(separators, from), list.size());
    if (end > from) words.emplace_back(list.substr(from, end - from));
    from = end + 1;
  }
  return resolve_models(words, warn);
}

std::vector<std::string> chosen_experts(std::span<const std::string> names,
                                        const ExpertChoice& choice) {
  const auto listed = [&](const std::string& list, const char* flag) {
    std::vector<std::string> found;
    for (const std::string_view part : split_at(list, ',')) {
      const std::string name(part);
      if (std::ranges::find(names, name) == names.end()) {
        constexpr std::size_t kNamed = 8;
        throw UsageError(std::string(flag) + " names '" + printable(name) +
                         "', expected some of the models: " +
                         some_of(std::vector<std::string>(names.begin(), names.end()), kNamed));
      }
      if (std::ranges::find(found, name) != found.end())
        throw UsageError(std::string(flag) + " names '" + printable(name) + "' twice");
      found.push_back(name);
    }
    return found;
  };
  std::vector<std::string> experts(names.begin(), names.end());
  if (choice.experts == "all")
    std::erase(experts, kSeedName);
  else if (!choice.experts.empty())
    experts = listed(choice.experts, "--experts");
  for (const std::string& name : listed(choice.without, "--without")) std::erase(experts, name);
  if (experts.empty()) throw UsageError("--experts and --without leave no expert");
  return experts;
}

std::vector<NamedModel> chosen_experts(std::vector<NamedModel> models, const ExpertChoice& choice) {
  if (!choice.is_made()) return models;
  std::vector<NamedModel> experts;
  const std::vector<std::string> names = names_of(models);
  for (const std::string& name : chosen_experts(names, choice))
    experts.push_back(*std::ranges::find(models, name, &NamedModel::name));
  return experts;
}

std::vector<std::string> paths_of(std::span<const NamedModel> models) {
  std::vector<std::string> paths;
  for (const NamedModel& model : models) paths.push_back(model.path.string());
  return paths;
}

std::vector<fs::path> demix_ranks_in(const fs::path& folder) {
  static const std::regex kRank("^(.*)-rank-([0-9]{1,6})\\.pt$");
  std::map<std::string, std::map<int, fs::path>> ranks;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::smatch match;
    if (std::regex_match(name, match, kRank))
      ranks[match[1].str()][std::stoi(match[2].str())] = entry->path();
  }
  if (error) throw IoError(folder.string(), "cannot list", error.value());
  if (ranks.empty()) return {};
  const std::string stem = demix_stem(ranks, folder);
  std::vector<fs::path> paths;
  for (const auto& [number, path] : ranks.at(stem)) {
    if (number != static_cast<int>(paths.size()))
      throw FormatError(
          {folder.string(), {}, {}},
          concat("has no ", printable(stem), "-rank-", paths.size(), ".pt beside its other ranks"));
    paths.push_back(path);
  }
  return paths;
}

}  // namespace compat
