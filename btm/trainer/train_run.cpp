#include "btm/trainer/train_run.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <numeric>
#include <utility>

#include "btm/data/dictionary_doubts.h"
#include "btm/trainer/checkpoint_manager.h"
#include "btm/trainer/demix_checkpoint.h"
#include "btm/trainer/due.h"
#include "btm/trainer/fairseq_config.h"
#include "btm/trainer/initialise.h"
#include "btm/trainer/optimizer_state.h"
#include "btm/trainer/rank_agreement.h"
#include "btm/trainer/train_checkpoint.h"
#include "btm/trainer/train_data.h"
#include "btm/trainer/train_log.h"
#include "btm/trainer/train_start.h"
#include "btm/trainer/validation.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/fairseq/dictionary_digest.h"
#include "compat/program/signals.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

template <class T>
T nth_or_last(const std::vector<T>& values, std::int64_t n) {
  return values[static_cast<std::size_t>(
      std::min<std::int64_t>(n, static_cast<std::int64_t>(values.size()) - 1))];
}

/// A point between two updates.
struct Moment {
  std::int64_t epoch = 1;
  bool end_of_epoch = false;
  IteratorState next;  ///< Where the training continues.
};

class TrainRun {
 public:
  TrainRun(TrainOptions options, Communicator& world, int local_rank);
  int run();

 private:
  void load();
  void restore(const compat::Checkpoint& checkpoint);
  void prepare_save_dir();
  void open_data(std::int64_t epoch);
  RankFacts start_facts() const;
  EpochBatches open_epoch();
  bool train_epoch();
  std::int64_t updates_of(const EpochBatches& batches) const;
  void end_epoch(std::int64_t epoch);
  bool make_up_for_interruption();
  bool after_update(const Moment& moment);
  void save(const Moment& moment, std::optional<double> val_loss);
  void save_interrupted(const Moment& moment, bool due);
  void save_at(const SavePoint& point, const IteratorState& next);
  void log_saved();
  void finish_saving();
  bool limit_reached() const;
  void warn_of_doubts();
  std::function<void(const std::string&)> warner() {
    return [this](const std::string& line) { log_.warn(kTrainName, line); };
  }

  TrainOptions options_;
  Communicator& world_;
  TrainLog log_;
  std::optional<compat::FileLock>
      lock_;  ///< Of the save folder, held until the last checkpoint is written.
  CheckpointManager checkpoints_;
  compat::Dictionary dictionary_;
  CollateOptions collate_;
  DataPlace place_;
  std::unique_ptr<Trainer> trainer_;
  fs::path start_;  ///< The checkpoint that the run starts from; empty: none.
  bool keeps_digest_ =
      true;  ///< start_, of its dictionary; until the first update has been looked at.
  TrainState state_;
  TrainData train_data_;
  bool several_folders_ = false;  ///< DATA, whose epochs take them in turn.
  std::vector<ValidData> valid_data_;
  EarlyStop early_stop_;
};

/// DeMIX: every rank has files of its own.
TrainOptions with_rank_suffix(TrainOptions options, int rank) {
  if (options.demix.desynchronize)
    options.checkpoint.checkpoint_suffix = compat::concat("-rank-", rank);
  return options;
}

TrainRun::TrainRun(TrainOptions options, Communicator& world, int local_rank)
    : options_(with_rank_suffix(std::move(options), world.rank())),
      world_(world),
      log_(options_.common, options_.checkpoint.save_dir, world.rank() != 0),
      checkpoints_(options_.checkpoint),
      early_stop_(options_.checkpoint) {
  if (options_.common.num_threads > 0)
    at::set_num_threads(static_cast<int>(options_.common.num_threads));
  collate_.device = !options_.common.cpu && at::hasCUDA()
                        ? at::Device(at::kCUDA, static_cast<at::DeviceIndex>(local_rank))
                        : at::Device(at::kCPU);
}

