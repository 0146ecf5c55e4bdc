// Trainings with the DeMIX fork's flags, compared with its own logs (scripts/make-demix-golden).
#include <gtest/gtest.h>

#include <fstream>

#include "compat/checkpoint/checkpoint.h"
#include "compat/torch/torch_file.h"
#include "tests/support/training.h"

namespace {

using btm_test::Args;
using btm_test::Finished;
using btm_test::golden;
using btm_test::joined;
using btm_test::model_difference;
using btm_test::number;
using btm_test::run_btm;
using btm_test::TempDir;

/// The flags of both trainings.
Args fork(const std::filesystem::path& save_dir, const Args& more) {
  return joined({"train",
                 golden("data-bin").string(),
                 "--task",
                 "multidomain_language_modeling",
                 "--sample-break-mode",
                 "none",
                 "--cpu",
                 "--num-threads",
                 "1",
                 "--log-format",
                 "json",
                 "--log-interval",
                 "1",
                 "--seed",
                 "1",
                 "--dropout",
                 "0.0",
                 "--optimizer",
                 "adam",
                 "--adam-betas",
                 "(0.9,0.95)",
                 "--adam-eps",
                 "10e-8",
                 "--weight-decay",
                 "0.1",
                 "--clip-norm",
                 "0.1",
                 "--lr-scheduler",
                 "polynomial_decay",
                 "--max-sentences",
                 "2",
                 "--required-batch-size-multiple",
                 "1",
                 "--no-epoch-checkpoints",
                 "--disable-validation",
                 "--unbalanced",
                 "--arch",
                 "transformer_lm_gpt3_small",
                 "--decoder-layers",
                 "2",
                 "--save-dir",
                 save_dir.string()},
                more);
}

Args adaptation(const std::filesystem::path& save_dir, const std::string& start, const Args& more) {
  return joined(fork(save_dir, {"--decoder-embed-dim",
                                "64",
                                "--decoder-ffn-embed-dim",
                                "256",
                                "--decoder-attention-heads",
                                "4",
                                "--tokens-per-sample",
                                "128",
                                "--criterion",
                                "cross_entropy",
                                "--lr",
                                "5e-3",
                                "--warmup-updates",
                                "2",
                                "--update-freq",
                                "2",
                                "--total-num-update",
                                "20",
                                "--adaptation",
                                "--train-domains",
                                "politics",
                                "--eval-domains",
                                "politics",
                                "--finetune-from-model",
                                golden("checkpoints/" + start).string()}),
                more);
}

const Args kExpert{"--desynchronize",
                   "--untie-parameters",
                   "feedforward",
                   "--data-parallel-groups",
                   "0",
                   "--sync-type",
                   "manual"};

/// Every printed number is the fork's, but for half a unit of the last digit of losses and norms.
void expect_forks_log(const Finished& mine, const std::string& log) {
  ASSERT_EQ(mine.status, 0) << mine.out << mine.err;
  std::ifstream in(golden(log));
  std::size_t rows = 0;
  for (std::string line; std::getline(in, line); ++rows) {
    const auto theirs = nlohmann::json::parse(line);
    const auto update = static_cast<std::int64_t>(number(theirs, "num_updates"));
    ASSERT_TRUE(mine.rows.contains(update)) << update;
    const nlohmann::json& row = mine.rows.at(update);
    EXPECT_NEAR(number(row, "loss"), number(theirs, "loss"), 0.0011) << "update " << update;
    EXPECT_NEAR(number(row, "gnorm"), number(theirs, "gnorm"), 0.0011) << "update " << update;
    for (const char* const key : {"lr", "wpb", "bsz", "clip"})
      EXPECT_EQ(row.at(key), theirs.at(key)) << key << " of update " << update;
  }
  EXPECT_GE(rows, 10U);
}

TEST(DemixFork, TrainsWithDomainTokens) {
  const TempDir dir;
  const Finished mine =
      run_btm(fork(dir / "run", {"--decoder-embed-dim",
                                 "32",
                                 "--decoder-ffn-embed-dim",
                                 "64",
                                 "--decoder-attention-heads",
                                 "2",
                                 "--tokens-per-sample",
                                 "64",
                                 "--criterion",
                                 "desynchronized_cross_entropy",
                                 "--lr",
                                 "2e-2",
                                 "--warmup-updates",
                                 "4",
                                 "--total-num-update",
                                 "40",
                                 "--max-update",
                                 "20",
                                 "--add-domain-token",
                                 "--train-domains",
                                 "fortunes,jargon,perl",
                                 "--eval-domains",
                                 "fortunes,jargon,perl",
                                 "--finetune-from-model",
                                 golden("domain_token/checkpoint_last.pt").string()}));
  expect_forks_log(mine, "domain_token/log.jsonl");
  const auto saved = compat::Checkpoint::open(dir / "run/checkpoint_last.pt");
  EXPECT_TRUE(saved.config().get_bool("task", "add_domain_token", false));
  EXPECT_EQ(saved.config().get_string("task", "original_domains", ""), "fortunes,jargon,perl");
}

TEST(DemixFork, AdaptsTheFeedForwardLayersOfADenseModel) {
  const TempDir dir;
  const Finished mine =
      run_btm(adaptation(dir / "run", "seed/checkpoint_last.pt", {"--max-update", "10"}));
  expect_forks_log(mine, "demix_dapt/dense.jsonl");
  const auto difference = [&](bool of_feed_forward) {
    return model_difference(dir / "run/checkpoint_last.pt",
                            golden("checkpoints/seed/checkpoint_last.pt"),
                            [&](const std::string& name) {
                              return (name.find(".fc") != std::string::npos) == of_feed_forward;
                            });
  };
  EXPECT_GT(difference(true), 0);
  EXPECT_EQ(difference(false), 0);  // weight decay, too, leaves them alone
}

/// The fork then writes all parameters to the shared file, and none to the rank's.
TEST(DemixFork, AdaptsAnExpert) {
  const TempDir dir;
  const Finished mine = run_btm(adaptation(dir / "run", "demix/checkpoint_last-rank-1.pt",
                                           joined(kExpert, {"--max-update", "10"})));
  expect_forks_log(mine, "demix_dapt/expert.jsonl");
  std::ifstream in(golden("demix_dapt/files.json"));
  const auto files = nlohmann::json::parse(in);
  for (const auto& [file, parts] : files.items()) {
    const auto tree = compat::load_torch_file(dir / "run" / file).tree;
    EXPECT_EQ(compat::model_tensors(*tree.root, file).size(), parts.at("model")) << file;
    const auto* state = tree.root->find("last_optimizer_state")->find("state");
    EXPECT_EQ(state->get_if<compat::PickleDict>()->items.size(), parts.at("optimizer").size());
  }
  const Finished evaluated =
      run_btm({"eval-lm", golden("data-bin").string(), "--task", "multidomain_language_modeling",
               "--path", (dir / "run/checkpoint_last-rank-0.pt").string(), "--gen-subset",
               "valid_politics", "--eval-domains", "politics", "--tokens-per-sample", "128",
               "--batch-size", "2", "--max-samples", "1", "--partial-load", "--quiet"});
  EXPECT_EQ(evaluated.status, 0) << evaluated.err;
}

TEST(DemixFork, ResumesAnAdaptation) {
  const TempDir dir;
  const auto run = [&](const char* updates) {
    return run_btm(adaptation(dir / "run", "demix/checkpoint_last-rank-1.pt",
                              joined(kExpert, {"--max-update", updates})));
  };
  ASSERT_EQ(run("4").status, 0);
  const Finished resumed = run("10");
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  std::ifstream in(golden("demix_dapt/expert.jsonl"));
  for (std::string line; std::getline(in, line);) {
    const auto theirs = nlohmann::json::parse(line);
    const auto update = static_cast<std::int64_t>(number(theirs, "num_updates"));
    EXPECT_EQ(resumed.rows.contains(update), update > 4);
    if (update > 4) {
      EXPECT_NEAR(number(resumed.rows.at(update), "loss"), number(theirs, "loss"), 0.0011);
    }
  }
}

}  // namespace
