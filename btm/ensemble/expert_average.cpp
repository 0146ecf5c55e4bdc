#include "btm/ensemble/expert_average.h"

#include <ATen/TensorOperators.h>

#include <algorithm>

#include "compat/base/error.h"
#include "compat/base/text.h"

namespace btm {

void check_same_network(const AveragedModel& first, const AveragedModel& other) {
  const auto same = [](const NamedParameter& a, const NamedParameter& b) {
    return a.name == b.name && a.shape == b.shape;
  };
  if (!std::ranges::equal(other.outline->parameters(), first.outline->parameters(), same))
    throw compat::UsageError("the average needs experts of one shape, '" +
                             compat::printable(other.name) + "' has other parameters than '" +
                             compat::printable(first.name) + "'");
  const std::string setting = differing_setting(other.outline->config(), first.outline->config());
  if (!setting.empty())
    throw compat::UsageError("the average needs experts of one network, '" +
                             compat::printable(other.name) + "' is not as '" +
                             compat::printable(first.name) + "': " + setting);
}

void ParameterSum::add(const TransformerLM& model, double weight) {
  const bool first = sums_.empty();
  for (std::size_t i = 0; i < model.parameters().size(); ++i) {
    const at::Tensor term = model.parameters()[i].tensor->to(at::kFloat) * weight;
    if (first)
      sums_.push_back(term);
    else
      sums_[i] += term;
  }
}

void ParameterSum::assign_to(TransformerLM& model, const Precision& precision) const {
  for (std::size_t i = 0; i < sums_.size(); ++i)
    *model.parameters()[i].tensor = sums_[i].to(precision.rounding).to(precision.compute);
}

}  // namespace btm
