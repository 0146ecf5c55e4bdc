#include "btm/merge/merge_config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "btm/merge/yaml_text.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/program/flag.h"

namespace btm {
namespace {

using compat::printable;
using Kind = YamlValue::Kind;

/// Where a parameter may stand: of the whole merge only, or of each model too.
enum class Scope : std::uint8_t { kMerge, kModel };
enum class Type : std::uint8_t { kNumber, kCount, kTruth };

struct Parameter {
  std::string_view name;
  Scope scope = Scope::kMerge;
  Type type = Type::kNumber;
  double lowest = std::numeric_limits<double>::lowest();
  double highest = std::numeric_limits<double>::max();
};

constexpr Parameter kWeight{"weight", Scope::kModel};
constexpr Parameter kDensity{"density", Scope::kModel, Type::kNumber, 0, 1};
constexpr Parameter kGamma{"gamma", Scope::kModel, Type::kNumber, 0, 1};
constexpr Parameter kEpsilon{"epsilon", Scope::kModel, Type::kNumber, 0, 1};
constexpr Parameter kNormalize{"normalize", Scope::kMerge, Type::kTruth};
constexpr Parameter kRescale{"rescale", Scope::kMerge, Type::kTruth};
constexpr Parameter kMask{"int8_mask", Scope::kMerge, Type::kTruth};  // memory of mergekit alone
constexpr Parameter kLambda{"lambda"};

/// A parameter of mergekit whose other values are not supported.
constexpr Parameter fixed(std::string_view name, bool value) {
  return {name, Scope::kMerge, Type::kTruth, value ? 1.0 : 0.0, value ? 1.0 : 0.0};
}

struct Method {
  std::string_view name;
  std::vector<Parameter> parameters;
};

const std::vector<Method>& methods() {
  static const std::vector<Method> table{
      {"linear", {kWeight, kNormalize}},
      {"slerp", {{"t"}}},
      {"task_arithmetic", {kWeight, kDensity, kNormalize, kRescale, kLambda, kMask}},
      {"ties", {kWeight, kDensity, kNormalize, kRescale, kLambda, kMask}},
      {"dare_linear", {kWeight, kDensity, kNormalize, kRescale, kLambda, kMask}},
      {"dare_ties", {kWeight, kDensity, kNormalize, kRescale, kLambda, kMask}},
      {"breadcrumbs", {kWeight, kDensity, kGamma, kNormalize, kRescale, kLambda, kMask}},
      {"breadcrumbs_ties", {kWeight, kDensity, kGamma, kNormalize, kRescale, kLambda, kMask}},
      {"della", {kWeight, kDensity, kEpsilon, kNormalize, kRescale, kLambda, kMask}},
      {"della_linear", {kWeight, kDensity, kEpsilon, kNormalize, kRescale, kLambda, kMask}},
      {"nuslerp", {kWeight, fixed("nuslerp_row_wise", false), fixed("nuslerp_flatten", true)}},
      {"multislerp", {kWeight, {"normalize_weights", Scope::kMerge, Type::kTruth}}},
      {"karcher",
       {{"max_iter", Scope::kMerge, Type::kCount, 0, 1e6},
        {"tol", Scope::kMerge, Type::kNumber, 0}}},
      {"model_stock", {fixed("filter_wise", false)}},
      {"sce", {kMask, {"select_topk", Scope::kMerge, Type::kNumber, 0, 1}}},
  };
  return table;
}

/// Reads one file.
class Reader {
 public:
  explicit Reader(const std::string& file) : file_(file) {}

  MergeConfig read(const YamlValue& root) {
    if (root.kind != Kind::kMap) refuse(root, "is no map, expected mergekit's 'merge_method: ...'");
    for (const auto& [key, value] : root.entries) check_key(key, value);
    MergeConfig config;
    config.method = text_of(required(root, "merge_method"), "merge_method");
    method_ = method_of(required(root, "merge_method"), config.method);
    if (const YamlValue* const base = present(root, "base_model"))
      config.base_model = text_of(*base, "base_model");
    for (const std::string_view key : {"dtype", "out_dtype"})
      if (const YamlValue* const dtype = present(root, key)) config.dtype = dtype_of(*dtype, key);
    if (const YamlValue* const parameters = present(root, "parameters"))
      config.parameters = parameters_of(*parameters, Scope::kMerge);
    read_models(required(root, "models"), config);
    return config;
  }

 private:
  [[noreturn]] void refuse(const YamlValue& value, const std::string& problem) const {
    throw compat::FormatError({file_, {}, {}}, compat::concat("line ", value.line, ": ", problem));
  }

