// All options of a training run. No torch here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "btm/data/domain_tokens.h"
#include "btm/distributed/expert_groups.h"
#include "btm/trainer/lr_schedule.h"

namespace btm {

/// --arch and the flags that replace its values.
struct ModelOptions {
  std::string arch;
  std::optional<std::string> activation_fn;
  std::optional<double> dropout, attention_dropout;
  std::optional<double> activation_dropout;
  double relu_dropout = 0, decoder_layerdrop = 0;
  std::optional<std::int64_t> decoder_embed_dim, decoder_output_dim, decoder_input_dim,
      decoder_ffn_embed_dim, decoder_layers, decoder_attention_heads, max_target_positions;
  std::optional<std::string> adaptive_input_cutoff, adaptive_softmax_cutoff;
  std::optional<double> adaptive_input_factor, adaptive_softmax_factor, adaptive_softmax_dropout;
  bool adaptive_input = false, tie_adaptive_weights = false, tie_adaptive_proj = false;
  bool decoder_normalize_before = false, no_decoder_final_norm = false,
       no_token_positional_embeddings = false, share_decoder_input_output_embed = false,
       decoder_learned_pos = false, layernorm_embedding = false, no_scale_embedding = false,
       checkpoint_activations = false;
  std::int64_t moe_freq = 0, moe_expert_count = 0;
  std::string moe_router = "top2";
};

/// How a mixture of experts is trained.
struct MoeOptions {
  double gate_loss_wt = 0.01;  ///< Of RoutingRecord::balance, BTX's value (arXiv:2403.07816).
  double z_loss_wt = 0;        ///< Of RoutingRecord::z.
  std::string train = "all";   ///< or routers
  std::string freeze_experts;  ///< "0,2", or "all"

