// The models and the text codec of the commands that take text: score, weigh, generate, serve.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "btm/cli/mixture_flags.h"
#include "btm/ensemble/load_predictor.h"
#include "btm/evaluator/eval_options.h"
#include "btm/mixing/predictor.h"
#include "compat/checkpoint/named_models.h"
#include "compat/program/program.h"
#include "compat/tokenizer/find_tokenizer.h"
#include "compat/tokenizer/text_codec.h"

namespace btm {

struct TextModelOptions {
  std::string models;                  ///< MODELS, joined by ':'.
  compat::ExpertChoice choice;         ///< Which of them.
  std::string model_overrides = "{}";  ///< Python literal
  std::string data;                    ///< The folder of dict.txt; "": beside the model.
  compat::TokenizerOptions tokenizer = {compat::kFoundTokenizer, {}, {}, {}};
  MixtureOptions mixture;
  MixtureNames names;
  MachineOptions machine;
};

/// MODELS, the first argument of these commands.
compat::Positional models_argument(TextModelOptions& options);
/// Their flags: which experts, data and tokenizer, ensemble, cluster prior (with
/// --cluster-temperature), machine.
std::vector<compat::FlagGroup> text_model_flags(TextModelOptions& options);

/// Models that are open, but not loaded.
struct FoundModels {
  std::vector<compat::NamedModel> experts;  ///< [E]
  std::vector<OpenedModel> checkpoints;     ///< [E] with --model-overrides
  compat::Dictionary dictionary;
  std::string dictionary_file;
  std::vector<std::string> names() const;
  /// The same with the experts `kept` alone.
  FoundModels only(std::span<const std::size_t> kept) const;
};

/// Resolves MODELS, opens them and finds their dictionary: dict.txt in --data, else beside each
/// model, in the folder above, or in the folder of data that a checkpoint names. UsageError where
/// there is none; FormatError, with the first word that differs, where experts have different
/// dictionaries.
FoundModels find_models(const TextModelOptions& options,
                        const std::function<void(const std::string& line)>& warn);

/// The tokenizer that the flags name or that lies beside the dictionary or a model.
compat::FoundTokenizer tokenizer_of(const TextModelOptions& options, const FoundModels& found);

/// The codec of the models, with tokenizer_of().
compat::TextCodec codec_of(const TextModelOptions& options, const FoundModels& found);

/// The flags' mixture: one model alone needs none; several without --ensemble-type are a
/// simple_average.
MixtureOptions mixture_of(const TextModelOptions& options, const FoundModels& found);

/// What a user should know of the mixture that no flag chose; "" for a chosen one, or one model.
std::string mixture_note(const TextModelOptions& options, const FoundModels& found);

/// The predictor on the flags' machine. `found` outlives it.
std::unique_ptr<Predictor> predictor_of(const TextModelOptions& options, const FoundModels& found,
                                        const MixtureOptions& mixture, const PredictorRoom& room);

}  // namespace btm
