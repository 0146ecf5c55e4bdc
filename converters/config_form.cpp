#include "converters/config_form.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <string_view>

#include "compat/base/text.h"
#include "compat/fairseq/config_json.h"

namespace converters {
namespace {

using compat::ConfigValue;

struct Section {
  std::string_view name, keys;
};
/// The sections of fairseq 0.12's FairseqConfig with their keys. The keys of model, task,
/// criterion, optimizer and lr_scheduler are those of BTM's language models.
constexpr std::array<Section, 17> kSections{{
    {"common",
     "no_progress_bar log_interval log_format log_file aim_repo aim_run_hash tensorboard_logdir "
     "wandb_project "
     "azureml_logging seed cpu tpu bf16 memory_efficient_bf16 fp16 memory_efficient_fp16 "
     "fp16_no_flatten_grads "
     "fp16_init_scale fp16_scale_window fp16_scale_tolerance on_cpu_convert_precision "
     "min_loss_scale "
     "threshold_loss_scale amp amp_batch_retries amp_init_scale amp_scale_window user_dir "
     "empty_cache_freq "
     "all_gather_list_size model_parallel_size quantization_config_path profile reset_logging "
     "suppress_crashes "
     "use_plasma_view plasma_path"},
    {"common_eval", "path post_process quiet model_overrides results_path"},
    {"distributed_training",
     "distributed_world_size distributed_num_procs distributed_rank distributed_backend "
     "distributed_init_method distributed_port device_id distributed_no_spawn ddp_backend "
     "ddp_comm_hook "
     "bucket_cap_mb fix_batches_to_gpus find_unused_parameters gradient_as_bucket_view "
     "fast_stat_sync "
     "heartbeat_timeout broadcast_buffers slowmo_momentum slowmo_base_algorithm localsgd_frequency "
     "nprocs_per_node pipeline_model_parallel pipeline_balance pipeline_devices pipeline_chunks "
     "pipeline_encoder_balance pipeline_encoder_devices pipeline_decoder_balance "
     "pipeline_decoder_devices "
     "pipeline_checkpoint zero_sharding fp16 memory_efficient_fp16 tpu no_reshard_after_forward "
     "fp32_reduce_scatter cpu_offload use_sharded_state not_fsdp_flatten_parameters"},
    {"dataset",
     "num_workers skip_invalid_size_inputs_valid_test max_tokens batch_size "
     "required_batch_size_multiple "
     "required_seq_len_multiple dataset_impl data_buffer_size train_subset valid_subset "
     "combine_valid_subsets "
     "ignore_unused_valid_subsets validate_interval validate_interval_updates "
     "validate_after_updates "
     "fixed_validation_seed disable_validation max_tokens_valid batch_size_valid max_valid_steps "
     "curriculum "
     "gen_subset num_shards shard_id grouped_shuffling update_epoch_batch_itr "
     "update_ordered_indices_seed"},
    {"optimization",
     "max_epoch max_update stop_time_hours clip_norm sentence_avg update_freq lr stop_min_lr "
     "use_bmuf "
     "skip_remainder_batch"},
    {"checkpoint",
     "save_dir restore_file continue_once finetune_from_model reset_dataloader reset_lr_scheduler "
     "reset_meters "
     "reset_optimizer optimizer_overrides save_interval save_interval_updates "
     "keep_interval_updates "
     "keep_interval_updates_pattern keep_last_epochs keep_best_checkpoints no_save "
     "no_epoch_checkpoints "
     "no_last_checkpoints no_save_optimizer_state best_checkpoint_metric "
     "maximize_best_checkpoint_metric "
     "patience checkpoint_suffix checkpoint_shard_count load_checkpoint_on_all_dp_ranks "
     "write_checkpoints_asynchronously model_parallel_size"},
    {"bmuf",
     "block_lr block_momentum global_sync_iter warmup_iterations use_nbm average_sync "
     "distributed_world_size"},
    {"generation",
     "beam nbest max_len_a max_len_b min_len match_source_len unnormalized no_early_stop "
     "no_beamable_mm lenpen "
     "unkpen replace_unk sacrebleu score_reference prefix_size no_repeat_ngram_size sampling "
     "sampling_topk "
     "sampling_topp constraints temperature diverse_beam_groups diverse_beam_strength "
     "diversity_rate "
     "print_alignment print_step lm_path lm_weight iter_decode_eos_penalty iter_decode_max_iter "
     "iter_decode_force_max_iter iter_decode_with_beam iter_decode_with_external_reranker "
     "retain_iter_history "
     "retain_dropout retain_dropout_modules decoding_format no_seed_provided eos_token"},
    {"eval_lm", "output_word_probs output_word_stats context_window softmax_batch"},
    {"interactive", "buffer_size input"},
    {"model",
     "activation_fn dropout attention_dropout activation_dropout relu_dropout decoder_embed_dim "
     "decoder_output_dim decoder_input_dim decoder_ffn_embed_dim decoder_layers "
     "decoder_attention_heads "
     "decoder_normalize_before no_decoder_final_norm adaptive_softmax_cutoff "
     "adaptive_softmax_dropout "
     "adaptive_softmax_factor no_token_positional_embeddings share_decoder_input_output_embed "
     "character_embeddings character_filters character_embedding_dim char_embedder_highway_layers "
     "adaptive_input adaptive_input_factor adaptive_input_cutoff tie_adaptive_weights "
     "tie_adaptive_proj "
     "decoder_learned_pos layernorm_embedding no_scale_embedding layer_norm_epsilon "
     "checkpoint_activations offload_activations "
     "decoder_layerdrop decoder_layers_to_keep quant_noise_pq quant_noise_pq_block_size "
     "quant_noise_scalar "
     "min_params_to_wrap base_layers base_sublayers base_shuffle scale_fc scale_attn scale_heads "
     "scale_resids "
     "decoder_xformers_att_config add_bos_token tokens_per_sample max_target_positions tpu"},
    {"task",
     "data sample_break_mode tokens_per_sample output_dictionary_size self_target future_target "
     "past_target "
     "domain_parallel gpu_mappings max_source_positions max_target_positions pad_to_fixed_length "
     "pad_to_fixed_bsz multidomain_sampling_alpha shorten_method shorten_data_split_list "
     "train_domains "
     "eval_domains unbalanced original_domains seed dataset_impl data_buffer_size tpu batch_size "
     "batch_size_valid train_subset valid_subset"},
    {"criterion", "sentence_avg"},
    {"optimizer", "adam_betas adam_eps weight_decay use_old_adam fp16_adam_stats tpu lr"},
    {"lr_scheduler", "warmup_updates force_anneal end_learning_rate power total_num_update lr"},
    {"scoring", "pad eos unk"},
    {"ema", "store_ema ema_decay ema_start_update ema_seed_model ema_update_freq ema_fp32"},
}};

/// The sections that name a registered class, and the key of that name in the Namespace.
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kClasses{
    {{"model", "arch"},
     {"task", "task"},
     {"criterion", "criterion"},
     {"optimizer", "optimizer"},
     {"lr_scheduler", "lr_scheduler"}}};

}  // namespace

compat::PickleNode* namespace_of(compat::PickleArena& arena, const compat::Config& config) {
  ConfigValue::Dict flat;
  std::vector<std::string_view> order{"model", "task"};
  const auto* sections = std::get_if<ConfigValue::Dict>(&config.root().value);
  for (const auto& [name, section] : *sections)
    if (name != "model" && name != "task") order.push_back(name);
  for (const std::string_view name : order) {
    const ConfigValue* const section = config.root().find(name);
    const auto* members =
        section == nullptr ? nullptr : std::get_if<ConfigValue::Dict>(&section->value);
    if (members == nullptr) {
      if (section != nullptr && name != "_name") flat.emplace_back(name, *section);
      continue;
    }
    for (const auto& [key, value] : *members) {
      if (key == "_name") continue;
      const auto place = std::ranges::find(flat, key, [](const auto& item) { return item.first; });
      if (place == flat.end())
        flat.emplace_back(key, value);
      else if (place->second.is_none())
        place->second = value;
    }
  }
  for (const auto& [section, name] : kClasses)
    if (const ConfigValue* value = config.find(section, "_name")) flat.emplace_back(name, *value);
  return compat::namespace_to_pickle(arena, {std::move(flat)});
}

compat::PickleNode* cfg_of(compat::PickleArena& arena, const compat::Config& config) {
  const auto& flat = std::get<ConfigValue::Dict>(config.root().value);
  std::set<std::string_view> placed;
  ConfigValue::Dict cfg;
  for (const Section& section : kSections) {
    ConfigValue::Dict members;
    const auto class_name = std::ranges::find(
        kClasses, section.name, &std::pair<std::string_view, std::string_view>::first);
    const ConfigValue* const name =
        class_name == kClasses.end() ? nullptr : config.root().find(class_name->second);
    if (class_name != kClasses.end()) placed.insert(class_name->second);
    members.emplace_back("_name", name == nullptr ? ConfigValue{} : *name);
    for (const std::string_view key : compat::split_whitespace(section.keys)) {
      const ConfigValue* const value = config.root().find(key);
      if (value == nullptr) continue;
      members.emplace_back(key, *value);
      placed.insert(key);
    }
    cfg.emplace_back(section.name, ConfigValue{std::move(members)});
  }
  for (auto& [name, section] : cfg) {
    if (name != "model") continue;
    for (const auto& [key, value] : flat)
      if (!placed.contains(key))
        std::get<ConfigValue::Dict>(section.value).emplace_back(key, value);
  }
  return compat::config_to_pickle(arena, {std::move(cfg)});
}

}  // namespace converters
