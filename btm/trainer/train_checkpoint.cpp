#include "btm/trainer/train_checkpoint.h"

#include <utility>

#include "btm/model/tensor_bridge.h"
#include "btm/trainer/fairseq_config.h"
#include "btm/trainer/optimizer_state.h"
#include "btm/trainer/state_dict.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/checkpoint/stored_ema.h"
#include "compat/fairseq/config_json.h"

namespace btm {
namespace {

using compat::PickleArena;
using compat::PickleDict;
using compat::PickleNode;

constexpr std::int64_t kIteratorVersion = 2;

/// `lr_scheduler_state`: what the schedule keeps, under fairseq's keys and one of our own.
PickleNode* schedule_node(PickleArena& arena, const LrSchedule::State& state) {
  PickleDict node;
  if (state.lr) {  // fairseq's schedules that keep the rate keep nothing else
    arena.put(node, "lr", arena.real(*state.lr));
    return arena.make(std::move(node));
  }
  arena.put(node, "best", arena.real_or_none(state.best));
  if (state.last_epoch) arena.put(node, "last_epoch", arena.integer(*state.last_epoch));
  if (state.bad_epochs) arena.put(node, "num_bad_epochs", arena.integer(*state.bad_epochs));
  return arena.make(std::move(node));
}

PickleNode* history_node(PickleArena& arena, Trainer& trainer, const TrainState& state) {
  PickleDict entry;
  const std::string& criterion = trainer.options().optimization.criterion;
  for (const auto& [name, class_name] : kCriterions)
    if (name == criterion)
      arena.put(entry, "criterion_name", arena.string(std::string(class_name)));
  arena.put(entry, "optimizer_name",
            arena.string(trainer.optimizer().precision().optimizer_name(
                trainer.optimizer().state().kind())));
  arena.put(entry, "lr_scheduler_state", schedule_node(arena, trainer.schedule().state()));
  arena.put(entry, "num_updates", arena.integer(trainer.num_updates()));
  compat::PickleList history;
  if (const auto* before =
          state.history != nullptr ? state.history->get_if<compat::PickleList>() : nullptr)
    history.items = before->items;
  history.items.push_back(arena.make(std::move(entry)));
  return arena.make(std::move(history));
}

PickleNode* extra_state_node(PickleArena& arena, Trainer& trainer, const TrainState& state) {
  PickleDict iterator;
  arena.put(iterator, "version", arena.integer(kIteratorVersion));
  arena.put(iterator, "epoch", arena.integer(state.iterator.epoch));
  arena.put(iterator, "iterations_in_epoch", arena.integer(state.iterator.iterations_in_epoch));
  arena.put(iterator, "shuffle", arena.boolean(state.iterator.shuffle));
  PickleDict extra;
  arena.put(extra, "metrics", trainer.metrics().state(arena));
  arena.put(extra, "previous_training_time", arena.real(trainer.training_seconds()));
  PickleDict ours;
  if (trainer.ema() != nullptr) trainer.ema()->save(arena, extra, ours);
  arena.put(extra, "train_iterator", arena.make(std::move(iterator)));
  arena.put(extra, "val_loss", arena.real_or_none(state.val_loss));
  if (state.best) arena.put(extra, "best", arena.real(*state.best));
  if (const PickleNode* exact = exact_state(arena, trainer.optimizer()))
    for (const auto& item : exact->get_if<PickleDict>()->items) ours.items.push_back(item);
  if (state.due_epoch) arena.put(ours, "due_epoch", arena.integer(*state.due_epoch));
  if (!ours.items.empty()) arena.put(extra, "btm", arena.make(std::move(ours)));
  return arena.make(std::move(extra));
}

/// Reads extra_state with errors that name the file.
class ExtraState {
 public:
  explicit ExtraState(const compat::Checkpoint& checkpoint)
      : file_(checkpoint.path()), node_(checkpoint.find_entry("extra_state")) {}

