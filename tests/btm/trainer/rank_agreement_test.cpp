#include "btm/trainer/rank_agreement.h"

#include <gtest/gtest.h>

#include <set>

#include "btm/cli/train_flags.h"
#include "btm/model/config.h"
#include "btm/trainer/fairseq_config.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace btm {
namespace {

using btm_test::expect_error;

TrainOptions tiny() {
  TrainOptions options;
  options.model.arch = "transformer_lm";
  options.dataset.batch_size = 2;
  options.dataset.max_tokens = 100;
  return options;
}

RankFacts facts_of(TrainOptions options) {
  complete(options);
  return option_facts(options, TransformerConfig::from(model_config(options)));
}

/// Two ranks, one after the other. The first leaves its bytes for the second.
class SecondRank final : public Communicator {
 public:
  explicit SecondRank(const RankFacts& first) {
    try {
      check_ranks_agree(first, *this);
    } catch (const compat::UsageError&) {
    }
    first_ = seen_;
  }
  int rank() const noexcept override { return 1; }
  int size() const noexcept override { return 2; }
  std::unique_ptr<Pending> start_all_reduce(const at::Tensor&) override { return nullptr; }
  void broadcast(const at::Tensor&, int) override {}
  std::vector<std::string> all_gather(const std::string& bytes) override {
    seen_ = bytes;
    return {first_.empty() ? bytes : first_, bytes};
  }
  void barrier() override {}
  std::unique_ptr<Communicator> subgroup(const std::vector<int>&) override { return nullptr; }

 private:
  std::string first_, seen_;
};

void compare(const RankFacts& first, const RankFacts& second) {
  SecondRank world(first);
  check_ranks_agree(second, world);
}

TEST(RankAgreement, NamesTheFlagAndBothValues) {
  const RankFacts facts = facts_of(tiny());
  EXPECT_NO_THROW(compare(facts, facts));
  const auto differs = [&](const auto& change, const std::string& message) {
    TrainOptions other = tiny();
    change(other);
    expect_error<compat::UsageError>([&] { compare(facts, facts_of(other)); },
                                     "the ranks differ: " + message);
  };
  differs([](TrainOptions& o) { o.common.seed = 2; }, "--seed is 1 on rank 0 and 2 on rank 1");
  differs([](TrainOptions& o) { o.lr.lr = {0.5}; }, "--lr is [0.25] on rank 0 and [0.5] on rank 1");
  differs([](TrainOptions& o) { o.optimization.update_freq = {2}; },
          "--update-freq is [1] on rank 0 and [2] on rank 1");
  differs([](TrainOptions& o) { o.dataset.batch_size = 4; },
          "--batch-size is 2 on rank 0 and 4 on rank 1");
  differs([](TrainOptions& o) { o.model.dropout = 0.5; },
          "--dropout is 0.1 on rank 0 and 0.5 on rank 1");
  differs([](TrainOptions& o) { o.common.fp16 = true; },
          "--fp16 is False on rank 0 and True on rank 1");
  differs([](TrainOptions& o) { o.optimization.sentence_avg = true; },
          "--sentence-avg is False on rank 0 and True on rank 1");
  differs([](TrainOptions& o) { o.bucket_cap_mb = 1; },
          "--bucket-cap-mb is 25 on rank 0 and 1 on rank 1");
  differs([](TrainOptions& o) { o.model.arch = "transformer_lm_gpt3_small"; }, "--");
  compare({{"dict.txt", "a"}}, {{"dict.txt", "a"}});
  expect_error<compat::UsageError>(
      [] {
        compare({{"the data", "1"}, {"b", "2"}}, {{"b", "3"}});
      },
      "the data is 1 on rank 0 and not given on rank 1");
}

/// Compares every flag of btm train, except those that may differ.
TEST(RankAgreement, KnowsEveryFlag) {
  const std::set<std::string> free{
      "save-dir", "restore-file", "finetune-from-model", "checkpoint-suffix", "log-format",
      "log-file", "log-interval", "no-progress-bar", "tensorboard-logdir", "wandb-project",
      "data-buffer-size", "verbose", "num-threads",
      // The place of a rank. The number of ranks is checked at the rendezvous.
      "distributed-world-size", "distributed-init-method", "distributed-rank", "distributed-port",
      "nprocs-per-node", "device-id", "distributed-no-spawn"};
  // For another schedule or optimizer, and these are compared.
  const std::set<std::string> unused{"warmup-init-lr",
                                     "total-num-update",
                                     "end-learning-rate",
                                     "power",
                                     "min-lr",
                                     "t-mult",
                                     "lr-period-updates",
                                     "train-domains",
                                     "eval-domains",
                                     "unbalanced",
                                     "domain-parallel",
                                     "add-domain-token",
                                     "force-domain-token",
                                     "original-domains",
                                     "momentum",
                                     "adafactor-eps",
                                     "clip-threshold",
                                     "decay-rate",
                                     "beta1",
                                     "scale-parameter",
                                     "relative-step",
                                     "warmup-init",
                                     "adamax-betas",
                                     "adamax-eps",
                                     "no-bias-correction",
                                     "max-lr",
                                     "shrink-min",
                                     "warmup-steps",
                                     "hold-steps",
                                     "decay-steps",
                                     "phase-ratio",
                                     "init-lr-scale",
                                     "final-lr-scale",
                                     "lr-threshold",
                                     "lr-patience",
                                     "label-smoothing",
                                     "adaptive-input",  // needs a cutoff
                                     "moe-freq",        // needs experts, whose count is compared
                                     "epoch2lr",
                                     "update2lr"};
  const std::vector<std::string> values{"",
                                        "7",
                                        "0.125",
                                        "1,3",
                                        "eos",
                                        "gelu",
                                        "cosine",
                                        "nag",
                                        "top1",
                                        "routers",
                                        "eval",
                                        "none",
                                        "{'eps': 1}",
                                        "lazy",
                                        "True",
                                        "transformer_lm_gpt",
                                        "64",
                                        "4",
                                        "multidomain_language_modeling",
                                        "desynchronized_cross_entropy"};
  TrainOptions probe = tiny();
  DistributedOptions ranks;
  const std::vector<compat::FlagGroup> groups = train_spec(probe, ranks).groups;
  const auto facts = [](const TrainOptions& options) {
    return option_facts(options, TransformerConfig::from(model_config(options)));
  };
  const RankFacts before = facts(tiny());
  for (std::size_t g = 0; g < groups.size(); ++g)
    for (std::size_t f = 0; f < groups[g].flags.size(); ++f) {
      const std::string name =
          groups[g].flags[f].names.substr(0, groups[g].flags[f].names.find(','));
      bool compared = false;
      for (const std::string& value : values) {
        TrainOptions options = tiny();
        DistributedOptions own_ranks;
        const std::vector<compat::FlagGroup> table = train_spec(options, own_ranks).groups;
        try {
          table[g].flags[f].apply(value);
          compared = compared || facts(options) != before;
        } catch (const std::exception&) {
          // Not a value of this flag.
        }
      }
      EXPECT_EQ(compared, !free.contains(name) && !unused.contains(name)) << name;
    }
}

}  // namespace
}  // namespace btm
