#include "btm/trainer/optimizer_kinds.h"

#include <array>
#include <cmath>
#include <utility>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

using compat::ConfigValue;
using compat::UsageError;
using Dict = ConfigValue::Dict;

ConfigValue pair_of(const std::pair<double, double>& numbers) {
  return {ConfigValue::List{{numbers.first}, {numbers.second}}};
}

ConfigValue or_none(const std::optional<double>& number) {
  return number ? ConfigValue{*number} : ConfigValue{};
}

double momentum_of(const OptimizationOptions& o, double fallback) {
  return o.momentum.value_or(fallback);
}

constexpr double kNagMomentum = 0.99, kSgdMomentum = 0;

/// "(0.9, 0.95)" as fairseq writes it.
std::pair<double, double> parse_pair(std::string_view flag, const std::string& text,
                                     const char* expected, bool (*fits)(double)) {
  const ConfigValue value = compat::parse_python_literal(text);
  const auto* list = std::get_if<ConfigValue::List>(&value.value);
  const auto number = [&](std::size_t i) {
    const auto& item = (*list)[i].value;
    const auto* real = std::get_if<double>(&item);
    const auto* integer = std::get_if<std::int64_t>(&item);
    return real != nullptr ? *real : integer != nullptr ? static_cast<double>(*integer) : -1;
  };
  if (list == nullptr || list->size() != 2 || !fits(number(0)) || !fits(number(1)))
    throw UsageError(
        compat::concat("--", flag, " '", compat::printable(text), "', expected ", expected));
  return {number(0), number(1)};
}

std::pair<double, double> betas_of(std::string_view flag, const std::string& text) {
  return parse_pair(flag, text, "two numbers of 0 to 1",
                    [](double beta) { return beta >= 0 && beta < 1; });
}

std::pair<double, double> adafactor_eps_of(const OptimizationOptions& o) {
  return parse_pair("adafactor-eps", o.adafactor_eps, "two numbers of at least 0",
                    [](double eps) { return eps >= 0 && std::isfinite(eps); });
}

/// What torch's own optimizers keep in a group beside their numbers.
void add_torch_switches(Dict& group) {
  for (const char* const key : {"maximize", "differentiable"})
    group.emplace_back(key, ConfigValue{false});
  for (const char* const key : {"foreach", "fused"}) group.emplace_back(key, ConfigValue{});
}

Dict adam_group(const OptimizationOptions& o, double) {
  return {{"betas", pair_of(betas_of("adam-betas", o.adam_betas))},
          {"eps", {o.adam_eps}},
          {"weight_decay", {o.weight_decay}},
          {"amsgrad", {false}}};
}

Dict nag_group(const OptimizationOptions& o, double lr) {
  return {{"lr_old", {lr}},
          {"momentum", {momentum_of(o, kNagMomentum)}},
          {"weight_decay", {o.weight_decay}}};
}

Dict sgd_group(const OptimizationOptions& o, double) {
  Dict group{{"momentum", {momentum_of(o, kSgdMomentum)}},
             {"dampening", {0.0}},
             {"weight_decay", {o.weight_decay}},
             {"nesterov", {false}}};
  add_torch_switches(group);
  return group;
}

Dict adagrad_group(const OptimizationOptions& o, double) {
  Dict group{{"lr_decay", {0.0}},
             {"eps", {1e-10}},
             {"weight_decay", {o.weight_decay}},
             {"initial_accumulator_value", {0.0}}};
  add_torch_switches(group);
  return group;
}

Dict adamax_group(const OptimizationOptions& o, double) {
  return {{"betas", pair_of(betas_of("adamax-betas", o.adamax_betas))},
          {"eps", {o.adamax_eps}},
          {"weight_decay", {o.weight_decay}},
          {"bias_correction", {!o.no_bias_correction}}};
}

Dict adafactor_group(const OptimizationOptions& o, double) {
  return {{"eps", pair_of(adafactor_eps_of(o))},
          {"clip_threshold", {o.clip_threshold}},
          {"decay_rate", {o.decay_rate}},
          {"beta1", or_none(o.beta1)},
          {"weight_decay", {o.weight_decay}},
          {"scale_parameter", {o.scale_parameter}},
          {"relative_step", {false}},
          {"warmup_init", {false}}};
}

