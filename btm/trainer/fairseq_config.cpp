#include "btm/trainer/fairseq_config.h"

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "btm/trainer/config_section.h"
#include "btm/trainer/optimizer_sections.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/fairseq/network_settings.h"

namespace btm {
namespace {

using compat::ConfigValue;

/// The defaults of fairseq 0.12.2's cfg, for all keys that btm's flags do not set.
constexpr std::string_view kDefaults = R"({
'_name': None,
'common': {'_name': None, 'log_format': None, 'log_file': None, 'aim_repo': None,
  'aim_run_hash': None, 'tensorboard_logdir': None, 'wandb_project': None,
  'azureml_logging': False, 'tpu': False, 'fp16_scale_window': None,
  'on_cpu_convert_precision': False, 'threshold_loss_scale': None, 'amp': False,
  'amp_batch_retries': 2, 'amp_init_scale': 128, 'amp_scale_window': None, 'user_dir': None,
  'empty_cache_freq': 0, 'all_gather_list_size': 16384, 'model_parallel_size': 1,
  'quantization_config_path': None, 'profile': False, 'reset_logging': False,
  'suppress_crashes': False, 'use_plasma_view': False, 'plasma_path': '/tmp/plasma'},
'common_eval': {'_name': None, 'path': None, 'post_process': None, 'quiet': False,
  'model_overrides': '{}', 'results_path': None},
'distributed_training': {'_name': None, 'distributed_num_procs': 0, 'distributed_rank': 0,
  'distributed_backend': 'nccl', 'distributed_init_method': None, 'distributed_port': -1,
  'device_id': 0, 'distributed_no_spawn': False, 'ddp_backend': 'pytorch_ddp',
  'ddp_comm_hook': 'none', 'bucket_cap_mb': 25, 'fix_batches_to_gpus': False,
  'find_unused_parameters': False, 'gradient_as_bucket_view': False, 'fast_stat_sync': False,
  'heartbeat_timeout': -1, 'broadcast_buffers': False, 'slowmo_momentum': None,
  'slowmo_base_algorithm': 'localsgd', 'localsgd_frequency': 3, 'nprocs_per_node': 1,
  'pipeline_model_parallel': False, 'pipeline_balance': None, 'pipeline_devices': None,
  'pipeline_chunks': 0, 'pipeline_encoder_balance': None, 'pipeline_encoder_devices': None,
  'pipeline_decoder_balance': None, 'pipeline_decoder_devices': None,
  'pipeline_checkpoint': 'never', 'zero_sharding': 'none', 'tpu': False,
  'no_reshard_after_forward': False, 'fp32_reduce_scatter': False, 'cpu_offload': False,
  'use_sharded_state': False, 'not_fsdp_flatten_parameters': False},
'dataset': {'_name': None, 'num_workers': 0, 'max_tokens': None, 'batch_size': None,
  'required_seq_len_multiple': 1, 'dataset_impl': None, 'combine_valid_subsets': None,
  'ignore_unused_valid_subsets': False, 'fixed_validation_seed': None, 'max_tokens_valid': None,
  'batch_size_valid': None, 'max_valid_steps': None, 'gen_subset': 'test', 'num_shards': 1,
  'shard_id': 0, 'grouped_shuffling': False, 'update_epoch_batch_itr': False,
  'update_ordered_indices_seed': False},
'optimization': {'_name': None, 'use_bmuf': False},
'checkpoint': {'_name': None, 'continue_once': None, 'finetune_from_model': None,
  'checkpoint_shard_count': 1, 'load_checkpoint_on_all_dp_ranks': False,
  'write_checkpoints_asynchronously': False, 'model_parallel_size': 1},
'bmuf': {'_name': None, 'block_lr': 1.0, 'block_momentum': 0.875, 'global_sync_iter': 50,
  'warmup_iterations': 500, 'use_nbm': False, 'average_sync': False},
'generation': {'_name': None, 'beam': 5, 'nbest': 1, 'max_len_a': 0.0, 'max_len_b': 200,
  'min_len': 1, 'match_source_len': False, 'unnormalized': False, 'no_early_stop': False,
  'no_beamable_mm': False, 'lenpen': 1.0, 'unkpen': 0.0, 'replace_unk': None, 'sacrebleu': False,
  'score_reference': False, 'prefix_size': 0, 'no_repeat_ngram_size': 0, 'sampling': False,
  'sampling_topk': -1, 'sampling_topp': -1.0, 'constraints': None, 'temperature': 1.0,
  'diverse_beam_groups': -1, 'diverse_beam_strength': 0.5, 'diversity_rate': -1.0,
  'print_alignment': None, 'print_step': False, 'lm_path': None, 'lm_weight': 0.0,
  'iter_decode_eos_penalty': 0.0, 'iter_decode_max_iter': 10, 'iter_decode_force_max_iter': False,
  'iter_decode_with_beam': 1, 'iter_decode_with_external_reranker': False,
  'retain_iter_history': False, 'retain_dropout': False, 'retain_dropout_modules': None,
  'decoding_format': None, 'no_seed_provided': False, 'eos_token': None},
'eval_lm': {'_name': None, 'output_word_probs': False, 'output_word_stats': False,
  'context_window': 0, 'softmax_batch': 9223372036854775807},
'interactive': {'_name': None, 'buffer_size': 0, 'input': '-'},
'model': {'relu_dropout': 0.0, 'character_embeddings': False,
  'character_filters': '[(1, 64), (2, 128), (3, 192), (4, 256), (5, 256), (6, 256), (7, 256)]',
  'character_embedding_dim': 4, 'char_embedder_highway_layers': 2,
  'offload_activations': False, 'decoder_layers_to_keep': None,
  'quant_noise_pq': 0.0, 'quant_noise_pq_block_size': 8, 'quant_noise_scalar': 0.0,
  'min_params_to_wrap': 100000000, 'base_layers': 0, 'base_sublayers': 1, 'base_shuffle': 0,
  'scale_fc': False, 'scale_attn': False, 'scale_heads': False, 'scale_resids': False,
  'decoder_xformers_att_config': None, 'tpu': False},
'task': {'_name': 'language_modeling', 'output_dictionary_size': -1, 'self_target': False,
  'future_target': False, 'past_target': False, 'shorten_method': 'none',
  'shorten_data_split_list': '', 'batch_size': None, 'batch_size_valid': None,
  'dataset_impl': None, 'tpu': False},
'criterion': {},
'optimizer': {},
'lr_scheduler': {},
'scoring': {'_name': 'bleu', 'pad': 1, 'eos': 2, 'unk': 3},
'bpe': None,
'tokenizer': None,
'ema': {'_name': None, 'store_ema': False, 'ema_decay': 0.9999, 'ema_start_update': 0,
  'ema_seed_model': None, 'ema_update_freq': 1, 'ema_fp32': False},
'simul_type': None,})";