  void check_key(const std::string& key, const YamlValue& value) const {
    constexpr std::string_view kKnown[] = {"merge_method", "base_model", "models",
                                           "parameters",   "dtype",      "out_dtype"};
    if (std::ranges::find(kKnown, key) != std::end(kKnown)) return;
    constexpr std::pair<std::string_view, std::string_view> kOthers[] = {
        {"slices",
         "models of single layers are not put together; name whole models under 'models'"},
        {"modules", "a model has one part; name whole models under 'models'"},
        {"tokenizer_source", "all models have the same dictionary, which the result keeps"},
        {"tokenizer", "all models have the same dictionary, which the result keeps"},
        {"chat_template", "the result is a checkpoint without templates"}};
    for (const auto& [name, why] : kOthers)
      if (key == name && value.kind != Kind::kNull)
        refuse(value, compat::concat("'", name, "' is not supported: ", why));
      else if (key == name)
        return;
    refuse(value, "the unknown key '" + printable(key) + "', expected one of " +
                      compat::join(kKnown, ", ", [](std::string_view name) { return name; }));
  }

  const YamlValue* present(const YamlValue& map, std::string_view key) const {
    const YamlValue* const value = map.find(key);
    return value != nullptr && value->kind != Kind::kNull ? value : nullptr;
  }
  const YamlValue& required(const YamlValue& map, std::string_view key) const {
    if (const YamlValue* const value = present(map, key)) return *value;
    refuse(map, compat::concat("no '", key, "'"));
  }
  std::string text_of(const YamlValue& value, std::string_view key) const {
    if (value.kind != Kind::kWord || value.word.empty())
      refuse(value, compat::concat("'", key, "' is no word"));
    return value.word;
  }
  std::string dtype_of(const YamlValue& value, std::string_view key) const {
    std::string name = text_of(value, key);
    for (const std::string_view known : {"float32", "float16", "bfloat16"})
      if (name == known) return name;
    refuse(value, compat::concat("'", key, "' is '", printable(name),
                                 "', expected float32, float16 or bfloat16"));
  }
  const Method* method_of(const YamlValue& value, const std::string& name) const {
    const auto found = std::ranges::find(methods(), name, &Method::name);
    if (found != methods().end()) return &*found;
    refuse(value, "the merge method '" + printable(name) + "', expected one of " +
                      compat::join(methods(), ", ", [](const Method& one) { return one.name; }));
  }

  void read_models(const YamlValue& list, MergeConfig& config) const {
    if (list.kind != Kind::kList || list.items.empty())
      refuse(list, "'models' is no list of models");
    for (const YamlValue& item : list.items) {
      if (item.kind != Kind::kMap) refuse(item, "a model that is no map, expected 'model: PATH'");
      for (const auto& [key, value] : item.entries)
        if (key != "model" && key != "parameters")
          refuse(value, "the unknown key '" + printable(key) + "' of a model");
      MergeConfig::Model model{text_of(required(item, "model"), "model"), {}};
      for (const MergeConfig::Model& other : config.models)
        if (other.path == model.path)
          refuse(item, "the model '" + printable(model.path) + "' for the second time");
      if (const YamlValue* const parameters = present(item, "parameters"))
        model.parameters = parameters_of(*parameters, Scope::kModel);
      config.models.push_back(std::move(model));
    }
  }

  MergeParameters parameters_of(const YamlValue& map, Scope scope) const {
    if (map.kind != Kind::kMap) refuse(map, "'parameters' is no map");
    MergeParameters parameters;
    for (const auto& [name, value] : map.entries) {
      const auto found = std::ranges::find(method_->parameters, name, &Parameter::name);
      if (found == method_->parameters.end())
        refuse(value, compat::concat("the parameter '", printable(name), "', which ", method_->name,
                                     " does not have"));
      if (scope == Scope::kModel && found->scope != Scope::kModel)
        refuse(value, compat::concat("the parameter '", name,
                                     "' of one model, expected it under the file's 'parameters'"));
      parameters.emplace(name,
                         MergeParameter(parts_of(value, *found), found->type == Type::kTruth));
    }
    return parameters;
  }

  std::vector<MergeParameter::Part> parts_of(const YamlValue& value,
                                             const Parameter& parameter) const {
    std::vector<MergeParameter::Part> parts;
    const bool conditions =
        value.kind == Kind::kList && !value.items.empty() && value.items.front().kind == Kind::kMap;
    for (const YamlValue& one :
         conditions ? std::span<const YamlValue>(value.items) : std::span(&value, 1))
      parts.push_back(one.kind == Kind::kMap ? condition_of(one, parameter)
                      : conditions           ? refuse_item(one, parameter)
                                   : MergeParameter::Part{"", values_of(one, parameter), one.line});
    return parts;
  }

  MergeParameter::Part refuse_item(const YamlValue& value, const Parameter& parameter) const {
    refuse(value, compat::concat("'", parameter.name,
                                 "' mixes values and filters, expected all with 'value'"));
  }

