#include "btm/cli/train_flags.h"

#include "btm/cli/distributed_flags.h"
#include "btm/cli/ema_flags.h"
#include "btm/cli/eval_flags.h"
#include "btm/cli/foreign_train_flags.h"
#include "btm/cli/moe_flags.h"
#include "btm/cli/number_flags.h"
#include "btm/cli/optimizer_flags.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/checkpoint/named_models.h"
#include "compat/fairseq/config.h"

namespace btm {
namespace {

using compat::Flag;
using compat::flag_choice;
using compat::flag_switch;
using compat::flag_text;
using compat::FlagGroup;
using compat::ForeignFlag;
using compat::parse_integer;
using compat::parse_real;
using compat::UsageError;

FlagGroup task_flags(TrainOptions& o) {
  FlagGroup group{
      "Data",
      {
          flag_choice("task", o.task.task, {"language_modeling", "multidomain_language_modeling"},
                      "what DATA is: one data-bin, or a folder of domains"),
          flag_text("train-subset", "SPLIT", o.dataset.train_subset, "the split to train on"),
          flag_text("valid-subset", "LIST", o.dataset.valid_subset,
                    "comma-separated splits to validate on"),
          flag_text("train-domains", "LIST", o.task.train_domains,
                    "comma-separated domains to train on (multidomain; default: all)"),
          flag_text("eval-domains", "LIST", o.task.eval_domains,
                    "comma-separated domains to validate on (multidomain; default: all)"),
          flag_switch("unbalanced", o.task.unbalanced,
                      "train on the concatenation of the domains (multidomain)"),
          flag_switch(
              "resample-eval", o.task.resample_eval,
              "validate on samples drawn with replacement, as the release does (multidomain)"),
          flag_text("sample-break-mode", "MODE", o.task.sample_break_mode,
                    "none, eos, complete or complete_doc"),
          flag_integer("tokens-per-sample", "N", o.task.tokens_per_sample, "tokens in a sample", 1),
          flag_switch("add-bos-token", o.task.add_bos_token, "begin every sample with <s>"),
          flag_integer("batch-size,max-sentences", "N", o.dataset.batch_size,
                       "samples in a batch of one rank; 0: no limit", 0),
          flag_integer("max-tokens", "N", o.dataset.max_tokens,
                       "tokens in a batch of one rank, padding included; 0: no limit", 0),
          flag_integer("batch-size-valid,max-sentences-valid", "N", o.dataset.batch_size_valid,
                       "the same in validation", 0, "as in training"),
          flag_integer("max-tokens-valid", "N", o.dataset.max_tokens_valid,
                       "the same in validation", 0, "as in training"),
          flag_integer("required-batch-size-multiple", "N", o.dataset.required_batch_size_multiple,
                       "batches are cut at multiples of N samples", 1),
          flag_switch("skip-invalid-size-inputs-valid-test",
                      o.dataset.skip_invalid_size_inputs_valid_test,
                      "leave out validation samples that are too long"),
          flag_switch("pad-to-fixed-length", o.task.pad_to_fixed_length,
                      "pad every sample to --tokens-per-sample"),
          flag_switch("pad-to-fixed-bsz", o.task.pad_to_fixed_bsz,
                      "pad every batch to --batch-size"),
          flag_integer("curriculum", "N", o.dataset.curriculum, "do not shuffle the first N epochs",
                       0),
          flag_text("dataset-impl", "IMPL", o.task.dataset_impl,
                    "require raw, lazy, cached, mmap, huffman or zst (default: any)"),
          flag_integer("data-buffer-size", "N", o.dataset.data_buffer_size,
                       "updates whose batches are prepared in advance", 0),
      }};
  for (Flag& flag : domain_token_flags(o.task.domain_token)) group.flags.push_back(std::move(flag));
  return group;
}

FlagGroup model_flags(TrainOptions& options) {
  ModelOptions& o = options.model;
  Flag activation{
      "activation-fn", "FN", "relu, relu_squared, gelu, gelu_fast, gelu_accurate, tanh or linear",
      "the architecture's", [&o](const std::string& value) { o.activation_fn = value; }};
  return {
      "Model",
      {
          flag_text("arch,a", "ARCH", o.arch,
                    "transformer_lm, transformer_lm_gpt3_small, _medium, _large, _xl, ..."),
          flag_integer("decoder-layers", o.decoder_layers, "layers"),
          flag_integer("decoder-embed-dim", o.decoder_embed_dim, "width"),
          flag_integer("decoder-ffn-embed-dim", o.decoder_ffn_embed_dim,
                       "width of the feed-forward layers"),
          flag_integer("decoder-attention-heads", o.decoder_attention_heads, "attention heads"),
          flag_integer("decoder-input-dim", o.decoder_input_dim,
                       "width of the input embedding (gpt3 architectures: always the width)"),
          flag_integer("decoder-output-dim", o.decoder_output_dim,
                       "width of the output embedding (gpt3 architectures: always the width)"),
          flag_integer("max-target-positions", o.max_target_positions, "positions of the model",
                       "--tokens-per-sample"),
          std::move(activation),
          flag_real("dropout", "P", o.dropout, "dropout on embeddings and sub-layers"),
          flag_real("attention-dropout", "P", o.attention_dropout, "dropout on attention weights"),
          flag_probability("activation-dropout", o.activation_dropout,
                           "dropout after the activation function"),
          flag_probability("relu-dropout", o.relu_dropout, "an older name of --activation-dropout"),
          flag_probability("decoder-layerdrop", o.decoder_layerdrop,
                           "leave out layers with this probability"),
          flag_switch("decoder-normalize-before", o.decoder_normalize_before,
                      "layer norms before the sub-layers"),
          flag_switch("no-decoder-final-norm", o.no_decoder_final_norm,
                      "no layer norm after the last layer"),
          flag_switch("no-token-positional-embeddings", o.no_token_positional_embeddings,
                      "no positional embeddings"),
          flag_switch("share-decoder-input-output-embed", o.share_decoder_input_output_embed,
                      "tie the output to the input embedding"),
          flag_switch("decoder-learned-pos", o.decoder_learned_pos,
                      "learned positional embeddings"),
          flag_switch("layernorm-embedding", o.layernorm_embedding,
                      "a layer norm after the embedding"),
          flag_switch("no-scale-embedding", o.no_scale_embedding,
                      "do not scale embeddings by the root of the width"),
          flag_switch("checkpoint-activations", o.checkpoint_activations,
                      "keep only layer inputs and compute layers twice, to save memory"),
      }};
}

FlagGroup adaptive_flags(ModelOptions& o) {
  return {"Adaptive inputs and adaptive softmax",
          {
              flag_switch("adaptive-input", o.adaptive_input,
                          "narrower input embeddings for rarer words, in bands"),
              flag_given("adaptive-input-cutoff", "N1,N2,...", o.adaptive_input_cutoff,
                         "where the bands of the input's vocabulary end"),
              flag_real("adaptive-input-factor", "F", o.adaptive_input_factor,
                        "each band is narrower by this factor"),
              flag_given("adaptive-softmax-cutoff", "N1,N2,...", o.adaptive_softmax_cutoff,
                         "adaptive softmax: where the bands of the output's vocabulary end"),
              flag_real("adaptive-softmax-factor", "F", o.adaptive_softmax_factor,
                        "each band is narrower by this factor"),
              flag_real("adaptive-softmax-dropout", "P", o.adaptive_softmax_dropout,
                        "dropout on features and within bands (adaptive softmax)"),
              flag_switch("tie-adaptive-weights", o.tie_adaptive_weights,
                          "adaptive softmax shares the input's embeddings"),
              flag_switch("tie-adaptive-proj", o.tie_adaptive_proj,
                          "adaptive softmax also shares the input's projections"),
          }};
}

FlagGroup optimization_flags(TrainOptions& options) {
  OptimizationOptions& o = options.optimization;
  return {
      "Optimization",
      {
          flag_choice("criterion", o.criterion, criterion_names(),
                      "the loss; desynchronized_... also logs it by domain, adaptive_loss is that "
                      "of adaptive softmax"),
          flag_real("clip-norm", "NORM", o.clip_norm,
                    "clip the gradient's norm to this; 0: do not clip"),
          flag_probability("label-smoothing", o.label_smoothing,
                           "share of the probability that goes to all words alike "
                           "(label_smoothed_cross_entropy)"),
          flag_switch("sentence-avg", o.sentence_avg, "average gradients over samples, not tokens"),
          flag_list("update-freq", "N1,N2,...", o.update_freq, "batches per update, by epoch"),
          flag_integer("max-epoch", "N", o.max_epoch, "stop after epoch N; 0: no limit"),
          flag_integer("max-update", "N", o.max_update, "stop after update N; 0: no limit"),
          flag_real("stop-time-hours", "H", o.stop_time_hours,
                    "stop after H hours, earlier runs included; 0: no limit"),
          flag_real("stop-min-lr", "LR", o.stop_min_lr, "stop when the rate has fallen to this"),
          flag_switch("skip-remainder-batch", o.skip_remainder_batch,
                      "leave out an epoch's last batch"),
          flag_integer("seed", "N", options.common.seed,
                       "seed of initial weights, data order and dropout"),
      }};
}

FlagGroup saving_flags(TrainOptions& options) {
  CheckpointOptions& o = options.checkpoint;
  DatasetOptions& dataset = options.dataset;
  return {
      "Validation and checkpoints",
      {
          flag_text("save-dir", "DIR", o.save_dir, "folder of the checkpoints"),
          flag_text("restore-file", "MODEL", o.restore_file, "checkpoint to resume from"),
          flag_text("finetune-from-model", "MODEL", o.finetune_from_model,
                    "weights to start from, with everything else reset, unless DIR has a "
                    "checkpoint_last"),
          flag_switch("reset-dataloader", o.reset_dataloader, "start the data anew"),
          flag_switch("reset-lr-scheduler", o.reset_lr_scheduler,
                      "start the schedule's state anew"),
          flag_switch("reset-meters", o.reset_meters, "start the meters anew"),
          flag_switch("reset-optimizer", o.reset_optimizer,
                      "start the optimizer and the update count anew"),
          flag_text("optimizer-overrides", "DICT", o.optimizer_overrides,
                    "a Python dict of the optimizer's numbers (eps, weight_decay, momentum, ...) "
                    "in place of "
                    "the checkpoint's"),
          flag_integer("save-interval", "N", o.save_interval, "save every N epochs", 1),
          flag_integer("save-interval-updates", "N", o.save_interval_updates,
                       "validate and save every N updates; 0: never"),
          flag_integer("keep-interval-updates", "N", o.keep_interval_updates,
                       "keep the last N checkpoints of --save-interval-updates; -1: all"),
          flag_integer("keep-interval-updates-pattern", "N", o.keep_interval_updates_pattern,
                       "also keep those whose update is a multiple of N"),
          flag_integer("keep-last-epochs", "N", o.keep_last_epochs,
                       "keep the last N epochs' checkpoints; -1: all"),
          flag_integer("keep-best-checkpoints", "N", o.keep_best_checkpoints,
                       "keep the N best checkpoints"),
          flag_switch("no-save", o.no_save, "save nothing"),
          flag_switch("no-epoch-checkpoints", o.no_epoch_checkpoints,
                      "only checkpoint_last and checkpoint_best at the end of an epoch"),
          flag_switch("no-last-checkpoints", o.no_last_checkpoints, "save no checkpoint_last"),
          flag_switch("no-save-optimizer-state", o.no_save_optimizer_state,
                      "save checkpoints without the optimizer's state"),
          flag_text("best-checkpoint-metric", "NAME", o.best_checkpoint_metric,
                    "the number by which the best checkpoint is chosen"),
          flag_switch("maximize-best-checkpoint-metric", o.maximize_best_checkpoint_metric,
                      "a larger number is better"),
          flag_integer("patience", "N", o.patience,
                       "stop after N validations without improvement; -1: never"),
          flag_text("checkpoint-suffix", "TEXT", o.checkpoint_suffix, "added to the file names"),
          flag_integer("validate-interval", "N", dataset.validate_interval,
                       "validate every N epochs", 1),
          flag_integer("validate-interval-updates", "N", dataset.validate_interval_updates,
                       "validate every N updates; 0: not"),
          flag_integer("validate-after-updates", "N", dataset.validate_after_updates,
                       "not before update N"),
          flag_integer("max-valid-steps", "N", dataset.max_valid_steps,
                       "validate on N + 1 batches only; 0: all", 0),
          flag_switch("disable-validation", dataset.disable_validation, "do not validate"),
          flag_integer("fixed-validation-seed", dataset.fixed_validation_seed,
                       "without effect on a language model", "none"),
      }};
}

FlagGroup precision_flags(TrainOptions& options) {
  CommonOptions& o = options.common;
  Flag threshold{"threshold-loss-scale", "X", "the loss scale does not fall below X", "none",
                 [&o](const std::string& value) { o.threshold_loss_scale = parse_real(value); }};
  return {
      "Precision and machine",
      {
          flag_switch("fp16", o.fp16,
                      "half precision with loss scaling (on a CPU: values rounded to it, "
                      "arithmetic in fp32)"),
          flag_switch("memory-efficient-fp16", o.memory_efficient_fp16,
                      "the same without fp32 copies of the weights"),
          flag_switch(
              "bf16", o.bf16,
              "the same in bfloat16 (on a CPU: factors of products rounded to it, sums in fp32)"),
          flag_switch("memory-efficient-bf16", o.memory_efficient_bf16,
                      "the same without fp32 copies of the weights"),
          flag_switch("fp16-no-flatten-grads", o.fp16_no_flatten_grads,
                      "save fp16's optimizer state per parameter"),
          flag_real("fp16-init-scale", "X", o.fp16_init_scale, "first loss scale"),
          flag_integer("fp16-scale-window", o.fp16_scale_window,
                       "updates without overflow before the scale is doubled",
                       "16384 / ranks / update-freq"),
          flag_real("fp16-scale-tolerance", "X", o.fp16_scale_tolerance,
                    "share of overflows to tolerate"),
          flag_real("min-loss-scale", "X", o.min_loss_scale, "end the run when the scale is X"),
          std::move(threshold),
          flag_switch("cpu", o.cpu, "do not use a GPU"),
          flag_integer("num-threads", "N", o.num_threads, "threads; 0: all cores", 0),
          verbose_flag(o.verbose),
      }};
}

FlagGroup report_flags(TrainOptions& options) {
  CommonOptions& o = options.common;
  return {
      "Reporting",
      {
          flag_choice("log-format", o.log_format, {"json", "none", "simple", "tqdm"},
                      "progress: a bar on a terminal (tqdm), or lines"),
          flag_integer("log-interval", "N", o.log_interval, "updates between lines of progress", 1),
          flag_text("log-file", "FILE", o.log_file, "also append the log to FILE"),
          flag_switch("no-progress-bar", o.no_progress_bar, "print lines even on a terminal"),
          flag_text("tensorboard-logdir", "DIR", o.tensorboard_logdir, "for TensorBoard's events"),
          flag_text(
              "wandb-project", "NAME", o.wandb_project,
              "record the numbers in SAVE_DIR/wandb.jsonl, to be uploaded with wandb's own client"),
      }};
}

/// The flags as groups for --help, each over a field of `options`.
std::vector<FlagGroup> train_flags(TrainOptions& options) {
  return {task_flags(options),
          model_flags(options),
          adaptive_flags(options.model),
          optimization_flags(options),
          optimizer_flags(options.optimization),
          schedule_flags(options.lr),
          saving_flags(options),
          ema_flags(options.ema),
          precision_flags(options),
          moe_flags(options),
          demix_flags(options),
          report_flags(options)};
}

}  // namespace

compat::CommandSpec train_spec(TrainOptions& options, DistributedOptions& distributed) {
  std::vector<FlagGroup> groups = train_flags(options);
  groups.push_back(distributed_flags(distributed));
  groups.back().flags.push_back(
      flag_integer("bucket-cap-mb", "N", options.bucket_cap_mb,
                   "MiB of gradients that are summed over the ranks at once", 0));
  return {
      "btm train",
      std::string("Trains a language model on a data-bin, with fairseq-train's flags, numbers and "
                  "checkpoints. ") +
          compat::kWhatAModelIs,
      {{"DATA",
        "data-bin folder (with dict.txt), or a folder of domains; folders joined by ':' are taken "
        "in turn, one per epoch",
        &options.task.data}},
      std::move(groups),
      kForeignTrainFlags};
}

}  // namespace btm
