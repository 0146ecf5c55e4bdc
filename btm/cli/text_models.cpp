#include "btm/cli/text_models.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "btm/cli/eval_flags.h"
#include "btm/evaluator/load_scorer.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/fairseq/dictionary_digest.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

/// Of several models, where no flag says how they are mixed.
constexpr EnsembleType kUsualMixture = EnsembleType::kSimpleAverage;

/// The folder of a model: that of its file, or a Hugging Face folder itself.
fs::path folder_of(const compat::NamedModel& model) {
  std::error_code unknown;
  const fs::path path = fs::absolute(model.path, unknown).lexically_normal();
  return model.kind == compat::ModelKind::kHuggingFace ? path : path.parent_path();
}

bool is_file(const fs::path& path) {
  std::error_code unknown;
  return fs::is_regular_file(path, unknown);
}

/// dict.txt beside a model or in the folder above; in the data-bin of a run (btm run) whose seed or
/// forest it is; or where its checkpoint says that its data lie.
std::optional<fs::path> dictionary_beside(
    const compat::NamedModel& model, const std::function<const compat::Checkpoint&()>& opened) {
  const fs::path folder = folder_of(model);
  const fs::path above = folder.parent_path();
  for (const fs::path& place :
       {folder, above, above / "data-bin", above.parent_path() / "data-bin"})
    if (is_file(place / "dict.txt")) return place / "dict.txt";
  const fs::path trained_on = opened().dictionary().dict_txt;
  if (!trained_on.empty() && is_file(trained_on)) return trained_on;
  return std::nullopt;
}

/// The dictionary of all experts. Each of them has one, or the first one's.
fs::path common_dictionary(
    const FoundModels& models,
    const std::function<const compat::Checkpoint&(std::size_t expert)>& opened) {
  std::optional<fs::path> first;
  for (std::size_t e = 0; e < models.experts.size(); ++e) {
    const std::optional<fs::path> found = dictionary_beside(
        models.experts[e], [&]() -> const auto& { return opened(e); });
    if (!found) continue;
    if (!first)
      first = found;
    else if (*first != *found)
      compat::check_same_dictionary(compat::known_dictionary(*found),
                                    compat::known_dictionary(*first));
  }
  if (!first)
    throw compat::UsageError(compat::printable(models.experts.front().path.string(), 4096) +
                             ": no dict.txt lies beside it, expected --data FOLDER with the "
                             "model's dict.txt");
  return *first;
}

}  // namespace

compat::Positional models_argument(TextModelOptions& options) {
  return {"MODELS", "a model, several joined by ':', or a forest", &options.models};
}

std::vector<compat::FlagGroup> text_model_flags(TextModelOptions& options) {
  compat::FlagGroup data{"Data",
                         {compat::flag_text("data", "FOLDER", options.data,
                                            "the folder of dict.txt (default: beside the model)"),
                          compat::flag_text("model-overrides", "DICT", options.model_overrides,
                                            "a Python dict of cfg values to replace")}};
  return {{"Experts", choice_flags(options.choice)},
          data,
          compat::tokenizer_flags(options.tokenizer),
          mixture_flags(options.mixture, options.names, kUsualMixture),
          cluster_prior_flags(options.mixture.cluster, "cluster-temperature"),
          machine_flags(options.machine)};
}

std::vector<std::string> FoundModels::names() const {
  std::vector<std::string> all;
  for (const compat::NamedModel& expert : experts) all.push_back(expert.name);
  return all;
}

FoundModels FoundModels::only(std::span<const std::size_t> kept) const {
  FoundModels some{{}, {}, dictionary, dictionary_file};
  for (const std::size_t e : kept) {
    some.experts.push_back(experts[e]);
    some.checkpoints.push_back(checkpoints[e]);
  }
  return some;
}

FoundModels find_models(const TextModelOptions& options,
                        const std::function<void(const std::string& line)>& warn) {
  FoundModels found;
  found.experts =
      compat::chosen_experts(compat::resolve_models(options.models, warn), options.choice);
  if (found.experts.empty()) throw compat::UsageError("MODELS is empty, expected a model");
  found.checkpoints.resize(found.experts.size());
  const auto opened = [&](std::size_t e) -> const compat::Checkpoint& {
    if (found.checkpoints[e] == nullptr)
      found.checkpoints[e] = std::make_shared<const compat::Checkpoint>(
          open_model(found.experts[e].path.string(), options.model_overrides));
    return *found.checkpoints[e];
  };
  const fs::path file =
      options.data.empty() ? common_dictionary(found, opened) : fs::path(options.data) / "dict.txt";
  for (std::size_t e = 0; e < found.experts.size(); ++e) opened(e);
  found.dictionary = compat::Dictionary::load(file);
  found.dictionary_file = file.string();
  return found;
}

compat::FoundTokenizer tokenizer_of(const TextModelOptions& options, const FoundModels& found) {
  std::error_code unknown;
  const fs::path data =
      fs::absolute(found.dictionary_file, unknown).lexically_normal().parent_path();
  std::vector<fs::path> folders{data, data.parent_path(), data.parent_path() / "tokeniser"};
  for (const compat::NamedModel& expert : found.experts) {
    const fs::path folder = folder_of(expert);
    for (const fs::path& beside : {folder, folder.parent_path()})
      if (std::ranges::find(folders, beside) == folders.end()) folders.push_back(beside);
  }
  return compat::find_tokenizer(options.tokenizer, found.dictionary, found.dictionary_file,
                                folders);
}

compat::TextCodec codec_of(const TextModelOptions& options, const FoundModels& found) {
  compat::FoundTokenizer tokenizer = tokenizer_of(options, found);
  return {found.dictionary, found.dictionary_file, std::move(tokenizer.tokenizer), tokenizer.file};
}

MixtureOptions mixture_of(const TextModelOptions& options, const FoundModels& found) {
  MixtureOptions mixture = options.mixture;
  set_mixture(mixture, options.names, kUsualMixture);
  if (!depends_on_text(mixture.ensemble_type)) return mixture;
  set_cluster_origins(mixture, found.experts);
  mixture.cluster.encoder_json = tokenizer_of(options, found).options.gpt2_encoder_json;
  return mixture;
}

std::string mixture_note(const TextModelOptions& options, const FoundModels& found) {
  if (found.experts.size() < 2 || !options.names.ensemble_type.empty()) return {};
  return compat::concat(
      "all ", found.experts.size(), " models count the same (", name_of(kUsualMixture),
      "); --ensemble-type uniform_prior --posterior full weighs them by the text");
}

std::unique_ptr<Predictor> predictor_of(const TextModelOptions& options, const FoundModels& found,
                                        const MixtureOptions& mixture, const PredictorRoom& room) {
  return load_predictor(found.checkpoints, make_posterior(mixture, found.experts, found.dictionary),
                        options.machine, found.dictionary, found.dictionary_file, room);
}

}  // namespace btm