  const PickleNode* find(const char* key) const {
    const PickleNode* const found = node_ != nullptr ? node_->find(key) : nullptr;
    return found == nullptr || found->is_none() ? nullptr : found;
  }
  std::optional<double> number(const char* key) const {
    const PickleNode* const found = find(key);
    if (found == nullptr) return std::nullopt;
    if (const auto* real = found->get_if<double>()) return *real;
    if (const auto* integer = found->get_if<std::int64_t>()) return static_cast<double>(*integer);
    if (const auto* tensor = found->get_if<compat::PickleTensor>();
        tensor != nullptr && tensor->view.numel() == 1)
      return to_tensor(tensor->view, at::kDouble, at::kCPU).item<double>();
    throw compat::FormatError({file_, std::string("extra_state.") + key, {}},
                              "is " + found->describe() + ", expected a number");
  }
  IteratorState iterator(bool& versioned) const {
    const PickleNode* const state = find("train_iterator");
    if (state == nullptr)
      throw compat::FormatError({file_, "extra_state.train_iterator", {}}, "is missing");
    const auto integer = [&](const char* key, std::int64_t fallback, std::int64_t lowest) {
      const PickleNode* const node = state->find(key);
      if (node == nullptr) return fallback;
      const auto* value = node->get_if<std::int64_t>();
      if (value == nullptr || *value < lowest)
        throw compat::FormatError(
            {file_, std::string("extra_state.train_iterator.") + key, {}},
            compat::concat("is ", value != nullptr ? std::to_string(*value) : node->describe(),
                           ", expected an int of at least ", lowest));
      return *value;
    };
    IteratorState iterator{integer("epoch", 1, 1), integer("iterations_in_epoch", 0, 0), true};
    const PickleNode* const shuffle = state->find("shuffle");
    if (const auto* flag = shuffle != nullptr ? shuffle->get_if<bool>() : nullptr)
      iterator.shuffle = *flag;
    versioned = integer("version", 1, 0) >= kIteratorVersion;
    return iterator;
  }