using Section = ConfigSection;

void set_common(ConfigValue& root, const TrainOptions& options) {
  Section section(root, "common");
  const CommonOptions& o = options.common;
  section.set("no_progress_bar", o.no_progress_bar);
  section.set("log_interval", o.log_interval);
  section.set_unless_empty("log_format", o.log_format);
  section.set_unless_empty("log_file", o.log_file);
  section.set_unless_empty("tensorboard_logdir", o.tensorboard_logdir);
  section.set_unless_empty("wandb_project", o.wandb_project);
  section.set("seed", o.seed);
  section.set("cpu", o.cpu);
  section.set("bf16", o.bf16);
  section.set("memory_efficient_bf16", o.memory_efficient_bf16);
  section.set("fp16", o.fp16);
  section.set("memory_efficient_fp16", o.memory_efficient_fp16);
  section.set("fp16_no_flatten_grads", o.fp16_no_flatten_grads);
  section.set("fp16_init_scale", static_cast<std::int64_t>(o.fp16_init_scale));
  section.set("fp16_scale_window", o.fp16_scale_window);
  section.set("fp16_scale_tolerance", o.fp16_scale_tolerance);
  section.set("min_loss_scale", o.min_loss_scale);
  section.set("threshold_loss_scale", o.threshold_loss_scale);
}

void set_distributed(ConfigValue& root, const TrainOptions& options, std::int64_t world_size) {
  Section section(root, "distributed_training");
  section.set("distributed_world_size", world_size);
  section.set("bucket_cap_mb", options.bucket_cap_mb);
  section.set("fp16", options.common.fp16);
  section.set("memory_efficient_fp16", options.common.memory_efficient_fp16);
  Section(root, "bmuf").set("distributed_world_size", world_size);
}

