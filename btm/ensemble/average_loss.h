// The loss of weighted averages of models, on one or several domains. N models, G groups of layers
// (btm/model/layer_group.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "btm/evaluator/eval_data.h"
#include "btm/evaluator/eval_options.h"
#include "btm/model/transformer_lm.h"
#include "btm/model/weights.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/checkpoint/named_models.h"

namespace btm {

struct AverageDataOptions {
  std::string folder;                               ///< A data-bin, or a folder of domains.
  std::string tuning = "valid", held_out = "test";  ///< A domain's set is SPLIT_DOMAIN, or SPLIT.
  std::vector<std::string> domains;                 ///< Empty: all that have both.
  BatchingOptions batching;
  MachineOptions machine;
};

/// The losses of an average on one of the splits.
struct AverageLosses {
  double mean = 0;              ///< Nats per token, averaged over the domains.
  std::vector<double> domains;  ///< Of each domain.
};

class AverageLoss {
 public:
  /// Opens the models and the data. UsageError for models of different networks.
  AverageLoss(const std::vector<compat::NamedModel>& models, const AverageDataOptions& options,
              const std::function<void(const std::string&)>& warn);

  /// The names of the domains; the folder's for a data-bin without domains.
  const std::vector<std::string>& domains() const noexcept { return domains_; }
  std::int64_t layers() const noexcept { return layers_; }
  /// `weights` [G][N]. DivergedModel for scores that are NaN.
  AverageLosses tuning(const std::vector<std::vector<double>>& weights) const {
    return losses(weights, tuning_);
  }
  AverageLosses held_out(const std::vector<std::vector<double>>& weights) const {
    return losses(weights, held_out_);
  }

 private:
  using Sets = std::vector<std::unique_ptr<EvalData>>;
  AverageLosses losses(const std::vector<std::vector<double>>& weights, const Sets& sets) const;
  std::unique_ptr<TransformerLM> average(const std::vector<std::vector<double>>& weights) const;
  void open_sets(const AverageDataOptions& options, std::int64_t positions,
                 const std::function<void(const std::string&)>& warn);

  MachineOptions machine_;
  Precision precision_;
  std::vector<compat::Checkpoint> checkpoints_;
  std::vector<std::unique_ptr<TransformerLM>> models_;
  std::vector<std::string> domains_;
  Sets tuning_, held_out_;
  std::int64_t layers_ = 0;
};

}  // namespace btm