/// Called after everything that the command line names was checked, so that a mistyped name leaves
/// no folder.
void TrainRun::prepare_save_dir() {
  CheckpointOptions options = options_.checkpoint;
  if (!fs::exists(options.save_dir)) starting_checkpoint(options);
  world_.barrier();  // a rank that found an error has ended before this
  if (!options.no_save && world_.rank() == 0) {
    std::error_code error;
    fs::create_directories(options.save_dir, error);
    if (error) throw compat::IoError(options.save_dir, "cannot create the folder", error.value());
    if (auto lock = lock_save_dir(options.save_dir, warner())) lock_.emplace(*std::move(lock));
    recover_checkpoints(options.save_dir);
  }
  log_.begin();
  world_.barrier();  // no rank may read a checkpoint while another one replaces it
}

void TrainRun::load() {
  const std::vector<std::string> folders = data_folders(options_.task.data);
  several_folders_ = folders.size() > 1;
  const fs::path folder = folders.front();
  dictionary_ = load_data_dictionary(options_);
  options_.task.domain_token.original_domains =  // for checkpoints
      compat::join(token_domains(options_), ",");
  const compat::KnownDictionary known =
      compat::known_dictionary(dictionary_, (folder / "dict.txt").string());
  log_.info(kTrainName, compat::concat("dictionary: ", dictionary_.size(), " types"));

  const TransformerConfig config = TransformerConfig::from(model_config(options_));
  RankFacts facts = option_facts(options_, config);
  facts.emplace_back("the device", collate_.device.is_cpu() ? "a CPU" : "a GPU");
  check_ranks_agree(facts, world_);
  auto model = std::make_unique<TransformerLM>(config, dictionary_.size());
  place_ = {world_.rank(), world_.size(), config.max_target_positions};
  if (!options_.dataset.disable_validation)
    valid_data_ = open_valid_data(options_, dictionary_, place_, warner());
  open_data(state_.iterator.epoch);

  prepare_save_dir();
  start_ = starting_checkpoint(options_.checkpoint);
  std::optional<compat::Checkpoint> checkpoint;
  if (start_.empty()) {
    log_.info(
        kTrainName,
        "No existing checkpoint found " +
            (fs::path(options_.checkpoint.save_dir) / options_.checkpoint.restore_file).string());
    initialise(*model, options_.common.seed);
  } else {
    checkpoint = open_start(start_, *model, known);
    keeps_digest_ = checkpoint && !checkpoint->dictionary().sha256.empty();
  }
  if (options_.demix.desynchronize) {
    if (!options_.checkpoint.reset_meters || options_.checkpoint.finetune_from_model.empty())
      check_same_update(checkpoint ? &*checkpoint : nullptr, world_);
    std::vector<int> ranks(static_cast<std::size_t>(world_.size()));
    std::iota(ranks.begin(), ranks.end(), 0);
    checkpoints_.commit_together(world_.subgroup(ranks));
  }
  trainer_ = std::make_unique<Trainer>(options_, std::move(model), world_, collate_.device);
  if (checkpoint) restore(*checkpoint);
  state_.dictionary_sha256 = known.sha256;
  checkpoints_.set_best(state_.best);
  for (const std::string& line : trainer_->facts()) log_.info(kTrainName, line);
  if (valid_data_.size() > 1 && !options_.checkpoint.no_save)
    log_.info(kTrainName,
              compat::concat("the best checkpoint goes by the ",
                             compat::printable(options_.checkpoint.best_checkpoint_metric),
                             " of \"", compat::printable(valid_data_.front().subset),
                             "\", the first of ", valid_data_.size(), " sets"));
  collate_.pad = dictionary_.pad();
  if (options_.task.pad_to_fixed_length) collate_.fixed_columns = options_.task.tokens_per_sample;
  if (several_folders_ && state_.iterator.epoch > 1)
    open_data(state_.iterator.epoch);
  else
    trainer_->name_domains(train_data_.domains);
  if (world_.size() > 1) check_ranks_agree(start_facts(), world_);
}

