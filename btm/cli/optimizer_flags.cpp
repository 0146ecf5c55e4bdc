#include "btm/cli/optimizer_flags.h"

#include "btm/cli/number_flags.h"

namespace btm {

using compat::Flag;
using compat::flag_choice;
using compat::flag_switch;
using compat::flag_text;
using compat::FlagGroup;

FlagGroup optimizer_flags(OptimizationOptions& o) {
  return {
      "Optimizer",
      {
          flag_text("optimizer", "NAME", o.optimizer,
                    "adam, nag, sgd, adagrad, adafactor or adamax"),
          flag_real("weight-decay,wd", "WD", o.weight_decay,
                    "weight decay of every parameter (sgd, adagrad: added to the gradient)"),
          flag_text("adam-betas", "B", o.adam_betas, "Adam's betas"),
          flag_real("adam-eps", "E", o.adam_eps, "Adam's epsilon"),
          flag_real("momentum", "M", o.momentum, "momentum (nag, sgd)", "nag: 0.99, sgd: 0"),
          flag_text("adafactor-eps", "E", o.adafactor_eps,
                    "epsilons for squared gradients and for the scale of weights (adafactor)"),
          flag_real("clip-threshold", "C", o.clip_threshold,
                    "largest root mean square of a parameter's step before the rate (adafactor)"),
          flag_real("decay-rate", "D", o.decay_rate,
                    "exponent of the second moments' decay (adafactor)"),
          flag_real("beta1", "B", o.beta1, "beta of the first moment (adafactor)", "none"),
          flag_switch("scale-parameter", o.scale_parameter,
                      "scale the rate by the weights' root mean square (adafactor)"),
          flag_switch("relative-step", o.relative_step, "refused, as in fairseq (adafactor)"),
          flag_switch("warmup-init", o.warmup_init, "refused, as in fairseq (adafactor)"),
          flag_text("adamax-betas", "B", o.adamax_betas, "betas (adamax)"),
          flag_real("adamax-eps", "E", o.adamax_eps, "epsilon (adamax)"),
          flag_switch("no-bias-correction", o.no_bias_correction,
                      "do not correct the first moment's bias (adamax)"),
      }};
}

FlagGroup schedule_flags(LrScheduleOptions& lr) {
  Flag max_lr = flag_real("max-lr", "LR", lr.max_lr, "rate of the peaks (triangular)", "none");
  return {
      "Learning rate",
      {
          flag_list("lr,learning-rate", "LR1,LR2,...", lr.lr,
                    "learning rate, by epoch where the schedule has epochs"),
          flag_choice("lr-scheduler", lr.lr_scheduler, lr_schedule_names(),
                      "learning rate schedule"),
          flag_integer("warmup-updates", "N", lr.warmup_updates, "updates of linear warm-up", 0,
                       "4000 for inverse_sqrt, otherwise 0"),
          flag_real("warmup-init-lr", "LR", lr.warmup_init_lr,
                    "first rate of the warm-up (inverse_sqrt, cosine, reduce_lr_on_plateau)"),
          flag_real("total-num-update", "N", lr.total_num_update,
                    "updates until the end of the decay (polynomial_decay); 0: --max-update"),
          flag_real("end-learning-rate", "LR", lr.end_learning_rate,
                    "last rate of the decay (polynomial_decay)"),
          flag_real("power", "P", lr.power, "exponent of the decay (polynomial_decay)"),
          flag_integer("force-anneal,fa", "N", lr.force_anneal,
                       "shrink the rate from epoch N on (fixed, polynomial_decay)", 0),
          flag_real("lr-shrink", "F", lr.lr_shrink,
                    "factor of --force-anneal (fixed), of every period (cosine, triangular), or "
                    "after epochs without improvement (reduce_lr_on_plateau)"),
          flag_real("min-lr", "LR", lr.min_lr, "lowest rate (cosine)"),
          flag_real("t-mult", "F", lr.t_mult, "growth of the periods (cosine)"),
          flag_real("lr-period-updates", "N", lr.lr_period_updates,
                    "updates of the first period (cosine), of each (triangular)",
                    "cosine: --max-update, triangular: 5000"),
          std::move(max_lr),
          flag_switch("shrink-min", lr.shrink_min, "also shrink the lowest rate (triangular)"),
          flag_integer("warmup-steps", "N", lr.warmup_steps, "updates of the warm-up (tri_stage)",
                       0),
          flag_integer("hold-steps", "N", lr.hold_steps, "updates at --lr (tri_stage)", 0),
          flag_integer("decay-steps", "N", lr.decay_steps, "updates of the decay (tri_stage)", 0),
          flag_list("phase-ratio", "R1,R2,R3", lr.phase_ratio,
                    "the three stages as shares of --max-update (tri_stage)"),
          flag_real("init-lr-scale", "F", lr.init_lr_scale,
                    "first rate as a share of --lr (tri_stage)"),
          flag_real("final-lr-scale", "F", lr.final_lr_scale,
                    "last rate as a share of --lr (tri_stage)"),
          flag_real("lr-threshold", "F", lr.lr_threshold,
                    "share by which a loss must fall to be an improvement (reduce_lr_on_plateau)"),
          flag_integer("lr-patience", "N", lr.lr_patience,
                       "epochs without improvement before the rate shrinks "
                       "(reduce_lr_on_plateau)",
                       0),
          flag_text("epoch2lr", "DICT", lr.epoch2lr, "rates by epoch (manual)"),
          flag_text("update2lr", "DICT", lr.update2lr, "rates by update (manual)"),
      }};
}

}  // namespace btm