  /// Whether the parameter of this name stays as it is.
  bool freezes(const std::string& name) const;
};

struct TaskOptions {
  std::string task = "language_modeling";  ///< or multidomain_language_modeling
  std::string data;                        ///< data-bin folders joined by ':', one per epoch
  std::string sample_break_mode = "none";
  std::int64_t tokens_per_sample = 1024;
  bool add_bos_token = false, pad_to_fixed_length = false, pad_to_fixed_bsz = false;
  std::string dataset_impl;
  // multidomain_language_modeling
  std::string train_domains, eval_domains;  ///< comma separated; empty: all folders of DATA
  bool unbalanced = false;                  ///< all ranks train on the concatenation of the domains
  bool resample_eval = false;  ///< validate on samples drawn with replacement, as the release does
  DomainTokenOptions domain_token;
};

struct DatasetOptions {
  std::string train_subset = "train", valid_subset = "valid";
  std::int64_t batch_size = 0, max_tokens = 0;              ///< of a batch on one rank; 0: no limit
  std::int64_t batch_size_valid = 0, max_tokens_valid = 0;  ///< 0: as in training
  std::int64_t max_valid_steps = 0;                         ///< 0: all
  std::int64_t required_batch_size_multiple = 8;
  std::int64_t curriculum = 0;  ///< the first N epochs are not shuffled
  std::int64_t data_buffer_size = 10;
  bool skip_invalid_size_inputs_valid_test = false;
  bool disable_validation = false;
  std::int64_t validate_interval = 1, validate_interval_updates = 0, validate_after_updates = 0;
  std::optional<std::int64_t> fixed_validation_seed;
};

struct OptimizationOptions {
  std::string criterion = "cross_entropy";  ///< one of criterion_names()
  double label_smoothing = 0;               ///< label_smoothed_cross_entropy
  std::string optimizer = "adam";
  std::string adam_betas = "(0.9, 0.999)";
  double adam_eps = 1e-8, weight_decay = 0;
  std::optional<double> momentum;  ///< nag, sgd
  std::string adamax_betas = "(0.9, 0.999)";
  double adamax_eps = 1e-8;
  bool no_bias_correction = false;               ///< adamax
  std::string adafactor_eps = "(1e-30, 1e-3)";   ///< of squared gradients, and of weights
  double clip_threshold = 1, decay_rate = -0.8;  ///< adafactor
  std::optional<double> beta1;                   ///< adafactor; none: no first moment
  bool scale_parameter = false, relative_step = false, warmup_init = false;  ///< adafactor
  double clip_norm = 0;
  bool sentence_avg = false, skip_remainder_batch = false;
  std::vector<std::int64_t> update_freq{1};    ///< by epoch; the last one stays
  std::int64_t max_epoch = 0, max_update = 0;  ///< 0: no limit
  double stop_time_hours = 0, stop_min_lr = -1;
};

/// --criterion, and the class that optimizer_history names. Each adds its own numbers to the log.
inline constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kCriterions{
    {{"cross_entropy", "CrossEntropyCriterion"},
     {"desynchronized_cross_entropy", "CrossEntropyCriterion"},
     {"adaptive_loss", "AdaptiveLoss"},
     {"label_smoothed_cross_entropy", "LabelSmoothedCrossEntropyCriterion"}}};

/// The file in --save-dir that a training locks. It is never removed.
inline constexpr const char* kTrainLock = ".train.lock";

struct CheckpointOptions {
  std::string save_dir = "checkpoints";
  std::string restore_file = "checkpoint_last.pt";
  std::string finetune_from_model;
  bool reset_dataloader = false, reset_lr_scheduler = false, reset_meters = false,
       reset_optimizer = false;
  std::int64_t save_interval = 1, save_interval_updates = 0;
  std::int64_t keep_interval_updates = -1, keep_interval_updates_pattern = -1,
               keep_last_epochs = -1, keep_best_checkpoints = -1;
  bool no_save = false, no_epoch_checkpoints = false, no_last_checkpoints = false,
       no_save_optimizer_state = false;
  std::string best_checkpoint_metric = "loss";
  bool maximize_best_checkpoint_metric = false;
  std::int64_t patience = -1;
  std::string optimizer_overrides = "{}";  ///< a Python dict of the optimizer's numbers
  std::string checkpoint_suffix;
};

/// The moving average of the weights (btm/trainer/ema.h), with fairseq's names.
struct EmaOptions {
  bool store = false;
  double decay = 0.9999;
  std::int64_t start_update = 0;  ///< The average is a copy of the weights before this update.
  std::string seed_model;         ///< A checkpoint whose average it starts from.
  std::int64_t update_freq = 1;   ///< Updates from one step of the average to the next.
  bool fp32 = false;              ///< Half precision: fp32 copies of the averages.
};

struct CommonOptions {
  std::int64_t seed = 1;
  std::string log_format, log_file;
  std::int64_t log_interval = 100;
  bool no_progress_bar = false;
  std::string tensorboard_logdir, wandb_project;
  bool cpu = false;
  bool fp16 = false, memory_efficient_fp16 = false, fp16_no_flatten_grads = false, bf16 = false,
       memory_efficient_bf16 = false;
  double fp16_init_scale = 128, fp16_scale_tolerance = 0, min_loss_scale = 1e-4;
  std::optional<std::int64_t> fp16_scale_window;
  std::optional<double> threshold_loss_scale;
  std::int64_t num_threads = 0;  ///< 0: all cores this process may use
  bool verbose = false;          ///< The log says which code computes products.
};

struct TrainOptions {
  CommonOptions common;
  TaskOptions task;
  DatasetOptions dataset;
  ModelOptions model;
  OptimizationOptions optimization;
  LrScheduleOptions lr;
  CheckpointOptions checkpoint;
  DemixOptions demix;
  EmaOptions ema;
  MoeOptions moe;
  std::int64_t bucket_cap_mb = 25;  ///< gradients that are summed over the ranks at once

  /// Whether the flags ask for fp16 or bf16.
  bool half() const noexcept { return common.fp16 || common.bf16; }
  bool memory_efficient() const noexcept {
    return common.memory_efficient_fp16 || common.memory_efficient_bf16;
  }
  bool multidomain() const noexcept { return task.task == "multidomain_language_modeling"; }
};

std::vector<std::string> criterion_names();

/// Derives options from others (memory-efficient-fp16 implies fp16, max_update is the schedule's
/// too) and checks them together. UsageError for what fairseq refuses and for what btm does not
/// support.
void complete(TrainOptions& options);

}  // namespace btm
