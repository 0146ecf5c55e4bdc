// Flags that the evaluating commands share.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "btm/evaluator/eval_options.h"
#include "compat/checkpoint/named_models.h"
#include "compat/program/command_line.h"
#include "compat/program/reporter.h"

namespace btm {

using compat::LogOptions;

/// The flags for samples and batches, with the same words in every command that evaluates. The
/// defaults are fairseq-eval-lm's: --num-shards counts batches, so another default would score
/// other samples. In commands with ensembles a posterior is the mean over a batch. Their default is
/// the release's kEnsembleBatchSize.
compat::Flag tokens_per_sample_flag(BatchingOptions& options);
compat::Flag batch_size_flag(BatchingOptions& options);
compat::Flag max_tokens_flag(BatchingOptions& options);
std::vector<compat::Flag> domain_token_flags(DomainTokenOptions& options);
compat::FlagGroup data_flags(EvalDataOptions& options);
compat::Flag verbose_flag(bool& field);
compat::FlagGroup machine_flags(MachineOptions& options);
/// Under --verbose, products_note() as a line on stderr.
void say_products(std::string_view program, const MachineOptions& machine);
compat::FlagGroup log_flags(LogOptions& options);

compat::Flag skip_diverged_flag(bool& field);
/// --experts and --without, which compat::chosen_experts follows.
std::vector<compat::Flag> choice_flags(compat::ExpertChoice& choice);
/// Runs `evaluate`. Adds that flag to the message of a DivergedModel.
void or_hint_at_skipping(const std::function<void()>& evaluate);

/// fairseq's flags that have no effect here, and those that are refused because they would have
/// one.
std::span<const compat::ForeignFlag> foreign_eval_flags();

/// One line on stderr naming the flags that had no effect.
void warn_ignored(std::string_view program, const std::vector<std::string>& ignored);

}  // namespace btm