void TrainRun::restore(const compat::Checkpoint& checkpoint) {
  state_ = restore_training_state(*trainer_, checkpoint);
  for (const std::string& doubt : doubts_of_restart(*trainer_, checkpoint))
    log_.warn(kTrainName, doubt);
  log_.info(kTrainName,
            compat::concat("Loaded checkpoint ", start_.string(), " (epoch ", state_.iterator.epoch,
                           " @ ", trainer_->num_updates(), " updates)"));
}

void TrainRun::open_data(std::int64_t epoch) {
  train_data_ = open_train_data(options_, dictionary_, epoch, place_, warner());
  if (trainer_) trainer_->name_domains(train_data_.domains);
}

/// What this rank has read. It must be the same on all ranks, whatever the paths are.
RankFacts TrainRun::start_facts() const {
  RankFacts facts{
      {"dict.txt", compat::concat(dictionary_.size(), " types of digest ",
                                  compat::dictionary_sha256(dictionary_).substr(0, 16))},
      {"the data of --train-subset", size_text(train_data_.size)}};
  for (const ValidData& data : valid_data_)
    facts.emplace_back("the data of --valid-subset " + data.subset,
                       size_text(size_of(*data.dataset)));
  facts.emplace_back("the checkpoint to start from",
                     start_.empty() ? "none"
                                    : compat::concat(trainer_->num_updates(), " updates, epoch ",
                                                     state_.iterator.epoch, ", batch ",
                                                     state_.iterator.iterations_in_epoch));
  facts.emplace_back("the checksum of the weights to start from",
                     compat::concat(shared_weights_crc(*trainer_)));
  return facts;
}

bool TrainRun::limit_reached() const {
  const OptimizationOptions& o = options_.optimization;
  return (o.max_update > 0 && trainer_->num_updates() >= o.max_update) ||
         (o.stop_time_hours > 0 && trainer_->agreed_seconds() / 3600 > o.stop_time_hours);
}

/// Logs the checkpoint that was written since the last call.
void TrainRun::log_saved() {
  if (const std::string message = checkpoints_.poll(); !message.empty())
    log_.info(kTrainName, message);
}

void TrainRun::finish_saving() {
  checkpoints_.wait();
  log_saved();
}

