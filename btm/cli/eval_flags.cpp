#include "btm/cli/eval_flags.h"

#include <array>
#include <iostream>
#include <stdexcept>

#include "btm/evaluator/diverged_model.h"
#include "btm/evaluator/load_scorer.h"

namespace btm {

using compat::flag_choice;
using compat::flag_integer;
using compat::flag_switch;
using compat::flag_text;
using compat::FlagGroup;
using compat::ForeignFlag;

namespace {

constexpr std::array kForeignFlags{
    ForeignFlag{"all-gather-list-size", true},
    ForeignFlag{"azureml-logging", false},
    ForeignFlag{"bpe", true},
    ForeignFlag{"broadcast-buffers", false},
    ForeignFlag{"bucket-cap-mb", true},
    ForeignFlag{"checkpoint-shard-count", true},
    ForeignFlag{"checkpoint-suffix", true},
    ForeignFlag{"combine-valid-subsets", false},
    ForeignFlag{"criterion", true},
    ForeignFlag{"curriculum", true},
    ForeignFlag{"data-buffer-size", true},
    ForeignFlag{"ddp-backend", true},
    ForeignFlag{"ddp-comm-hook", true},
    ForeignFlag{"device-id", true},
    ForeignFlag{"disable-validation", false},
    ForeignFlag{"distributed-backend", true},
    ForeignFlag{"distributed-init-method", true},
    ForeignFlag{"distributed-no-spawn", false},
    ForeignFlag{"distributed-port", true},
    ForeignFlag{"distributed-rank", true},
    ForeignFlag{"distributed-world-size", true},
    ForeignFlag{"empty-cache-freq", true},
    ForeignFlag{"fast-stat-sync", false},
    ForeignFlag{"find-unused-parameters", false},
    ForeignFlag{"fix-batches-to-gpus", false},
    ForeignFlag{"fixed-validation-seed", true},
    ForeignFlag{"fp16-init-scale", true},
    ForeignFlag{"fp16-no-flatten-grads", false},
    ForeignFlag{"fp16-scale-tolerance", true},
    ForeignFlag{"fp16-scale-window", true},
    ForeignFlag{"future-target", false},
    ForeignFlag{"gradient-as-bucket-view", false},
    ForeignFlag{"heartbeat-timeout", true},
    ForeignFlag{"is-moe", false},
    ForeignFlag{"local_rank,local-rank", true},
    ForeignFlag{"log-nvidia-smi", false},
    ForeignFlag{"lr-scheduler", true},
    ForeignFlag{"memory-efficient-bf16", false},
    ForeignFlag{"memory-efficient-fp16", false},
    ForeignFlag{"min-loss-scale", true},
    ForeignFlag{"model-parallel-size", true},
    ForeignFlag{"no-save", false},
    ForeignFlag{"nprocs-per-node", true},
    ForeignFlag{"num-workers", true},
    ForeignFlag{"num-workers-valid", true},
    ForeignFlag{"optimizer", true},
    ForeignFlag{"output-dictionary-size", true},
    ForeignFlag{"pad-to-fixed-bsz", false},
    ForeignFlag{"partial-load", false},
    ForeignFlag{"profile", false},
    ForeignFlag{"quantization-config-path", true},
    ForeignFlag{"required-batch-size-multiple", true},
    ForeignFlag{"required-seq-len-multiple", true},
    ForeignFlag{"reset-logging", false},
    ForeignFlag{"scoring", true},
    ForeignFlag{"self-target", false, true},
    ForeignFlag{"shorten-method", true, true},
    ForeignFlag{"skip-invalid-size-inputs-valid-test", false},
    ForeignFlag{"suppress-crashes", false},
    ForeignFlag{"tensorboard-logdir", true},
    ForeignFlag{"threshold-loss-scale", true},
    ForeignFlag{"tokenizer", true},
    ForeignFlag{"user-dir", true},
    ForeignFlag{"wandb-project", true},
    ForeignFlag{"tpu", false, true},
};

}  // namespace

compat::Flag tokens_per_sample_flag(BatchingOptions& o) {
  return flag_integer("tokens-per-sample", "N", o.tokens_per_sample, "tokens in a sample", 1,
                      "the models' positions, at most 1024");
}

compat::Flag batch_size_flag(BatchingOptions& o) {
  return flag_integer("batch-size,max-sentences", "N", o.batch_size,
                      "samples in a batch; 0: no limit, as eval-lm and fairseq-eval-lm have it", 0);
}

compat::Flag max_tokens_flag(BatchingOptions& o) {
  return flag_integer("max-tokens", "N", o.max_tokens,
                      "tokens in a batch, padding included; 0: no limit", 0);
}

std::vector<compat::Flag> domain_token_flags(DomainTokenOptions& o) {
  return {
      flag_switch("add-domain-token", o.add,
                  "begin every sample with the token of its domain, which is not scored (DeMIX; "
                  "multidomain)"),
      flag_text("force-domain-token", "DOMAIN", o.force,
                "with --add-domain-token: take this domain's token for all samples"),
      flag_text("original-domains", "LIST", o.original_domains,
                "the domains that have tokens, in the order of training (default: those in the "
                "model's configuration, else --eval-domains)")};
}

FlagGroup data_flags(EvalDataOptions& o) {
  FlagGroup group{
      "Data",
      {
          flag_text("gen-subset", "SPLIT", o.gen_subset, "the split to evaluate"),
          flag_choice("task", o.task, {"language_modeling", "multidomain_language_modeling"},
                      "what DATA is: one data-bin, or a folder of domains"),
          flag_text("eval-domains", "LIST", o.eval_domains,
                    "comma-separated domains (multidomain; default: all that have the split)"),
          flag_switch(
              "resample-eval", o.resample_eval,
              "draw each set's samples with replacement, as the release does (multidomain)"),
          flag_text("sample-break-mode", "MODE", o.batching.sample_break_mode,
                    "none, eos, complete or complete_doc"),
          tokens_per_sample_flag(o.batching),
          flag_integer("context-window", "N", o.batching.context_window,
                       "tokens of earlier samples that a sample sees", 0),
          flag_switch("add-bos-token", o.batching.add_bos_token, "begin every sample with <s>"),
          batch_size_flag(o.batching),
          max_tokens_flag(o.batching),
          flag_integer("num-shards", "N", o.num_shards, "evaluate every Nth batch only", 1),
          flag_integer("shard-id", "N", o.shard_id, "from this one on", 0),
          flag_integer("max-samples", "N", o.batching.max_samples,
                       "stop after batch N, counted from 0; 0: all", 0),
          flag_integer("seed", "N", o.seed, "of the order of samples of equal size"),
          flag_text("dataset-impl", "IMPL", o.dataset_impl,
                    "require raw, lazy, cached, mmap, huffman or zst (default: whatever is there)"),
      }};
  for (compat::Flag& flag : domain_token_flags(o.batching.domain_token))
    group.flags.push_back(std::move(flag));
  return group;
}

compat::Flag verbose_flag(bool& field) {
  return flag_switch("verbose", field,
                     "say which code computes the products here, and on how many threads");
}

FlagGroup machine_flags(MachineOptions& o) {
  return {"Machine",
          {
              flag_switch("fp16", o.fp16,
                          "half precision (on a CPU: weights rounded to it, arithmetic in fp32)"),
              flag_switch("bf16", o.bf16,
                          "bfloat16 (on a CPU: factors of products rounded to it, sums in fp32)"),
              flag_choice("fp32-matmul", o.fp32_matmul, {"fp32", "bf16x3"},
                          "products in fp32 on a CPU: as such, or of factors split into two bf16, "
                          "which pays where bf16 is more than three times as fast"),
              flag_switch("cpu", o.cpu, "do not use a GPU"),
              flag_integer("num-threads", "N", o.num_threads, "threads; 0: all cores", 0),
              flag_integer("softmax-batch", "N", o.softmax_batch,
                           "tokens whose logits are in memory at once", 1, "as many as fit 64 MiB"),
              verbose_flag(o.verbose),
          }};
}

void say_products(std::string_view program, const MachineOptions& machine) {
  if (machine.verbose) std::cerr << program << ": " << products_note(machine) << std::endl;
}

FlagGroup log_flags(LogOptions& o) {
  return {
      "Reporting",
      {
          flag_choice("log-format", o.log_format, {"json", "none", "simple", "tqdm"},
                      "progress: a bar on a terminal (tqdm), or lines"),
          flag_integer("log-interval", "N", o.log_interval, "batches between lines of progress", 1),
          flag_switch("no-progress-bar", o.no_progress_bar, "lines even on a terminal"),
          flag_switch("quiet", o.quiet, "only the results"),
      }};
}

std::vector<compat::Flag> choice_flags(compat::ExpertChoice& choice) {
  return {compat::flag_text("experts", "LIST", choice.experts,
                            "names of the models that are the experts, comma separated, or 'all': "
                            "all but the one named seed"),
          compat::flag_text("without", "LIST", choice.without,
                            "experts to leave out, comma separated")};
}

compat::Flag skip_diverged_flag(bool& field) {
  return flag_switch("skip-diverged", field,
                     "leave out models whose scores are NaN or infinite, which are an error "
                     "otherwise; the result says which");
}

void or_hint_at_skipping(const std::function<void()>& evaluate) {
  try {
    evaluate();
  } catch (const DivergedModel& error) {
    throw std::runtime_error(std::string(error.what()) + "; --skip-diverged leaves it out");
  }
}

std::span<const ForeignFlag> foreign_eval_flags() { return kForeignFlags; }

void warn_ignored(std::string_view program, const std::vector<std::string>& ignored) {
  if (ignored.empty()) return;
  std::cerr << program << ": warning: without effect here:";
  for (const std::string& flag : ignored) std::cerr << " " << flag;
  std::cerr << std::endl;
}

}  // namespace btm