  MergeParameter::Part condition_of(const YamlValue& map, const Parameter& parameter) const {
    for (const auto& [key, value] : map.entries)
      if (key != "filter" && key != "value")
        refuse(value, compat::concat("the unknown key '", printable(key), "' of '", parameter.name,
                                     "', expected 'filter' and 'value'"));
    MergeParameter::Part part;
    part.line = map.line;
    if (const YamlValue* const filter = present(map, "filter")) {
      part.filter = text_of(*filter, "filter");
      if (part.filter == "*") part.filter.clear();
    }
    part.values = values_of(required(map, "value"), parameter);
    return part;
  }

  std::vector<double> values_of(const YamlValue& value, const Parameter& parameter) const {
    if (value.kind != Kind::kList) return {value_of(value, parameter)};
    if (parameter.type == Type::kCount)
      refuse(value, compat::concat("'", parameter.name, "' is a list, expected one number"));
    std::vector<double> values;
    for (const YamlValue& item : value.items) values.push_back(value_of(item, parameter));
    return values;
  }

  double value_of(const YamlValue& value, const Parameter& parameter) const {
    const auto expected = [&](const std::string& what) {
      refuse(value, compat::concat("'", parameter.name, "' is ",
                                   value.kind == Kind::kWord ? "'" + printable(value.word) + "'"
                                                             : "no single value",
                                   ", expected ", what));
    };
    if (value.kind != Kind::kWord) expected("a number");
    const bool is_truth = parameter.type == Type::kTruth;
    const std::optional<double> found =
        is_truth ? truth_of(value.word) : number_of(value.word, parameter.type);
    if (!found)
      expected(is_truth                         ? "true or false"
               : parameter.type == Type::kCount ? "a whole number"
                                                : "a number");
    if (*found < parameter.lowest || *found > parameter.highest)
      expected(is_truth ? std::string(parameter.highest > 0 ? "true" : "false")
                        : compat::concat("at least ", compat::general(parameter.lowest),
                                         parameter.highest < 1e300
                                             ? " and at most " + compat::general(parameter.highest)
                                             : ""));
    return *found;
  }

  /// PyYAML's and pydantic's words.
  static std::optional<double> truth_of(std::string word) {
    std::ranges::transform(word, word.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    for (const std::string_view yes : {"true", "yes", "on", "1"})
      if (word == yes) return 1;
    for (const std::string_view no : {"false", "no", "off", "0"})
      if (word == no) return 0;
    return std::nullopt;
  }
  /// A decimal number. YAML 1.1 reads 010 as 8, so such words are none.
  static std::optional<double> number_of(const std::string& word, Type type) {
    const std::string_view digits =
        std::string_view(word).substr(!word.empty() && (word[0] == '-' || word[0] == '+') ? 1 : 0);
    if (digits.size() > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9')
      return std::nullopt;
    try {
      if (type == Type::kCount) return static_cast<double>(compat::parse_integer(word));
      return compat::parse_real(word);
    } catch (const std::exception&) {
      return std::nullopt;
    }
  }

  const std::string& file_;
  const Method* method_ = nullptr;
};

std::optional<double> value_in(const MergeParameters& parameters, std::string_view name,
                               std::string_view tensor, double depth) {
  const auto found = parameters.find(name);
  return found == parameters.end() ? std::nullopt : found->second.at(tensor, depth);
}

}  // namespace

std::optional<double> MergeParameter::at(std::string_view tensor, double depth) const {
  const auto part = std::ranges::find_if(
      parts_, [&](const Part& one) { return tensor.find(one.filter) != std::string_view::npos; });
  if (part == parts_.end() || part->values.empty()) return std::nullopt;
  const std::vector<double>& values = part->values;
  const double place = depth * static_cast<double>(values.size() - 1);
  const auto before = std::min(static_cast<std::size_t>(place), values.size() - 1);
  if (is_truth_) return values[before];
  const double share = place - static_cast<double>(before);
  return (1 - share) * values[before] + share * values[std::min(before + 1, values.size() - 1)];
}

std::optional<double> MergeConfig::of_all(std::string_view name, std::string_view tensor,
                                          double depth) const {
  return value_in(parameters, name, tensor, depth);
}

std::optional<double> MergeConfig::of_model(const Model& model, std::string_view name,
                                            std::string_view tensor, double depth) const {
  const auto own = value_in(model.parameters, name, tensor, depth);
  return own ? own : of_all(name, tensor, depth);
}

std::vector<std::string_view> config_methods() {
  std::vector<std::string_view> names;
  for (const Method& method : methods()) names.push_back(method.name);
  return names;
}

MergeConfig read_merge_config(std::string_view text, const std::string& file) {
  return Reader(file).read(parse_yaml(text, file));
}

}  // namespace btm