int TrainRun::run() {
  load();
  bool stop = make_up_for_interruption();
  if (!stop && limit_reached()) {
    // fairseq makes one more update each time. Here the same command twice gives the same model, so
    // that a run killed after its last checkpoint can be started again.
    log_.info(kTrainName,
              compat::concat("nothing left to train: ", trainer_->num_updates(), " updates, ",
                             compat::general(trainer_->agreed_seconds() / 3600), " hours"));
    if (start_ != last_checkpoint(options_.checkpoint))
      save({state_.iterator.epoch, false, state_.iterator}, std::nullopt);
    finish_saving();
    return 0;
  }
  const std::int64_t max_epoch = options_.optimization.max_epoch;
  const auto start = std::chrono::steady_clock::now();
  while (!stop && (max_epoch <= 0 || state_.iterator.epoch <= max_epoch)) {
    if (trainer_->lr() <= options_.optimization.stop_min_lr && trainer_->num_updates() > 0) {
      log_.info(kTrainName, "stopping training because current learning rate (" +
                                compat::general(trainer_->lr()) +
                                ") is smaller than or equal to --stop-min-lr");
      break;
    }
    stop = train_epoch();
    if (several_folders_ && !stop) open_data(state_.iterator.epoch);
  }
  finish_saving();
  if (const int signal = trainer_->agreed_signal(); signal != 0) {
    log_.info(
        kTrainName,
        compat::concat("ended by ", compat::signal_name(signal), " after ", trainer_->num_updates(),
                       " updates", options_.checkpoint.no_save ? "" : ", everything is saved"));
    return 128 + signal;
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  log_.info(kTrainName,
            "done training in " + compat::general(python_round(seconds, 1)) + " seconds");
  return 0;
}

/// The remaining batches, from state_.iterator on.
EpochBatches TrainRun::open_epoch() {
  const std::int64_t epoch = state_.iterator.epoch;
  CollateOptions collate = collate_;
  if (options_.task.pad_to_fixed_bsz) collate.fixed_rows = options_.dataset.batch_size;
  if (state_.iterator.iterations_in_epoch == 0)
    state_.iterator.shuffle = epoch > options_.dataset.curriculum;
  return EpochBatches(train_data_, collate, options_.common.seed, state_.iterator,
                      nth_or_last(options_.optimization.update_freq, epoch - 1),
                      options_.optimization.skip_remainder_batch,
                      options_.dataset.data_buffer_size);
}

/// Called after the first update from a checkpoint without a digest of its dictionary.
void TrainRun::warn_of_doubts() {
  if (std::exchange(keeps_digest_, true)) return;
  const std::string file =
      (fs::path(data_folders(options_.task.data).front()) / "dict.txt").string();
  for (const std::string& doubt :
       {doubt_by_special_symbols(dictionary_, file),
        doubt_by_loss(start_.string(), trainer_->last_loss_base2(), dictionary_, file)})
    if (!doubt.empty()) log_.warn(kTrainName, doubt);
}

/// The updates of the epoch, up to --max-update.
std::int64_t TrainRun::updates_of(const EpochBatches& batches) const {
  const std::int64_t most = options_.optimization.max_update;
  if (most <= 0) return batches.size();
  return std::min(batches.size(), batches.done() + most - trainer_->num_updates());
}

/// Trains from state_.iterator to the end of its epoch. True when the run must end.
bool TrainRun::train_epoch() {
  const std::int64_t epoch = state_.iterator.epoch;
  EpochBatches batches = open_epoch();
  trainer_->begin_epoch(epoch);
  log_.info(kTrainName, compat::concat("begin training epoch ", epoch));
  bool stop = false;
  while (!stop && batches.has_next()) {
    const UpdateBatches update = batches.next();
    if (trainer_->train_step(update)) {
      warn_of_doubts();
      log_.progress(epoch, "", batches.done(), updates_of(batches));
      if (log_.due(trainer_->num_updates())) {
        MetersDict& inner = trainer_->metrics()["train_inner"];
        LogRow row = inner.row();
        row.emplace_back("wall",
                         python_round(trainer_->metrics()["default"].find("wall")->elapsed(), 0));
        log_.row("train_inner", epoch, batches.done(), batches.size(), row,
                 trainer_->num_updates());
        inner.reset();
      }
    } else {
      log_.info(kTrainName,
                "NOTE: gradient overflow detected, ignoring gradient, setting loss scale to: " +
                    compat::general(trainer_->optimizer().loss_scale()));
    }
    log_saved();
    stop = after_update({epoch, batches.end_of_epoch(), batches.state()});
  }
  end_epoch(epoch);
  state_.iterator = batches.state();
  return stop;
}

void TrainRun::end_epoch(std::int64_t epoch) {
  LogRow row = trainer_->metrics()["train"].row();
  row.emplace_back("wall", python_round(trainer_->metrics()["default"].find("wall")->elapsed(), 0));
  log_.summary("train", epoch, row, trainer_->num_updates());
  trainer_->metrics()["train"].reset();
}

/// The validation and the checkpoints that a signal prevented in the previous run. True when the
/// run must end.
bool TrainRun::make_up_for_interruption() {
  const std::optional<std::int64_t> epoch = std::exchange(state_.due_epoch, std::nullopt);
  if (!epoch || start_ != last_checkpoint(options_.checkpoint)) return false;
  log_.info(kTrainName, compat::concat("validating and saving as was due after ",
                                       trainer_->num_updates(), " updates, when a signal came"));
  const Moment moment{*epoch, state_.iterator.epoch != *epoch, state_.iterator};
  const bool stop = after_update(moment);
  if (moment.end_of_epoch) end_epoch(*epoch);
  return stop;
}

/// fairseq's validate_and_save. True when the run must end.
bool TrainRun::after_update(const Moment& moment) {
  const std::int64_t updates = trainer_->num_updates(), epoch = moment.epoch;
  bool stop = limit_reached();
  const Due due = due_after_update(options_, epoch, moment.end_of_epoch, updates, stop);
  if (trainer_->agreed_signal() != 0) {
    save_interrupted(moment, due.save || due.validate);
    return true;
  }
  if (stop)
    log_.info(kTrainName,
              compat::concat("Stopping training: ", updates, " updates, ",
                             compat::general(trainer_->agreed_seconds() / 3600), " hours"));
  const std::optional<double> val_loss =
      due.validate ? validate(*trainer_, log_, valid_data_, collate_, epoch, checkpoints_.best())
                   : std::nullopt;
  if (trainer_->agreed_signal() != 0) {
    // It came during the validation, whose result is then incomplete.
    save_interrupted(moment, true);
    return true;
  }
  // Before the checkpoint, so that a resumed run goes on as this one does. fairseq steps after it.
  if (moment.end_of_epoch) trainer_->end_epoch(epoch, val_loss);
  if (early_stop_.note(val_loss)) {
    stop = true;
    log_.info(kTrainName,
              compat::concat("early stop since valid performance hasn't improved for last ",
                             options_.checkpoint.patience, " runs"));
  }
  if (due.save || stop) save(moment, val_loss);
  return stop;
}

void TrainRun::save(const Moment& moment, std::optional<double> val_loss) {
  save_at(
      {moment.epoch, trainer_->num_updates(), moment.end_of_epoch, /*interrupted=*/false, val_loss},
      moment.next);
}

/// `due`: the next run makes the update's validation and checkpoints.
void TrainRun::save_interrupted(const Moment& moment, bool due) {
  save_at({moment.epoch, trainer_->num_updates(), moment.end_of_epoch, /*interrupted=*/true,
           std::nullopt, due},
          moment.next);
}

void TrainRun::save_at(const SavePoint& point, const IteratorState& next) {
  checkpoints_.note(point.val_loss);
  const ExpertGroups* const experts = trainer_->experts();
  if ((world_.rank() != 0 && experts == nullptr) || checkpoints_.file_names(point).empty()) return;
  TrainState now = state_;
  now.iterator = next;
  now.val_loss = point.val_loss;
  now.best = checkpoints_.best();
  if (point.due) now.due_epoch = point.epoch;
  compat::PickleTree checkpoint = make_checkpoint(*trainer_, now);
  if (experts == nullptr) return checkpoints_.save(std::move(checkpoint), point);
  std::vector<std::string> names;
  for (const std::size_t slot : entry_slots(trainer_->flat()))
    names.push_back(trainer_->flat().slots()[slot].name);
  const auto is_expert = [&](const std::string& name) { return experts->is_expert(name); };
  std::vector<CheckpointManager::Part> parts{
      {options_.checkpoint.checkpoint_suffix,
       demix_part(checkpoint, names, is_expert, DemixPart::kExpert)}};
  if (world_.rank() == 0)
    parts.push_back({"-shared", demix_part(checkpoint, names, is_expert, DemixPart::kShared)});
  checkpoints_.save(std::move(parts), point);
}

}  // namespace

int train(TrainOptions options, Communicator& world, int local_rank) {
  complete(options);
  check_criterion(options, TransformerConfig::from(model_config(options)));
  const compat::SignalGuard signals;
  return TrainRun(std::move(options), world, local_rank).run();
}

}  // namespace btm
