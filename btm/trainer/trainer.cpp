#include "btm/trainer/trainer.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "btm/model/tensor_memory.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/program/signals.h"

namespace btm {
namespace {

/// The key of a domain's perplexity. A domain's name may hold any character.
std::string perplexity_key(const std::string& domain) {
  constexpr std::size_t kLongest = 1024;
  return "ppl_" + compat::printable(domain, kLongest);
}

double base2(double loss, double count) { return loss / count / std::log(2.0); }

LossScalerOptions scaler_options(const TrainOptions& options, std::int64_t world_size) {
  const CommonOptions& common = options.common;
  LossScalerOptions scaler;
  scaler.init_scale = common.fp16_init_scale;
  // fairseq's default: the larger an update, the fewer updates between rescalings.
  scaler.scale_window = common.fp16_scale_window.value_or(std::max<std::int64_t>(
      1, (std::int64_t{1} << 14) / world_size / options.optimization.update_freq.front()));
  scaler.tolerance = common.fp16_scale_tolerance;
  scaler.threshold = common.threshold_loss_scale;
  scaler.min_loss_scale = common.min_loss_scale;
  return scaler;
}

/// What a rank sends to the others in every step beside its statistics.
struct RankNote {
  double seconds = 0;
  int signal = 0;
};

TrainingSwitches switches_of(const TransformerConfig& config, const TrainOptions& options) {
  return {{config.dropout, config.attention_dropout, config.activation_dropout},
          config.decoder_layerdrop,
          config.adaptive_softmax_dropout,
          options.optimization.label_smoothing,
          config.checkpoint_activations,
          options.moe.gate_loss_wt,
          options.moe.z_loss_wt};
}

}  // namespace

std::string ids_text(const std::vector<std::int64_t>& ids) {
  return compat::concat('[', compat::join(ids, ", "), ']');
}

Trainer::Trainer(const TrainOptions& options, std::unique_ptr<TransformerLM> model,
                 Communicator& world, at::Device device)
    : options_(options),
      world_(world),
      model_(std::move(model)),
      schedule_(LrSchedule::make(options.lr)) {
  const TrainingPrecision precision = TrainingPrecision::of(options);
  flat_ = std::make_unique<FlatParameters>(*model_, precision.compute_dtype(device), device);
  if (precision.half == at::kBFloat16 && device.is_cpu() && has_fast_bf16())
    model_->set_products(Products::kBf16);
  optimizer_ = std::make_unique<ParameterOptimizer>(
      *flat_, precision, Optimizer::make(options.optimization, options.lr.lr.front(), *flat_),
      scaler_options(options, world.size()));
  if (options.ema.store && world.rank() == 0)
    ema_ = std::make_unique<Ema>(*flat_, model_->config(), precision, options.ema);
  passes_ =
      std::make_unique<ForwardBackward>(*model_, *flat_, switches_of(model_->config(), options));
  if (model_->config().moe_freq > 0)
    flat_->freeze([&](const std::string& name) { return options.moe.freezes(name); });
  else if (options.demix.adaptation)
    flat_->freeze([](const std::string& name) { return !is_adapted(name); });
  connect_ranks();
  lr_ = schedule_->lr_at(0);
  metrics_["default"].log_start_time("wall", 790, 0);
}

void Trainer::connect_ranks() {
  if (options_.demix.desynchronize) {
    experts_ = std::make_unique<ExpertGroups>(
        options_.demix, static_cast<std::int64_t>(model_->num_layers()), world_);
    optimizer_->set_norm([this](const at::Tensor& gradients) {
      double shared = 0, expert = 0;
      for (const FlatParameters::Slot& slot : flat_->slots())
        (experts_->is_expert(slot.name) ? expert : shared) +=
            std::pow(l2_norm(gradients.narrow(0, slot.offset, slot.numel)), 2);
      return experts_->combined_norm(std::sqrt(shared), std::sqrt(expert));
    });
  }
  if (world_.size() == 1) return;
  std::vector<GradientSlot> slots;
  for (const FlatParameters::Slot& slot : flat_->slots())
    slots.push_back({slot.offset, slot.numel, experts_ ? &experts_->group_of(slot.name) : &world_});
  reducer_ = std::make_unique<GradientReducer>(flat_->gradients(), slots,
                                               options_.bucket_cap_mb << 20, world_.size());
  flat_->on_ready([this](std::size_t first, std::size_t last) { reducer_->ready(first, last); });
}

std::vector<std::string> Trainer::facts() const {
  const bool cpu = device().is_cpu();
  const Products products = model_->products();
  std::vector<std::string> lines{
      compat::concat("architecture ", model_->config().arch,
                     ", num. model params: ", compat::grouped(model_->num_parameters()), ", ",
                     world_.size(), " process", world_.size() == 1 ? "" : "es", ", ",
                     cpu ? compat::concat(at::get_num_threads(), " threads") : "GPU",
                     products == Products::kBf16 ? ", products in bf16" : "")};
  if (!options_.common.verbose) return lines;
  const TrainingPrecision precision = TrainingPrecision::of(options_);
  const std::string half = precision.half == at::kHalf ? "fp16" : "bf16";
  if (cpu)
    lines.push_back("products: " + products_name(products) +
                    (precision.is_half() ? ", weights rounded to " + half : ""));
  else
    lines.push_back("products: " + (precision.is_half() ? half : "fp32") + " on a GPU");
  return lines;
}

void Trainer::begin_epoch(std::int64_t epoch) {
  schedule_->begin_epoch(epoch, lr_);
  lr_ = schedule_->lr_at(num_updates_);
}

void Trainer::end_epoch(std::int64_t epoch, std::optional<double> val_loss) {
  schedule_->end_epoch(epoch, num_updates_, val_loss);
  lr_ = schedule_->lr_at(num_updates_);
}

void Trainer::name_domains(std::vector<std::string> names) {
  domains_ = std::move(names);
  for (const char* const aggregator : {"default", "train", "train_inner"})
    for (std::size_t i = 0; i < domains_.size(); ++i)
      metrics_[aggregator].rename(compat::concat("ppl_", i), perplexity_key(domains_[i]));
}

void Trainer::set_num_updates(std::int64_t updates) {
  num_updates_ = updates;
  lr_ = schedule_->lr_at(updates);
}

double Trainer::training_seconds() const {
  return previous_seconds_ +
         std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void Trainer::set_previous_seconds(double seconds) {
  previous_seconds_ = seconds;
  start_ = std::chrono::steady_clock::now();
}

std::int64_t Trainer::sample_size(const BatchStats& stats) const noexcept {
  return options_.optimization.sentence_avg ? stats.sentences : stats.tokens;
}

void Trainer::diverged(const std::string& what, const UpdateBatches& batches) const {
  std::string names;
  for (const DeviceBatch& batch : batches) {
    if (names.size() > 400) {
      names += ", ...";
      break;
    }
    compat::append_item(names, ids_text(batch.ids));
  }
  throw DivergenceError(compat::concat("update ", num_updates_ + 1, ": ", what, " (samples ", names,
                                       "); try a lower --lr, --clip-norm or a longer warm-up"));
}

std::vector<BatchStats> Trainer::forward_backward(const UpdateBatches& batches,
                                                  RouterStats& routers) {
  std::vector<BatchStats> stats;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const DeviceBatch& batch = batches[i];
    const auto [loss, nll] =
        passes_->run(batch, optimizer_->loss_scale(), /*last=*/i + 1 == batches.size(), &routers);
    if (!std::isfinite(loss) && optimizer_->scaler() == nullptr)
      diverged("the loss of a batch is " + compat::general(loss), {batch});
    stats.push_back({batch.domain, batch.num_tokens, batch.num_sentences, loss, nll});
  }
  return stats;
}

std::vector<BatchStats> Trainer::exchange_stats(const std::vector<BatchStats>& mine) {
  const RankNote note{training_seconds(), compat::received_signal()};
  agreed_seconds_ = note.seconds;
  agreed_signal_ = note.signal;
  if (world_.size() == 1) return mine;
  std::string message(reinterpret_cast<const char*>(&note), sizeof(note));
  message.append(reinterpret_cast<const char*>(mine.data()), mine.size() * sizeof(BatchStats));
  std::vector<BatchStats> all;
  agreed_seconds_ = 0;
  for (const std::string& bytes : world_.all_gather(message)) {
    RankNote theirs;
    std::memcpy(&theirs, bytes.data(), sizeof(theirs));
    agreed_seconds_ += theirs.seconds / world_.size();
    agreed_signal_ = std::max(agreed_signal_, theirs.signal);
    const std::size_t count = (bytes.size() - sizeof(theirs)) / sizeof(BatchStats),
                      from = all.size();
    all.resize(from + count);
    if (count > 0)
      std::memcpy(all.data() + from, bytes.data() + sizeof(theirs), count * sizeof(BatchStats));
  }
  return all;
}

void Trainer::exchange_routers(RouterStats& routers) {
  if (world_.size() == 1 || model_->config().moe_freq == 0) return;
  RouterStats sum;
  for (const std::string& bytes : world_.all_gather(routers.bytes()))
    sum.add(RouterStats::from_bytes(bytes));
  routers = std::move(sum);
}

/// Activations use the memory of the gradients until the next backward pass. Clearing its pages
/// later costs a nanosecond per parameter, little beside a large batch.
bool Trainer::gives_back_gradients(const UpdateBatches& batches) const {
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  constexpr std::int64_t kTokensOfLargeBatch = 1024;
  const at::Tensor& gradients = flat_->gradients();
  const auto large = [](const DeviceBatch& batch) {
    return batch.num_tokens >= kTokensOfLargeBatch;
  };
  return gradients.is_cpu() && gradients.nbytes() >= kBytes && std::ranges::any_of(batches, large);
}

/// Clipping needs all gradients at once, and so do other ranks and further batches.
bool Trainer::updates_by_layer(const UpdateBatches& batches) const {
  return batches.size() == 1 && world_.size() == 1 && !experts_ && device().is_cpu() &&
         options_.optimization.clip_norm == 0 && !optimizer_->precision().is_half() &&
         optimizer_->has_parts();
}

/// Sets `stats` and `routers` to those of all ranks.
ParameterOptimizer::Step Trainer::update(const UpdateBatches& batches,
                                         std::vector<BatchStats>& stats, RouterStats& routers) {
  const auto divisor = [](double total) { return total > 0 ? total : 1.0; };
  const bool by_layer = updates_by_layer(batches), gives_back = gives_back_gradients(batches);
  if (by_layer) {
    const DeviceBatch& batch = batches.front();
    const BatchStats sizes{batch.domain, batch.num_tokens, batch.num_sentences};
    optimizer_->begin_parts(lr_, 1.0 / divisor(static_cast<double>(sample_size(sizes))));
    flat_->on_ready([this, gives_back](std::size_t first, std::size_t last) {
      optimizer_->step_part(first, last, gives_back);
    });
  }
  const std::vector<BatchStats> mine = forward_backward(batches, routers);
  if (reducer_) reducer_->finish();
  exchange_routers(routers);
  stats = exchange_stats(mine);
  if (by_layer) {
    flat_->on_ready({});
    return optimizer_->end_parts();
  }
  double total = 0;
  for (const BatchStats& batch : stats) total += static_cast<double>(sample_size(batch));
  const double factor = (reducer_ ? reducer_->factor() : 1.0) / divisor(total);
  const ParameterOptimizer::Step step =
      optimizer_->step(lr_, factor, options_.optimization.clip_norm);
  if (gives_back && step.updated) zero_lazily(flat_->gradients());
  return step;
}

/// So that a resumed run draws the same numbers.
void Trainer::seed_dropout() const {
  const TransformerConfig& config = model_->config();
  if (config.dropout > 0 || config.attention_dropout > 0 || config.activation_dropout > 0 ||
      config.decoder_layerdrop > 0 || config.adaptive_softmax_dropout > 0)
    at::manual_seed(static_cast<std::uint64_t>(options_.common.seed + num_updates_));
}

bool Trainer::train_step(const UpdateBatches& batches) {
  seed_dropout();
  const std::vector<MetersDict*> active{&metrics_["default"], &metrics_["train"],
                                        &metrics_["train_inner"]};
  for (MetersDict* meters : active) meters->log_start_time("train_wall", 800, 0);
  const auto finish = [&] {
    for (MetersDict* meters : active) {
      if (optimizer_->scaler() != nullptr)
        meters->log_scalar("loss_scale", optimizer_->loss_scale(), 0, 700, 4);
      meters->log_stop_time("train_wall");
    }
  };

  std::vector<BatchStats> stats;
  RouterStats routers;
  const ParameterOptimizer::Step step = update(batches, stats, routers);
  if (step.hopeless)
    diverged(compat::concat("gradients overflow at the minimum loss scale ",
                            compat::general(options_.common.min_loss_scale), " (--min-loss-scale)"),
             batches);
  if (!step.updated && optimizer_->scaler() == nullptr)
    diverged("the gradient norm is " + compat::general(step.gradient_norm), batches);
  if (!step.updated) {
    finish();
    return false;
  }
  gradient_norm_ = step.gradient_norm;
  set_num_updates(num_updates_ + 1);
  if (ema_) ema_->step(num_updates_);
  for (MetersDict* meters : active) {
    if (ema_) meters->log_scalar("ema_decay", ema_->decay(), 0, 10000, 5);
    meters->log_scalar("lr", lr_, 0, 300);
    meters->log_scalar("num_updates", static_cast<double>(num_updates_), 0, 200);
    meters->log_speed("ups", 1, 100, 2);
    meters->log_scalar("gnorm", gradient_norm_, 1, 400, 3);
    if (options_.optimization.clip_norm > 0)
      meters->log_scalar("clip", gradient_norm_ > options_.optimization.clip_norm ? 100 : 0, 1, 500,
                         1);
    routers.log(*meters);
  }
  log_stats(stats, domains_, active);
  MetersDict alone;
  log_stats(stats, {}, {&alone});
  const Meter* const by_token = alone.find("nll_loss");
  if (const Meter* const loss = by_token != nullptr ? by_token : alone.find("loss");
      loss != nullptr)
    last_loss_ = loss->mean().value_or(0);
  finish();
  return true;
}

void Trainer::valid_step(const DeviceBatch* batch, const std::string& domain, MetersDict& meters) {
  std::vector<BatchStats> mine;
  if (batch != nullptr) {
    const auto [loss, nll] = passes_->evaluate(*batch);
    mine.push_back({batch->domain, batch->num_tokens, batch->num_sentences, loss, nll});
  }
  log_stats(exchange_stats(mine), domain.empty() ? std::vector<std::string>{} : std::vector{domain},
            {&meters, &metrics_["valid"]});
}

void Trainer::log_stats(const std::vector<BatchStats>& stats,
                        const std::vector<std::string>& domains,
                        const std::vector<MetersDict*>& active) const {
  struct Sums {
    double loss = 0, nll = 0, tokens = 0, sample_size = 0;
  };
  Sums all;
  double sentences = 0;
  std::map<std::int64_t, Sums> by_domain;
  for (const BatchStats& batch : stats) {
    sentences += static_cast<double>(batch.sentences);
    for (Sums* sums : {&all, &by_domain[batch.domain]}) {
      sums->loss += batch.loss;
      sums->nll += batch.nll;
      sums->tokens += static_cast<double>(batch.tokens);
      sums->sample_size += static_cast<double>(sample_size(batch));
    }
  }
  if (all.sample_size == 0) return;
  const bool is_smoothed = options_.optimization.criterion == "label_smoothed_cross_entropy";
  const bool logs_domains =
      options_.optimization.criterion == "desynchronized_cross_entropy" && !domains.empty();
  for (MetersDict* meters : active) {
    meters->log_scalar("wpb", all.tokens, 1, 180, 1);
    meters->log_speed("wps", all.tokens, 90, 1);
    meters->log_scalar("bsz", sentences, 1, 190, 1);
    meters->log_scalar("loss", base2(all.loss, all.sample_size), all.sample_size, 10, 3);
    if (logs_domains) {
      for (const auto& [domain, sums] : by_domain)
        meters->log_scalar(perplexity_key(domains[static_cast<std::size_t>(domain)]),
                           std::exp2(base2(sums.loss, sums.tokens)), sums.tokens, 10, 3);
    } else if (all.sample_size != all.tokens || is_smoothed) {
      meters->log_scalar("nll_loss", base2(all.nll, all.tokens), all.tokens, 10, 3);
      meters->log_perplexity("ppl", "nll_loss");
    } else {
      meters->log_perplexity("ppl", "loss");
    }
  }
}

}  // namespace btm