void set_dataset(ConfigValue& root, const TrainOptions& options) {
  Section section(root, "dataset");
  const DatasetOptions& o = options.dataset;
  section.set("skip_invalid_size_inputs_valid_test", o.skip_invalid_size_inputs_valid_test);
  section.set_unless_zero("max_tokens", o.max_tokens);
  section.set_unless_zero("batch_size", o.batch_size);
  section.set("required_batch_size_multiple", o.required_batch_size_multiple);
  section.set_unless_empty("dataset_impl", options.task.dataset_impl);
  section.set("data_buffer_size", o.data_buffer_size);
  section.set("train_subset", o.train_subset);
  section.set("valid_subset", o.valid_subset);
  section.set("validate_interval", o.validate_interval);
  section.set("validate_interval_updates", o.validate_interval_updates);
  section.set("validate_after_updates", o.validate_after_updates);
  section.set("fixed_validation_seed", o.fixed_validation_seed);
  section.set("disable_validation", o.disable_validation);
  section.set_unless_zero("max_tokens_valid", o.max_tokens_valid);
  section.set_unless_zero("batch_size_valid", o.batch_size_valid);
  section.set_unless_zero("max_valid_steps", o.max_valid_steps);
  section.set("curriculum", o.curriculum);
}

void set_optimization(ConfigValue& root, const TrainOptions& options) {
  Section section(root, "optimization");
  const OptimizationOptions& o = options.optimization;
  section.set("max_epoch", o.max_epoch);
  section.set("max_update", o.max_update);
  section.set("stop_time_hours", o.stop_time_hours);
  section.set("clip_norm", o.clip_norm);
  section.set("sentence_avg", o.sentence_avg);
  section.set("update_freq", o.update_freq);
  section.set("lr", options.lr.lr);
  section.set("stop_min_lr", o.stop_min_lr);
  section.set("skip_remainder_batch", o.skip_remainder_batch);
}

void set_checkpoint(ConfigValue& root, const TrainOptions& options) {
  Section section(root, "checkpoint");
  const CheckpointOptions& o = options.checkpoint;
  section.set("save_dir", o.save_dir);
  section.set("restore_file", o.restore_file);
  section.set_unless_empty("finetune_from_model", o.finetune_from_model);
  section.set("reset_dataloader", o.reset_dataloader);
  section.set("reset_lr_scheduler", o.reset_lr_scheduler);
  section.set("reset_meters", o.reset_meters);
  section.set("reset_optimizer", o.reset_optimizer);
  section.set("optimizer_overrides", o.optimizer_overrides);
  section.set("save_interval", o.save_interval);
  section.set("save_interval_updates", o.save_interval_updates);
  section.set("keep_interval_updates", o.keep_interval_updates);
  section.set("keep_interval_updates_pattern", o.keep_interval_updates_pattern);
  section.set("keep_last_epochs", o.keep_last_epochs);
  section.set("keep_best_checkpoints", o.keep_best_checkpoints);
  section.set("no_save", o.no_save);
  section.set("no_epoch_checkpoints", o.no_epoch_checkpoints);
  section.set("no_last_checkpoints", o.no_last_checkpoints);
  section.set("no_save_optimizer_state", o.no_save_optimizer_state);
  section.set("best_checkpoint_metric", o.best_checkpoint_metric);
  section.set("maximize_best_checkpoint_metric", o.maximize_best_checkpoint_metric);
  section.set("patience", o.patience);
  section.set("checkpoint_suffix", o.checkpoint_suffix);
}

void set_ema(ConfigValue& root, const EmaOptions& o) {
  Section section(root, "ema");
  section.set("store_ema", o.store);
  section.set("ema_decay", o.decay);
  section.set("ema_start_update", o.start_update);
  section.set_unless_empty("ema_seed_model", o.seed_model);
  section.set("ema_update_freq", o.update_freq);
  section.set("ema_fp32", o.fp32);
}

std::optional<std::string> cutoff_text(const std::vector<std::int64_t>& cutoff) {
  if (cutoff.empty()) return std::nullopt;
  return compat::join(cutoff, ",");
}