constexpr std::array<OptimizerKind, 6> kKinds{{
    {"adam", "FairseqAdam", true, true,
     [](const OptimizationOptions& o) {
       return Dict{{"adam_betas", {o.adam_betas}},     {"adam_eps", {o.adam_eps}},
                   {"weight_decay", {o.weight_decay}}, {"use_old_adam", {false}},
                   {"fp16_adam_stats", {false}},       {"tpu", {false}}};
     },
     adam_group},
    {"nag", "FairseqNAG", true, true,
     [](const OptimizationOptions& o) {
       return Dict{{"momentum", {momentum_of(o, kNagMomentum)}},
                   {"weight_decay", {o.weight_decay}}};
     },
     nag_group},
    {"sgd", "SGD", true, false,
     [](const OptimizationOptions& o) {
       return Dict{{"momentum", {momentum_of(o, kSgdMomentum)}},
                   {"weight_decay", {o.weight_decay}}};
     },
     sgd_group},
    {"adagrad", "Adagrad", false, false,
     [](const OptimizationOptions& o) {
       return Dict{{"weight_decay", {o.weight_decay}}};
     },
     adagrad_group},
    {"adafactor", "FairseqAdafactor", false, true,
     [](const OptimizationOptions& o) {
       return Dict{{"adafactor_eps", {o.adafactor_eps}}, {"clip_threshold", {o.clip_threshold}},
                   {"decay_rate", {o.decay_rate}},       {"beta1", or_none(o.beta1)},
                   {"weight_decay", {o.weight_decay}},   {"scale_parameter", {o.scale_parameter}},
                   {"relative_step", {false}},           {"warmup_init", {false}}};
     },
     adafactor_group},
    {"adamax", "FairseqAdamax", true, true,
     [](const OptimizationOptions& o) {
       return Dict{{"adamax_betas", {o.adamax_betas}},
                   {"adamax_eps", {o.adamax_eps}},
                   {"weight_decay", {o.weight_decay}},
                   {"no_bias_correction", {o.no_bias_correction}}};
     },
     adamax_group},
}};

/// fairseq's other optimizers, and why they are not here.
struct Missing {
  std::string_view name, reason;
};
constexpr std::array<Missing, 4> kMissing{
    {{"adadelta", "Adadelta's update is missing"},
     {"composite", "groups of parameters with optimizers of their own are missing"},
     {"cpu_adam", "it is DeepSpeed's Adam, whose numbers adam has"},
     {"lamb", "it is apex's FusedLAMB, whose update is missing"}}};

}  // namespace

const OptimizerKind& optimizer_kind(const std::string& name) {
  std::string supported;
  for (const OptimizerKind& kind : kKinds) {
    if (kind.name == name) return kind;
    compat::append_item(supported, std::string(kind.name));
  }
  std::string reason;
  for (const Missing& row : kMissing)
    if (row.name == name) reason = compat::concat(": ", row.reason);
  throw UsageError(compat::concat("--optimizer '", compat::printable(name), "' is not supported",
                                  reason, " (supported: ", supported, ")"));
}

const OptimizerKind* optimizer_of_class(std::string_view class_name) {
  for (const OptimizerKind& kind : kKinds)
    if (kind.class_name == class_name) return &kind;
  return nullptr;
}

void check_optimizer(const TrainOptions& options) {
  const OptimizationOptions& o = options.optimization;
  const OptimizerKind& kind = optimizer_kind(o.optimizer);
  kind.group(o, 0);  // reads the flags that hold two numbers
  const auto require = [&](bool ok, const std::string& problem) {
    if (!ok) throw UsageError(compat::concat("--optimizer ", kind.name, ' ', problem));
  };
  require(kind.memory_efficient || !options.memory_efficient(),
          "cannot work without fp32 copies of the weights: --fp16 or --bf16 in place of "
          "--memory-efficient-...");
  require(kind.flat || !options.common.fp16 || options.common.fp16_no_flatten_grads ||
              options.memory_efficient(),
          "with --fp16 needs --fp16-no-flatten-grads, as in fairseq");
  // fairseq 0.12.2 refuses them, because its --lr always has a value.
  require(!o.relative_step && !o.warmup_init,
          "takes its rate from --lr: --relative-step and --warmup-init are refused, as in fairseq");
  require(o.optimizer != "adafactor" || o.clip_threshold > 0, "needs a --clip-threshold above 0");
  require(!o.momentum || *o.momentum >= 0, "needs a --momentum of at least 0");
  require(!o.beta1 || (*o.beta1 >= 0 && *o.beta1 < 1), "needs a --beta1 of 0 to 1");
  // fairseq multiplies the rate in force once more for every parameter, and nothing sets it again.
  const std::string& schedule = options.lr.lr_scheduler;
  require(!o.scale_parameter || (schedule != "reduce_lr_on_plateau" && schedule != "manual"),
          "--scale-parameter needs a schedule that sets the rate at every update");
}

compat::ConfigValue::Dict optimizer_config(const OptimizationOptions& options) {
  const OptimizerKind& kind = optimizer_kind(options.optimizer);
  Dict config{{"_name", {std::string(kind.name)}}};
  for (auto& item : kind.config(options)) config.push_back(std::move(item));
  return config;
}

}  // namespace btm