 private:
  const std::string& file_;
  const PickleNode* node_;
};

/// The last entry of optimizer_history, or null.
const PickleNode* last_history(const PickleNode* history) {
  const auto* list = history != nullptr ? history->get_if<compat::PickleList>() : nullptr;
  return list == nullptr || list->items.empty() ? nullptr : list->items.back();
}

/// UsageError for the state of another optimizer than the run's. Half precision hides the name;
/// then the entries tell.
void check_same_optimizer(const Trainer& trainer, const PickleNode* last, const std::string& file) {
  const PickleNode* const name = last != nullptr ? last->find("optimizer_name") : nullptr;
  const std::string* const theirs = name != nullptr ? name->get_if<std::string>() : nullptr;
  const OptimizerKind* const found = theirs != nullptr ? optimizer_of_class(*theirs) : nullptr;
  const OptimizerKind& kind = trainer.optimizer().state().kind();
  if (found != nullptr && found != &kind)
    throw compat::UsageError(compat::concat(compat::printable(file, 4096), " holds the state of ",
                                            found->name, ", the run has --optimizer ", kind.name,
                                            ": give --optimizer ", found->name,
                                            ", or --reset-optimizer to start from a new state"));
}

/// The learning rate of the first param_group.
std::optional<double> rate_of(const PickleNode& optimizer) {
  const PickleNode* const groups = optimizer.find("param_groups");
  const auto* list = groups != nullptr ? groups->get_if<compat::PickleList>() : nullptr;
  const PickleNode* const lr =
      list != nullptr && !list->items.empty() ? list->items.front()->find("lr") : nullptr;
  const double* const rate = lr != nullptr ? lr->get_if<double>() : nullptr;
  return rate != nullptr ? std::optional(*rate) : std::nullopt;
}

LrSchedule::State schedule_state(const PickleNode& node) {
  const auto value = [&]<class T>(const char* key, T) -> std::optional<T> {
    const PickleNode* const found = node.find(key);
    const T* const number = found != nullptr ? found->get_if<T>() : nullptr;
    return number != nullptr ? std::optional(*number) : std::nullopt;
  };
  return {value("best", 0.0), value("lr", 0.0), value("last_epoch", std::int64_t{}),
          value("num_bad_epochs", std::int64_t{})};
}

void restore_optimizer(Trainer& trainer, const compat::Checkpoint& checkpoint,
                       const TrainState& state) {
  const CheckpointOptions& options = trainer.options().checkpoint;
  const PickleNode* const optimizer = checkpoint.find_entry("last_optimizer_state");
  const PickleNode* const last = last_history(state.history);
  if (optimizer == nullptr || options.reset_optimizer) return;
  check_same_optimizer(trainer, last, checkpoint.path());
  load_optimizer_state(trainer.optimizer(), *optimizer,
                       compat::parse_python_literal(options.optimizer_overrides),
                       checkpoint.path());
  const PickleNode* const updates = last != nullptr ? last->find("num_updates") : nullptr;
  const auto* count = updates != nullptr ? updates->get_if<std::int64_t>() : nullptr;
  if (count == nullptr || *count < 0)
    throw compat::FormatError({checkpoint.path(), "optimizer_history", {}},
                              "has no num_updates in its last entry (--reset-optimizer starts "
                              "without the optimizer's state)");
  if (const PickleNode* scheduler = last->find("lr_scheduler_state");
      scheduler != nullptr && !options.reset_lr_scheduler)
    trainer.schedule().restore(schedule_state(*scheduler), *count, rate_of(*optimizer));
  trainer.set_num_updates(*count);
}

/// A warning when the optimizer state in `checkpoint` has another precision than the run (fp32,
/// --fp16, memory-efficient), which fairseq refuses. Empty where it has the same or is not used.
std::string changed_precision(const Trainer& trainer, const compat::Checkpoint& checkpoint) {
  const PickleNode* const last = last_history(checkpoint.find_entry("optimizer_history"));
  const PickleNode* const name = last != nullptr ? last->find("optimizer_name") : nullptr;
  const std::string* const theirs = name != nullptr ? name->get_if<std::string>() : nullptr;
  const OptimizerKind& kind = trainer.optimizer().state().kind();
  const std::string ours = trainer.optimizer().precision().optimizer_name(kind);
  if (theirs == nullptr || *theirs == ours || trainer.options().checkpoint.reset_optimizer)
    return "";
  return checkpoint.path() + " holds the state of " + compat::printable(*theirs) +
         ", this run's precision flags ask for " + ours +
         ": the state continues in the new precision, where fairseq stops (--reset-optimizer "
         "starts from a new state)";
}

}  // namespace

compat::PickleTree make_checkpoint(Trainer& trainer, const TrainState& state) {
  compat::PickleTree tree;
  tree.arena = std::make_shared<PickleArena>();
  PickleArena& arena = *tree.arena;
  if (state.history_arena) arena.keep(state.history_arena);
  PickleDict root;
  arena.put(root, "args", arena.none());
  arena.put(
      root, "cfg",
      compat::config_to_pickle(arena, fairseq_config(trainer.options(), trainer.model().config(),
                                                     trainer.world().size())));
  arena.put(root, "model", arena.none());  // reserves its place; filled below
  arena.put(root, "criterion", arena.none());
  arena.put(root, "optimizer_history", history_node(arena, trainer, state));
  arena.put(root, "task_state", arena.make(PickleDict{}));
  arena.put(root, "extra_state", extra_state_node(arena, trainer, state));
  if (!trainer.options().checkpoint.no_save_optimizer_state)
    arena.put(root, "last_optimizer_state",
              optimizer_state(arena, trainer.optimizer(), trainer.lr()));
  if (!state.dictionary_sha256.empty())
    arena.put(root, compat::kDictionaryKey, arena.string(state.dictionary_sha256));
  tree.root = compat::with_model(arena, *arena.make(std::move(root)),
                                 state_dict(trainer.flat(), trainer.flat().values(),
                                            trainer.model().config(), kDecoderVersion));
  return tree;
}

std::vector<std::string> doubts_of_restart(const Trainer& trainer,
                                           const compat::Checkpoint& checkpoint) {
  std::vector<std::string> doubts;
  if (std::string changed = changed_precision(trainer, checkpoint); !changed.empty())
    doubts.push_back(std::move(changed));
  if (trainer.options().ema.store && !compat::has_stored_ema(checkpoint))
    doubts.push_back(checkpoint.path() + " has no average of weights (extra_state.ema): " +
                     (trainer.options().ema.seed_model.empty()
                          ? "--store-ema starts one from its weights"
                          : "it starts from --ema-seed-model"));
  return doubts;
}

TrainState restore_training_state(Trainer& trainer, const compat::Checkpoint& checkpoint) {
  const CheckpointOptions& options = trainer.options().checkpoint;
  TrainState state;
  state.history = checkpoint.find_entry("optimizer_history");
  state.history_arena = checkpoint.tree().arena;
  restore_optimizer(trainer, checkpoint, state);
  if (trainer.ema() != nullptr) trainer.ema()->restore(checkpoint);
  const ExtraState extra(checkpoint);
  if (checkpoint.find_entry("extra_state") == nullptr) return state;
  if (const PickleNode* exact = extra.find("btm"); exact != nullptr && !options.reset_optimizer)
    load_exact_state(trainer.optimizer(), *exact, checkpoint.path());
  bool versioned = false;
  const IteratorState iterator = extra.iterator(versioned);
  if (!options.reset_dataloader) state.iterator = iterator;
  trainer.set_previous_seconds(extra.number("previous_training_time").value_or(0));
  const PickleNode* const due =
      extra.find("btm") != nullptr ? extra.find("btm")->find("due_epoch") : nullptr;
  if (const auto* epoch = due != nullptr ? due->get_if<std::int64_t>() : nullptr;
      epoch != nullptr && !options.reset_dataloader)
    state.due_epoch = *epoch;
  // fairseq resets the meters at the start of an epoch. It keeps them where --reset-dataloader
  // starts an epoch of other data, whose averages would then hold updates of the first data.
  const bool begins_epoch = options.reset_dataloader ||
                            (versioned && iterator.iterations_in_epoch == 0 && !state.due_epoch);
  const bool reset_meters = options.reset_meters || begins_epoch;
  if (const PickleNode* metrics = extra.find("metrics"); metrics != nullptr && !reset_meters) {
    trainer.metrics().load(*metrics, checkpoint.path());
    trainer.metrics()["default"].reset_clocks();
  }
  if (!options.reset_optimizer && !options.reset_meters) state.best = extra.number("best");
  return state;
}

}  // namespace btm