void set_model(ConfigValue& root, const TrainOptions& options, const TransformerConfig& model) {
  Section section(root, "model");
  section.set("_name", model.arch);
  section.set("activation_fn", model.activation_fn);
  section.set("dropout", model.dropout);
  section.set("attention_dropout", model.attention_dropout);
  section.set("activation_dropout", model.activation_dropout);
  section.set("decoder_embed_dim", model.decoder_embed_dim);
  section.set("decoder_output_dim", model.decoder_output_dim);
  section.set("decoder_input_dim", model.decoder_input_dim);
  section.set("decoder_ffn_embed_dim", model.decoder_ffn_embed_dim);
  section.set("decoder_layers", model.decoder_layers);
  section.set("decoder_attention_heads", model.decoder_attention_heads);
  section.set("decoder_normalize_before", model.decoder_normalize_before);
  section.set("no_decoder_final_norm", model.no_decoder_final_norm);
  section.set("no_token_positional_embeddings", model.no_token_positional_embeddings);
  section.set("share_decoder_input_output_embed", model.share_decoder_input_output_embed);
  section.set("decoder_learned_pos", model.decoder_learned_pos);
  section.set("layernorm_embedding", model.layernorm_embedding);
  section.set("no_scale_embedding", model.no_scale_embedding);
  section.set("adaptive_input", model.adaptive_input);
  section.set("adaptive_input_factor", model.adaptive_input_factor);
  section.set("adaptive_input_cutoff", cutoff_text(model.adaptive_input_cutoff));
  section.set("adaptive_softmax_factor", model.adaptive_softmax_factor);
  section.set("adaptive_softmax_cutoff", cutoff_text(model.adaptive_softmax_cutoff));
  section.set("adaptive_softmax_dropout", model.adaptive_softmax_dropout);
  section.set("tie_adaptive_weights", model.tie_adaptive_weights);
  section.set("tie_adaptive_proj", model.tie_adaptive_proj);
  if (model.layer_norm_epsilon != compat::kLayerNormEpsilon)
    section.set(compat::kLayerNormEpsilonKey, model.layer_norm_epsilon);
  section.set("checkpoint_activations", model.checkpoint_activations);
  section.set("decoder_layerdrop", model.decoder_layerdrop);
  section.set("add_bos_token", options.task.add_bos_token);
  section.set("tokens_per_sample", options.task.tokens_per_sample);
  section.set("max_target_positions", model.max_target_positions);
  if (model.moe_freq > 0) {  // keys that only fairseq's moe branch knows, and our own
    section.set(compat::kMoeFreqKey, model.moe_freq);
    section.set(compat::kMoeExpertCountKey, model.moe_expert_count);
    section.set(compat::kMoeTop1Key, model.routing == Routing::kTop1);
    section.set(compat::kMoeRouterKey, std::string(routing_name(model.routing)));
    if (!model.moe_experts.empty()) section.set(compat::kMoeExpertsKey, model.moe_experts);
    section.set("moe_gate_loss_wt", options.moe.gate_loss_wt);
    section.set("moe_z_loss_wt", options.moe.z_loss_wt);
    section.set("moe_train", options.moe.train);
    section.set_unless_empty("moe_freeze_experts", options.moe.freeze_experts);
  }
  if (options.demix.adaptation) section.set("adaptation", true);
  if (!options.demix.desynchronize) return;  // keys that only the DeMIX fork knows
  section.set("moe_freq", std::int64_t{0});
  section.set("desynchronize", true);
  section.set("sync_type", options.demix.sync_type);
  section.set("data_parallel_groups", options.demix.data_parallel_groups);
  section.set("untie_parameters", options.demix.untie_parameters);
}

void set_task(ConfigValue& root, const TrainOptions& options) {
  Section section(root, "task");
  const TaskOptions& o = options.task;
  section.set("_name", o.task);
  section.set("data", o.data);
  section.set("sample_break_mode", o.sample_break_mode);
  section.set("tokens_per_sample", o.tokens_per_sample);
  section.set("max_target_positions", options.model.max_target_positions);
  section.set("pad_to_fixed_length", o.pad_to_fixed_length);
  section.set("pad_to_fixed_bsz", o.pad_to_fixed_bsz);
  section.set("seed", options.common.seed);
  section.set_unless_zero("batch_size", options.dataset.batch_size);
  section.set_unless_zero("batch_size_valid", options.dataset.batch_size_valid);
  section.set_unless_empty("dataset_impl", o.dataset_impl);
  section.set("data_buffer_size", options.dataset.data_buffer_size);
  if (!options.multidomain()) {
    section.set("add_bos_token", o.add_bos_token);
    section.set("use_plasma_view", false);
    section.set("plasma_path", std::string("/tmp/plasma"));
    return;
  }
  section.set("domain_parallel", options.demix.domain_parallel);
  section.set("multidomain_sampling_alpha", 1.0);
  section.set("train_domains", o.train_domains);
  section.set("eval_domains", o.eval_domains);
  section.set("unbalanced", o.unbalanced);
  const DomainTokenOptions& tokens = o.domain_token;
  section.set("original_domains", tokens.original_domains);
  if (tokens.add) section.set("add_domain_token", true);  // a key that only the DeMIX fork knows
  section.set_unless_empty("force_domain_token", tokens.force);
  section.set("train_subset", options.dataset.train_subset);
  section.set("valid_subset", options.dataset.valid_subset);
}

}  // namespace

