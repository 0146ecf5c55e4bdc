// The uniform average of experts' parameters, as a model of its own.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "btm/model/transformer_lm.h"
#include "btm/model/weights.h"

namespace btm {

/// A model without weights.
struct AveragedModel {
  std::string name;
  std::unique_ptr<TransformerLM> outline;
};

/// UsageError unless `other` has the parameters and settings of `first`.
void check_same_network(const AveragedModel& first, const AveragedModel& other);

/// Adds up parameters in fp32.
class ParameterSum {
 public:
  /// Every model has the parameters of the first one.
  void add(const TransformerLM& model, double weight);

  /// Gives `model` the sums as its parameters, rounded as `precision` says.
  void assign_to(TransformerLM& model, const Precision& precision) const;

 private:
  std::vector<at::Tensor> sums_;
};

}  // namespace btm
