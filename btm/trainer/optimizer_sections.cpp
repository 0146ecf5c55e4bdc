#include "btm/trainer/optimizer_sections.h"

#include <optional>
#include <string>

#include "btm/trainer/config_section.h"
#include "btm/trainer/optimizer_kinds.h"

namespace btm {

void set_optimizer(compat::ConfigValue& root, const TrainOptions& options) {
  ConfigSection section(root, "optimizer");
  for (const auto& [key, value] : optimizer_config(options.optimization)) section.set(key, value);
  section.set("lr", options.lr.lr);
}

void set_criterion(compat::ConfigValue& root, const TrainOptions& options) {
  ConfigSection section(root, "criterion");
  section.set("_name", options.optimization.criterion);
  section.set("sentence_avg", options.optimization.sentence_avg);
  if (options.optimization.criterion == "label_smoothed_cross_entropy") {
    section.set("label_smoothing", options.optimization.label_smoothing);
    section.set("report_accuracy", false);
    section.set("ignore_prefix_size", std::int64_t{0});
  }
  // fairseq's adaptive_loss asks for it.
  if (options.optimization.criterion == "adaptive_loss")
    section.set("ddp_backend", std::string("legacy_ddp"));
}

void set_lr_scheduler(compat::ConfigValue& root, const TrainOptions& options) {
  const LrScheduleOptions& o = options.lr;
  ConfigSection section(root, "lr_scheduler");
  const auto is = [&](auto... names) { return ((o.lr_scheduler == names) || ...); };
  section.set("_name", o.lr_scheduler);
  if (is("fixed", "polynomial_decay", "inverse_sqrt", "cosine", "reduce_lr_on_plateau"))
    section.set("warmup_updates", warmup_updates_of(o));
  if (is("fixed", "polynomial_decay"))
    section.set("force_anneal", o.force_anneal > 0 ? std::optional(o.force_anneal) : std::nullopt);
  if (is("inverse_sqrt", "cosine", "reduce_lr_on_plateau"))
    section.set("warmup_init_lr", o.warmup_init_lr);
  if (is("fixed", "cosine", "triangular", "reduce_lr_on_plateau"))
    section.set("lr_shrink", o.lr_shrink);
  if (is("polynomial_decay")) {
    section.set("end_learning_rate", o.end_learning_rate);
    section.set("power", o.power);
    section.set("total_num_update",
                o.total_num_update > 0 ? o.total_num_update : static_cast<double>(o.max_update));
  }
  if (is("cosine")) {
    section.set("min_lr", o.min_lr);
    section.set("t_mult", o.t_mult);
  }
  if (is("cosine", "triangular")) section.set("lr_period_updates", lr_period_of(o));
  if (is("cosine", "tri_stage")) section.set("max_update", o.max_update);
  if (is("tri_stage")) {
    section.set("warmup_steps", o.warmup_steps);
    section.set("hold_steps", o.hold_steps);
    section.set("decay_steps", o.decay_steps);
    section.set("phase_ratio", o.phase_ratio.empty() ? std::nullopt : std::optional(o.phase_ratio));
    section.set("init_lr_scale", o.init_lr_scale);
    section.set("final_lr_scale", o.final_lr_scale);
  }
  if (is("triangular")) {
    section.set("max_lr", o.max_lr);
    section.set("shrink_min", o.shrink_min);
  }
  if (is("reduce_lr_on_plateau")) {
    section.set("lr_threshold", o.lr_threshold);
    section.set("lr_patience", o.lr_patience);
    section.set("maximize_best_checkpoint_metric", o.maximize_metric);
  }
  if (is("manual")) {
    section.set("epoch2lr", o.epoch2lr);
    section.set("update2lr", o.update2lr);
  }
  section.set("lr", o.lr);
}

}  // namespace btm