compat::Config model_config(const TrainOptions& options) {
  const ModelOptions& o = options.model;
  ConfigValue::Dict model;
  Section section(model);
  section.set("_name", o.arch);
  section.set("activation_fn", o.activation_fn);
  section.set("dropout", o.dropout);
  section.set("attention_dropout", o.attention_dropout);
  section.set("activation_dropout", o.activation_dropout);
  section.set("relu_dropout", o.relu_dropout);
  section.set("decoder_layerdrop", o.decoder_layerdrop);
  section.set("decoder_embed_dim", o.decoder_embed_dim);
  // fairseq's gpt3 architectures take the width for both and ignore these flags.
  if (!o.arch.starts_with("transformer_lm_gpt3")) {
    section.set("decoder_output_dim", o.decoder_output_dim);
    section.set("decoder_input_dim", o.decoder_input_dim);
  }
  section.set("decoder_ffn_embed_dim", o.decoder_ffn_embed_dim);
  section.set("decoder_layers", o.decoder_layers);
  section.set("decoder_attention_heads", o.decoder_attention_heads);
  section.set("max_target_positions", o.max_target_positions);
  section.set("tokens_per_sample", options.task.tokens_per_sample);
  section.set("adaptive_input_cutoff", o.adaptive_input_cutoff);
  section.set("adaptive_softmax_cutoff", o.adaptive_softmax_cutoff);
  section.set("adaptive_input_factor", o.adaptive_input_factor);
  section.set("adaptive_softmax_factor", o.adaptive_softmax_factor);
  section.set("adaptive_softmax_dropout", o.adaptive_softmax_dropout);
  // Switches can only turn on what the architecture leaves off.
  const auto add = [&](std::string_view key, bool value) {
    if (value) section.set(key, true);
  };
  add("decoder_normalize_before", o.decoder_normalize_before);
  add("no_decoder_final_norm", o.no_decoder_final_norm);
  add("no_token_positional_embeddings", o.no_token_positional_embeddings);
  add("share_decoder_input_output_embed", o.share_decoder_input_output_embed);
  add("decoder_learned_pos", o.decoder_learned_pos);
  add("layernorm_embedding", o.layernorm_embedding);
  add("no_scale_embedding", o.no_scale_embedding);
  add("checkpoint_activations", o.checkpoint_activations);
  add("adaptive_input", o.adaptive_input);
  add("tie_adaptive_weights", o.tie_adaptive_weights);
  add("tie_adaptive_proj", o.tie_adaptive_proj);
  if (o.moe_freq > 0) {
    section.set(compat::kMoeFreqKey, o.moe_freq);
    section.set(compat::kMoeExpertCountKey, o.moe_expert_count);
    section.set(compat::kMoeRouterKey, o.moe_router);
  }
  return compat::Config({ConfigValue::Dict{{"model", {std::move(model)}}}}, "--arch");
}

ConfigValue fairseq_config(const TrainOptions& options, const TransformerConfig& model,
                           std::int64_t world_size) {
  ConfigValue root = compat::parse_python_literal(kDefaults);
  set_common(root, options);
  set_distributed(root, options, world_size);
  set_dataset(root, options);
  set_optimization(root, options);
  set_checkpoint(root, options);
  set_ema(root, options.ema);
  set_model(root, options, model);
  set_task(root, options);
  set_optimizer(root, options);
  set_criterion(root, options);
  set_lr_scheduler(root, options);
  return root;
}

void check_criterion(const TrainOptions& options, const TransformerConfig& model) {
  const std::string& criterion = options.optimization.criterion;
  if (options.optimization.label_smoothing == 1)
    throw compat::UsageError("--label-smoothing must be below 1");
  if ((criterion == "adaptive_loss") == model.has_adaptive_softmax()) return;
  throw compat::UsageError(
      model.has_adaptive_softmax()
          ? "--criterion " + criterion + " cannot train adaptive softmax, which needs adaptive_loss"
          : "--criterion adaptive_loss needs adaptive softmax (--adaptive-softmax-cutoff)");
}

}  // namespace btm
