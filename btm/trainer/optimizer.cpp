#include "btm/trainer/optimizer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>

#include <stdexcept>
#include <utility>

#include "btm/model/tensor_memory.h"
#include "btm/trainer/adafactor.h"
#include "btm/trainer/adam.h"
#include "btm/trainer/elementwise_optimizers.h"
#include "compat/base/concat.h"

namespace btm {
namespace {

using compat::ConfigValue;

double as_number(const ConfigValue& value) {
  if (const auto* real = std::get_if<double>(&value.value)) return *real;
  if (const auto* integer = std::get_if<std::int64_t>(&value.value))
    return static_cast<double>(*integer);
  if (const auto* flag = std::get_if<bool>(&value.value)) return *flag ? 1 : 0;
  return 0;
}

using Make = std::unique_ptr<Optimizer> (*)(const OptimizerKind&, const OptimizationOptions&,
                                            double lr, const FlatParameters&);

template <class T>
std::unique_ptr<Optimizer> make_one(const OptimizerKind& kind, const OptimizationOptions& options,
                                    double lr, const FlatParameters& flat) {
  return std::make_unique<T>(kind, options, lr, flat);
}

constexpr std::pair<std::string_view, Make> kMakers[] = {
    {"adam", make_one<Adam>},     {"nag", make_one<Nag>},
    {"sgd", make_one<Sgd>},       {"adagrad", make_one<Adagrad>},
    {"adamax", make_one<Adamax>}, {"adafactor", make_one<Adafactor>},
};

}  // namespace

std::unique_ptr<Optimizer> Optimizer::make(const OptimizationOptions& options, double lr,
                                           const FlatParameters& flat) {
  const OptimizerKind& kind = optimizer_kind(options.optimizer);
  for (const auto& [name, make] : kMakers)
    if (name == kind.name) return make(kind, options, lr, flat);
  throw std::logic_error(compat::concat("optimizer ", kind.name, " has no maker"));
}

Optimizer::Optimizer(const OptimizerKind& kind, const OptimizationOptions& options, double lr,
                     const FlatParameters& flat)
    : flat_(flat), kind_(&kind), group_(kind.group(options, lr)) {}

void Optimizer::step(const at::Tensor& values, const at::Tensor& gradients, double lr,
                     double scale) {
  const at::NoGradGuard no_grad;
  begin_step(lr);
  update(values, gradients, scale);
}

void Optimizer::begin_step(double lr) {
  ++steps_;
  lr_ = lr;
  begin();
}

void Optimizer::update_part(std::int64_t /*first*/, const at::Tensor& /*values*/,
                            const at::Tensor& /*gradients*/, double /*scale*/) {
  throw std::logic_error(compat::concat("optimizer ", kind_->name, " has no parts"));
}

ConfigValue* Optimizer::option(std::string_view key) noexcept {
  for (auto& [name, value] : group_)
    if (name == key) return &value;
  return nullptr;
}

const ConfigValue& Optimizer::find(std::string_view key) const {
  for (const auto& [name, value] : group_)
    if (name == key) return value;
  throw std::logic_error(compat::concat("optimizer ", kind_->name, " has no option ", key));
}

double Optimizer::number(std::string_view key, std::size_t item) const {
  const ConfigValue& value = find(key);
  const auto* list = std::get_if<ConfigValue::List>(&value.value);
  return as_number(list != nullptr ? list->at(item) : value);
}

at::Tensor Optimizer::new_buffer() const {
  at::Tensor buffer = at::empty_like(flat_.values(), at::kFloat);
  zero_lazily(buffer);
  return buffer;
}

}  // namespace btm
