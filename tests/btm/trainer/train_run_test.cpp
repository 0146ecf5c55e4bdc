// Whole runs of the program, compared with fairseq's logs for the same command line
// (tests/golden/training).
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "compat/checkpoint/stored_ema.h"
#include "tests/support/training.h"

namespace {

using btm_test::Args;
using btm_test::Finished;
using btm_test::golden;
using btm_test::joined;
using btm_test::kDomains;
using btm_test::kOneThread;
using btm_test::model_difference;
using btm_test::number;
using btm_test::Process;
using btm_test::Rows;
using btm_test::run_btm;
using btm_test::TempDir;
using btm_test::train_command;

Args gpt3(const Args& more) {
  return joined({"--arch", "transformer_lm_gpt3_small", "--decoder-ffn-embed-dim", "256"}, more);
}

Args single(const Args& more) {
  return joined(gpt3({"--update-freq", "2", "--total-num-update", "60", "--warmup-updates", "5",
                      "--valid-subset", "valid_fortunes"}),
                more);
}

Args half(const std::string& precision, const Args& more) {
  return joined(
      {"--arch", "transformer_lm_gpt3_small", "--decoder-ffn-embed-dim", "128", "--update-freq",
       "2", "--total-num-update", "40", "--warmup-updates", "4", "--fp16-init-scale", "16384",
       "--fp16-scale-window", "10", "--disable-validation", precision},
      more);
}

Rows golden_rows(const std::string& name) {
  std::ifstream in(golden("training/" + name));
  return btm_test::rows_of(in);
}

/// Compares the rows `from` to `to`. Losses may differ by 0.002 and gradient norms by 0.2%, plus
/// half a unit of the last printed digit (three decimals). Learning rates, sizes and loss scales
/// must be equal as printed.
void expect_trajectory(const Finished& mine, const Rows& theirs, std::int64_t from, std::int64_t to,
                       double loss_tolerance = 0.002) {
  ASSERT_EQ(mine.status, 0) << mine.out << mine.err;
  for (std::int64_t update = from; update <= to; ++update) {
    ASSERT_TRUE(mine.rows.contains(update) && theirs.contains(update)) << update;
    const nlohmann::json &a = mine.rows.at(update), &b = theirs.at(update);
    EXPECT_NEAR(number(a, "loss"), number(b, "loss"), loss_tolerance) << "update " << update;
    EXPECT_NEAR(number(a, "gnorm"), number(b, "gnorm"), 0.002 * number(b, "gnorm") + 0.0005)
        << "update " << update;
    for (const char* const key : {"lr", "wpb", "bsz", "clip", "loss_scale", "epoch", "update"}) {
      if (!b.contains(key)) continue;
      EXPECT_EQ(a.at(key), b.at(key)) << key << " of update " << update;
    }
  }
}

TEST(TrainRun, FollowsFairseqOnOneDomain) {
  const TempDir dir;
  const Finished mine = run_btm(train_command(
      "fortunes", dir / "run",
      single({"--max-update", "60", "--no-save", "--disable-validation", "--finetune-from-model",
              golden("training/single/initial_weights.pt").string()})));
  expect_trajectory(mine, golden_rows("single/log.jsonl"), 1, 60);
}

TEST(TrainRun, UpdatesLayersOneByOneAsItUpdatesThemTogether) {
  const TempDir dir;
  const auto train = [&](const std::string& name, const std::string& clip) {
    return run_btm(joined(train_command("fortunes", dir / name,
                                        gpt3({"--update-freq", "1", "--total-num-update", "9",
                                              "--max-update", "8", "--disable-validation"})),
                          {"--clip-norm", clip}));
  };
  // A norm that nothing reaches changes no gradient, but all of them must be there first.
  const Finished by_layer = train("a", "0"), together = train("b", "1e9");
  ASSERT_EQ(by_layer.status, 0) << by_layer.err;
  ASSERT_EQ(by_layer.rows.size(), 8U);
  for (const auto& [update, row] : by_layer.rows)
    for (const char* const key : {"loss", "gnorm", "lr"})
      EXPECT_EQ(row.at(key), together.rows.at(update).at(key)) << key << " of update " << update;
  EXPECT_EQ(model_difference(dir / "a/checkpoint_last.pt", dir / "b/checkpoint_last.pt"), 0);
}

/// The log of fairseq-train 0.12.2 from the same start (tests/golden/README.md).
TEST(TrainRun, FollowsFairseqWherePaddingStandsAmidRows) {
  const TempDir dir;
  const auto train = [&](const Args& more) {
    return run_btm(joined({"train",
                           golden("pad_inside").string(),
                           "--arch",
                           "transformer_lm_gpt3_small",
                           "--decoder-layers",
                           "1",
                           "--decoder-embed-dim",
                           "16",
                           "--decoder-ffn-embed-dim",
                           "32",
                           "--decoder-attention-heads",
                           "2",
                           "--tokens-per-sample",
                           "32",
                           "--batch-size",
                           "4",
                           "--required-batch-size-multiple",
                           "1",
                           "--optimizer",
                           "adam",
                           "--reset-dataloader",
                           "--reset-optimizer",
                           "--reset-meters",
                           "--restore-file",
                           golden("pad_inside/start.pt").string(),
                           "--log-format",
                           "json",
                           "--log-interval",
                           "1",
                           "--cpu",
                           "--seed",
                           "1",
                           "--no-save",
                           "--save-dir",
                           (dir / "run").string()},
                          more));
  };
  for (const Args& same : {Args{}, Args{"--checkpoint-activations"}}) {
    const Finished mine = train(joined({"--lr", "1e-3", "--max-update", "5"}, same));
    ASSERT_EQ(mine.status, 0) << mine.err;
    const std::vector<std::pair<std::string, std::string>> theirs{{"3.558", "0.698"},
                                                                  {"3.572", "0.812"},
                                                                  {"3.461", "0.648"},
                                                                  {"3.527", "0.716"},
                                                                  {"3.383", "0.617"}};
    for (std::size_t i = 0; i < theirs.size(); ++i) {
      EXPECT_EQ(mine.rows.at(static_cast<std::int64_t>(i) + 1).at("loss"), theirs[i].first);
      EXPECT_EQ(mine.rows.at(static_cast<std::int64_t>(i) + 1).at("gnorm"), theirs[i].second);
    }
    EXPECT_NE(mine.out.find(R"("valid_loss": "3.747")"), std::string::npos) << mine.out;
  }
  EXPECT_NE(train({"--lr", "0", "--max-update", "1"}).out.find(R"("valid_loss": "3.81")"),
            std::string::npos)
      << "fairseq-validate's of the start";
}

TEST(TrainRun, FollowsFairseqOnThePlainArchitecture) {
  const TempDir dir;
  const Finished mine = run_btm(train_command(
      "fortunes", dir / "run",
      {"--arch", "transformer_lm", "--decoder-input-dim", "64", "--decoder-output-dim", "64",
       "--decoder-ffn-embed-dim", "128", "--max-update", "20", "--total-num-update", "20",
       "--warmup-updates", "2", "--disable-validation", "--finetune-from-model",
       golden("training/base/initial_weights.pt").string()}));
  expect_trajectory(mine, golden_rows("base/log.jsonl"), 1, 20);
  EXPECT_LT(
      model_difference(dir / "run/checkpoint_last.pt", golden("training/base/checkpoint_last.pt")),
      1e-4);
}

TEST(TrainRun, OneProcessFollowsFairseqsFourRanks) {
  const TempDir dir;
  const Finished mine =
      run_btm(train_command("", dir / "run",
                            gpt3({"--task",
                                  "multidomain_language_modeling",
                                  "--criterion",
                                  "desynchronized_cross_entropy",
                                  "--train-domains",
                                  ",fortunes,jargon,perl,politics",
                                  "--eval-domains",
                                  ",fortunes,jargon,perl,politics",
                                  "--valid-subset",
                                  "valid_perl",
                                  "--total-num-update",
                                  "200",
                                  "--warmup-updates",
                                  "16",
                                  "--max-update",
                                  "20",
                                  "--no-save",
                                  "--max-valid-steps",
                                  "2",
                                  "--finetune-from-model",
                                  golden("training/single/initial_weights.pt").string()})));
  const Rows theirs = golden_rows("multidomain/log.jsonl");
  expect_trajectory(mine, theirs, 1, 20);
  for (std::int64_t update = 1; update <= 20; ++update)
    for (std::size_t domain = 0; domain < kDomains.size(); ++domain) {
      const double fairseqs = number(theirs.at(update), "ppl_" + std::to_string(domain));
      EXPECT_NEAR(number(mine.rows.at(update), "ppl_" + kDomains[domain]), fairseqs,
                  1e-3 * fairseqs)
          << kDomains[domain];
    }
  EXPECT_NE(mine.out.find("valid_perl_ppl_perl"), std::string::npos);
  EXPECT_EQ(mine.out.find("ppl_0"), std::string::npos);
}

TEST(TrainRun, BranchesFromFairseqsSeed) {
  const TempDir dir;
  std::filesystem::create_directory(dir / "run");
  std::filesystem::copy(golden("checkpoints/seed/checkpoint_1_100.pt"),
                        dir / "run/checkpoint_last.pt");
  const Finished mine = run_btm(train_command(
      "perl", dir / "run",
      gpt3({"--update-freq", "2", "--total-num-update", "200", "--warmup-updates", "16",
            "--max-update", "120", "--reset-dataloader", "--no-save", "--disable-validation"})));
  expect_trajectory(mine, golden_rows("branch_perl/log.jsonl"), 101, 120);
}

TEST(TrainRun, AveragesOverItsOwnUpdatesWhereItsDataBeginAnew) {
  // The checkpoint lies within an epoch: it holds the sums of 20 updates.
  const TempDir dir;
  const Finished mine = run_btm(train_command(
      "fortunes", dir / "run",
      single({"--max-update", "22", "--no-save", "--disable-validation", "--reset-dataloader",
              "--restore-file", golden("training/single/checkpoint_1_20.pt").string()})));
  const double mean = (number(mine.rows.at(21), "loss") + number(mine.rows.at(22), "loss")) / 2;
  const std::size_t at = mine.out.find("\"train_loss\": \"");
  ASSERT_NE(at, std::string::npos) << mine.out;
  EXPECT_NEAR(std::stod(mine.out.substr(at + 15)), mean, 0.02);
}

TEST(TrainRun, GoesOnFromFairseqsCheckpoint) {
  const TempDir dir;
  const Finished mine = run_btm(train_command(
      "fortunes", dir / "run",
      single({"--max-update", "40", "--no-save", "--disable-validation", "--restore-file",
              golden("training/single/checkpoint_1_20.pt").string()})));
  expect_trajectory(mine, golden_rows("single/log.jsonl"), 21, 40);
  EXPECT_FALSE(mine.rows.contains(20));
}

TEST(TrainRun, SaysThatTheOptimizerStateIsOfAnotherPrecision) {
  const TempDir dir;
  const auto messages = [&](const Args& more) {
    const Finished mine = run_btm(train_command(
        "fortunes", dir / "run",
        single(joined({"--max-update", "21", "--no-save", "--disable-validation", "--restore-file",
                       golden("training/single/checkpoint_1_20.pt").string()},
                      more))));
    EXPECT_EQ(mine.status, 0) << mine.err;
    return mine.out + mine.err;
  };
  const std::string phrase =
      "checkpoint_1_20.pt holds the state of FairseqAdam, this run's precision flags ask for ";
  EXPECT_EQ(messages({}).find("holds the state of"), std::string::npos);
  EXPECT_NE(messages({"--fp16"}).find(phrase + "FP16Optimizer"), std::string::npos);
  EXPECT_NE(messages({"--memory-efficient-fp16"}).find(phrase + "MemoryEfficientFP16Optimizer"),
            std::string::npos);
  EXPECT_EQ(messages({"--fp16", "--reset-optimizer"}).find("holds the state of"),
            std::string::npos);
}

/// The logs of scripts/compare_optimizers.py, whose CASES have the same flags.
TEST(TrainRun, FollowsFairseqWithEveryOptimizer) {
  const std::map<std::string, Args> cases{
      {"nag", {"--lr", "2e-3", "--weight-decay", "0.1"}},
      {"sgd", {"--lr", "2", "--weight-decay", "0"}},
      {"sgd_momentum", {"--lr", "0.5", "--momentum", "0.9", "--weight-decay", "1e-3"}},
      {"adagrad", {"--lr", "1e-2", "--weight-decay", "1e-4"}},
      {"adafactor", {"--lr", "2e-3", "--weight-decay", "0.1"}},
      {"adafactor_scaled",
       {"--lr", "0.1", "--weight-decay", "0", "--beta1", "0.9", "--scale-parameter",
        "--clip-threshold", "0.7", "--decay-rate", "-0.6", "--adafactor-eps", "(1e-20, 0.5)"}},
      {"adamax",
       {"--lr", "2e-3", "--weight-decay", "0.1", "--adamax-betas", "(0.9, 0.99)", "--adamax-eps",
        "1e-6"}}};
  const TempDir dir;
  for (const auto& [name, flags] : cases) {
    SCOPED_TRACE(name);
    const Finished mine = run_btm(train_command(
        "fortunes", dir / name,
        single(joined({"--optimizer", name.substr(0, name.find('_')), "--max-update", "40",
                       "--no-save", "--disable-validation", "--finetune-from-model",
                       golden("training/single/initial_weights.pt").string()},
                      flags))));
    expect_trajectory(mine, golden_rows("optimizers/" + name + ".jsonl"), 1, 40, 0.0011);
  }
}

/// The log of scripts/make_adaptive_golden.py: adaptive inputs and softmax, adaptive_loss, nag,
/// cosine. The last --lr, --optimizer and so on hold.
TEST(TrainRun, FollowsFairseqWithTheRecipeOfWiki103) {
  const TempDir dir;
  const Finished mine =
      run_btm(train_command("fortunes", dir / "run",
                            {"--arch",
                             "transformer_lm_wiki103",
                             "--criterion",
                             "adaptive_loss",
                             "--optimizer",
                             "nag",
                             "--weight-decay",
                             "0",
                             "--lr",
                             "0.3",
                             "--lr-scheduler",
                             "cosine",
                             "--warmup-updates",
                             "10",
                             "--warmup-init-lr",
                             "1e-7",
                             "--min-lr",
                             "1e-4",
                             "--lr-period-updates",
                             "20",
                             "--t-mult",
                             "2",
                             "--lr-shrink",
                             "0.75",
                             "--adaptive-softmax-dropout",
                             "0",
                             "--attention-dropout",
                             "0",
                             "--activation-dropout",
                             "0",
                             "--adaptive-input-cutoff",
                             "400,1000",
                             "--adaptive-softmax-cutoff",
                             "400,1000",
                             "--adaptive-input-factor",
                             "2",
                             "--adaptive-softmax-factor",
                             "2",
                             "--decoder-embed-dim",
                             "32",
                             "--decoder-ffn-embed-dim",
                             "64",
                             "--decoder-attention-heads",
                             "2",
                             "--max-sentences",
                             "4",
                             "--max-update",
                             "40",
                             "--disable-validation",
                             "--finetune-from-model",
                             golden("adaptive/wiki103/initial_weights.pt").string()}));
  std::ifstream log(golden("adaptive/wiki103/log.jsonl"));
  expect_trajectory(mine, btm_test::rows_of(log), 1, 40, 0.0011);
  // The model after the updates, and the names in its file.
  const auto theirs = compat::Checkpoint::open(golden("adaptive/wiki103/checkpoint_last.pt")),
             ours = compat::Checkpoint::open(dir / "run/checkpoint_last.pt");
  std::set<std::string> names, expected;
  for (const auto& [name, view] : ours.model()) names.insert(name);
  for (const auto& [name, view] : theirs.model()) expected.insert(name);
  EXPECT_EQ(names, expected);
}

TEST(TrainRun, IsNotResumedWithAnotherOptimizer) {
  const TempDir dir;
  const auto resumed = [&](const Args& more) {
    return run_btm(train_command(
        "fortunes", dir / "run",
        single(
            joined({"--max-update", "21", "--no-save", "--disable-validation", "--optimizer", "nag",
                    "--restore-file", golden("training/single/checkpoint_1_20.pt").string()},
                   more))));
  };
  EXPECT_NE(resumed({}).err.find("holds the state of adam, the run has --optimizer nag: give "
                                 "--optimizer adam, or --reset-optimizer"),
            std::string::npos);
  EXPECT_EQ(resumed({"--reset-optimizer"}).status, 0);
}

TEST(TrainRun, GoesOnFromFairseqsFp16Checkpoint) {
  const TempDir dir;
  const Finished mine = run_btm(
      train_command("perl", dir / "run",
                    half("--fp16", {"--max-update", "30", "--no-save", "--restore-file",
                                    golden("training/half/fp16/checkpoint_1_20.pt").string()})));
  expect_trajectory(mine, golden_rows("half/fp16/resumed_at_20.jsonl"), 21, 30);
}

TEST(TrainRun, FollowsFairseqInHalfPrecisionOverflowsIncluded) {
  // fairseq computed in half precision itself. Its losses differ by up to one unit of the third
  // decimal (bf16: two).
  for (const auto& [folder, flag] :
       std::map<std::string, std::string>{{"fp16", "--fp16"},
                                          {"memory_efficient_fp16", "--memory-efficient-fp16"},
                                          {"bf16", "--bf16"}}) {
    const TempDir dir;
    const std::string weights = folder == "bf16" ? "bf16" : "fp16";
    const Finished mine = run_btm(train_command(
        "perl", dir / "run",
        half(flag, {"--max-update", "20", "--no-save", "--finetune-from-model",
                    golden("training/half/" + weights + "/weights_at_start.pt").string()})));
    expect_trajectory(mine, golden_rows("half/" + folder + "/log.jsonl"), 1, 20,
                      folder == "bf16" ? 0.004 : 0.002);
    std::string overflows, expected;
    std::ifstream in(golden("training/half/" + folder + "/log.jsonl"));
    for (std::string line;
         std::getline(in, line) &&
         !line.starts_with("{\"kind\": \"train_inner\", \"epoch\": 1, \"update\": 0.086");)
      if (const auto row = nlohmann::json::parse(line); row.contains("overflow"))
        expected += std::to_string(row["overflow"].get<int>()) + " ";
    std::istringstream lines(mine.out);
    for (std::string line; std::getline(lines, line);)
      if (const std::size_t at = line.find("setting loss scale to: "); at != std::string::npos)
        overflows += line.substr(at + 23) + " ";
    EXPECT_TRUE(expected.starts_with(overflows))
        << folder << ": " << overflows << "of " << expected;
    EXPECT_EQ(overflows.empty(), folder == "bf16");
  }
}

/// Where the processor multiplies bf16 fast, FollowsFairseqInHalfPrecision... has tested that path;
/// this makes LibTorch's kernel believe that it does not. Both paths round the same weights.
TEST(TrainRun, FollowsFairseqInBf16OnAnyProcessor) {
  const TempDir dir;
  std::map<std::string, std::string> old_processor = kOneThread;
  old_processor["ONEDNN_MAX_CPU_ISA"] = "AVX2";
  const auto train = [&](const Args& more, const std::map<std::string, std::string>& environment) {
    const Args args{"--max-update", "40", "--no-save", "--finetune-from-model",
                    golden("training/half/bf16/weights_at_start.pt").string()};
    return run_btm(train_command("perl", dir / "run", half("--bf16", joined(args, more))),
                   environment);
  };
  const Finished plain = train({}, old_processor), usual = train({}, kOneThread);
  EXPECT_EQ(plain.out.find("products in bf16"), std::string::npos) << plain.out;
#if defined(__x86_64__)
  EXPECT_EQ(usual.out.find("products in bf16") != std::string::npos,
            __builtin_cpu_supports("avx512bf16") != 0)
      << usual.out;
#endif
  expect_trajectory(plain, golden_rows("half/bf16/log.jsonl"), 1, 20, 0.004);
  for (const Finished& run : {plain, usual})
    EXPECT_NEAR(number(run.rows.at(40), "loss"),
                number(golden_rows("half/bf16/log.jsonl").at(40), "loss"), 0.004);
}

/// Runs `updates` updates in `dir`, continuing from its checkpoint. Dropout is on, so that random
/// numbers matter too.
Finished exact_run(const TempDir& dir, const std::string& name, const std::string& updates,
                   const Args& precision) {
  const Args args{"--arch",
                  "transformer_lm_gpt3_small",
                  "--decoder-ffn-embed-dim",
                  "64",
                  "--update-freq",
                  "2",
                  "--total-num-update",
                  "12",
                  "--warmup-updates",
                  "2",
                  "--disable-validation",
                  "--max-update",
                  updates,
                  "--dropout",
                  "0.1",
                  "--fp16-init-scale",
                  "1024",
                  "--fp16-scale-window",
                  "4",
                  "--checkpoint-activations"};
  return run_btm(train_command("jargon", dir / name, joined(args, precision)));
}

TEST(TrainRun, IsResumedExactlyInEveryPrecision) {
  for (const Args& precision : {Args{}, Args{"--fp16"}, Args{"--memory-efficient-fp16"},
                                Args{"--bf16"}, Args{"--memory-efficient-bf16"}}) {
    const TempDir dir;
    const std::string label = precision.empty() ? "fp32" : precision.front();
    const Finished whole = exact_run(dir, "whole", "12", precision);
    ASSERT_EQ(whole.status, 0) << label << whole.err;
    ASSERT_EQ(exact_run(dir, "parts", "5", precision).status, 0);
    const Finished rest = exact_run(dir, "parts", "12", precision);
    ASSERT_EQ(rest.status, 0);
    EXPECT_EQ(model_difference(dir / "whole/checkpoint_last.pt", dir / "parts/checkpoint_last.pt"),
              0)
        << label;
    EXPECT_EQ(rest.rows.begin()->first, 6) << label;
    for (const auto& [update, row] : rest.rows)
      for (const char* const key : {"loss", "ppl", "gnorm", "lr"})
        EXPECT_EQ(row.at(key), whole.rows.at(update).at(key)) << label << " " << update;
  }
}

/// Trains, and sends `signals` when the log has `update`. Where this process was held up until the
/// training had ended, it starts once more from the same folder.
Finished interrupted(const Args& args, const std::filesystem::path& folder,
                     const std::string& update, const std::vector<int>& signals) {
  const std::filesystem::path before = folder.string() + ".before";
  for (int tries = 0;; ++tries) {
    std::filesystem::remove_all(before);
    if (std::filesystem::exists(folder))
      std::filesystem::copy(folder, before, std::filesystem::copy_options::recursive);
    Process process("btm", args, kOneThread);
    process.wait_for_output("\"num_updates\": \"" + update + "\"");
    for (const int signal : signals) ::kill(process.pid(), signal);
    Finished result;
    result.status = process.wait();
    result.out = process.out();
    result.err = process.err();
    if (result.status != 0 || tries == 4) return result;
    std::filesystem::remove_all(folder);
    if (std::filesystem::exists(before)) std::filesystem::rename(before, folder);
  }
}

TEST(TrainRun, ASignalSavesAndEndsAndTheRunGoesOnExactly) {
  const TempDir dir;
  const Args flags = single({"--max-update", "14", "--disable-validation"});
  ASSERT_EQ(run_btm(train_command("fortunes", dir / "whole", flags)).status, 0);
  const std::map<int, std::string> signals{
      {SIGTERM, "SIGTERM"}, {SIGINT, "SIGINT"}, {SIGUSR1, "SIGUSR1"}};
  for (const auto& [signal, name] : signals) {
    std::filesystem::remove_all(dir / "run");
    const Finished ended =
        interrupted(train_command("fortunes", dir / "run", flags), dir / "run", "3", {signal});
    EXPECT_EQ(ended.status, 128 + signal);
    EXPECT_NE(ended.out.find("ended by " + name), std::string::npos) << ended.out;
    const Finished rest = run_btm(train_command("fortunes", dir / "run", flags));
    EXPECT_EQ(rest.status, 0) << rest.err;
    EXPECT_GT(rest.rows.begin()->first, 3);
    EXPECT_EQ(model_difference(dir / "whole/checkpoint_last.pt", dir / "run/checkpoint_last.pt"),
              0);
  }
}

std::set<std::string> files_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".pt") names.insert(entry.path().filename().string());
  return names;
}

/// Checkpoints are due after every update, in the middle of an epoch and at its end. The best ones
/// wait for the validation.
TEST(TrainRun, WhatWasDueWhenASignalCameIsMadeUpFor) {
  const Args common{"--max-valid-steps", "1", "--keep-best-checkpoints", "2", "--patience", "100"};
  const std::map<std::string, Args> kinds{
      {"updates", single({"--max-update", "9", "--save-interval-updates", "1"})},
      {"epochs", gpt3({"--train-subset", "valid_fortunes", "--valid-subset", "valid_fortunes",
                       "--update-freq", "1000", "--max-epoch", "6", "--total-num-update", "60",
                       "--max-sentences", "8"})}};
  for (const auto& [kind, flags] : kinds) {
    const TempDir dir;
    Args args = train_command("fortunes", dir / "whole", joined(flags, common));
    std::erase(args, "--no-epoch-checkpoints");
    const Finished whole = run_btm(args);
    ASSERT_EQ(whole.status, 0) << whole.err;
    *std::ranges::find(args, (dir / "whole").string()) = (dir / "run").string();
    for (const char* const update : {"3", "5"}) {
      const Finished ended = interrupted(args, dir / "run", update, {SIGTERM});
      ASSERT_EQ(ended.status, 128 + SIGTERM) << ended.err;
      if (kind == "updates") {  // it exists at once, before the validation
        const std::string said = ended.out.substr(ended.out.find("ended by SIGTERM after ") + 23);
        EXPECT_TRUE(std::filesystem::exists(
            dir / ("run/checkpoint_1_" + said.substr(0, said.find(' ')) + ".pt")))
            << said;
      }
    }
    const Finished rest = run_btm(args);
    ASSERT_EQ(rest.status, 0) << rest.err;
    EXPECT_NE(rest.out.find("validating and saving as was due after "), std::string::npos)
        << rest.out;
    EXPECT_EQ(files_in(dir / "run"), files_in(dir / "whole")) << kind;
    for (const std::string& name : files_in(dir / "whole")) {
      EXPECT_EQ(model_difference(dir / ("whole/" + name), dir / ("run/" + name)), 0) << name;
      const auto left = compat::Checkpoint::open(dir / ("whole/" + name)),
                 right = compat::Checkpoint::open(dir / ("run/" + name));
      for (const char* const key : {"val_loss", "best"}) {
        const auto *a = left.find_entry("extra_state")->find(key),
                   *b = right.find_entry("extra_state")->find(key);
        ASSERT_TRUE(a != nullptr && b != nullptr) << name << " " << key;
        EXPECT_EQ(*a->get_if<double>(), *b->get_if<double>()) << name << " " << key;
      }
    }
  }
}

TEST(TrainRun, TwoInterruptsLeaveNothingThatTheNextStartDoesNotRemove) {
  const TempDir dir;
  const Args flags = single({"--max-update", "30", "--disable-validation",
                             "--save-interval-updates", "1", "--keep-interval-updates", "1"});
  const Args args = train_command("fortunes", dir / "run", flags);
  EXPECT_EQ(interrupted(args, dir / "run", "3", {SIGINT, SIGINT}).status, 128 + SIGINT);
  for (const char* const name : {"checkpoint_last.pt.tmp.999999999.0", "checkpoint_1_3.pt.staged",
                                 "checkpoint_1_3.pt.staged.tmp.999999999.7"})
    btm_test::write_file(dir / "run" / name, "left by a run that was killed");
  btm_test::write_file(dir / "run/notes.tmp.999999999.0", "not ours");
  ASSERT_EQ(run_btm(args).status, 0);
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir / "run"))
    names.insert(entry.path().filename().string());
  EXPECT_EQ(names, (std::set<std::string>{".train.lock", "checkpoint_1_30.pt", "checkpoint_last.pt",
                                          "notes.tmp.999999999.0"}));
}

TEST(TrainRun, OneTrainingAtATimeWritesToAFolder) {
  const TempDir dir;
  const Args flags = single({"--max-update", "100000", "--disable-validation"});
  Process first("btm", train_command("fortunes", dir / "run", flags), kOneThread);
  first.wait_for_output("\"num_updates\": \"2\"");
  const Finished second = run_btm(train_command("perl", dir / "run", flags));
  EXPECT_EQ(second.status, 1);
  EXPECT_EQ(second.err, "btm train: error: " + (dir / "run").string() +
                            ": another training writes there (it holds .train.lock), expected a "
                            "--save-dir of its own\n");
  EXPECT_EQ(
      run_btm(train_command("perl", dir / "run",
                            single({"--max-update", "2", "--disable-validation", "--no-save"})))
          .status,
      0);
}

TEST(TrainRun, AFinishedRunIsNotTrainedFurther) {
  const TempDir dir;
  const Args flags = single({"--max-update", "4", "--disable-validation"});
  ASSERT_EQ(run_btm(train_command("fortunes", dir / "run", flags)).status, 0);
  const std::string before = btm_test::read_file(dir / "run/checkpoint_last.pt");
  const Finished again = run_btm(train_command("fortunes", dir / "run", flags));
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_TRUE(again.rows.empty());
  EXPECT_NE(again.out.find("nothing left to train: 4 updates"), std::string::npos) << again.out;
  EXPECT_EQ(btm_test::read_file(dir / "run/checkpoint_last.pt"), before);
  // A run that starts from another file still writes its own checkpoint.
  const Finished other = run_btm(
      train_command("fortunes", dir / "other",
                    joined(flags, {"--restore-file", (dir / "run/checkpoint_last.pt").string()})));
  EXPECT_EQ(other.status, 0) << other.err;
  EXPECT_EQ(model_difference(dir / "run/checkpoint_last.pt", dir / "other/checkpoint_last.pt"), 0);
}

TEST(TrainRun, ContinuesTheMovingAverageExactly) {
  const TempDir dir;
  const auto to = [](const std::string& updates) {
    return single({"--store-ema", "--ema-decay", "0.8", "--ema-update-freq", "3", "--max-update",
                   updates, "--disable-validation"});
  };
  ASSERT_EQ(run_btm(train_command("fortunes", dir / "whole", to("8"))).status, 0);
  ASSERT_EQ(run_btm(train_command("fortunes", dir / "parts", to("4"))).status, 0);
  const Finished last = run_btm(train_command("fortunes", dir / "parts", to("8")));
  ASSERT_EQ(last.status, 0) << last.err;
  EXPECT_EQ(last.rows.at(8).at("ema_decay"), "0.8");
  const auto average = [&](const char* run) {
    std::map<std::string, std::vector<std::byte>> bytes;
    const auto file = compat::Checkpoint::open(dir / run / "checkpoint_last.pt");
    for (const auto& [name, view] : compat::stored_ema(file)) {
      std::vector<std::byte> scratch;
      const auto values = view.contiguous_bytes(scratch);
      bytes[name].assign(values.begin(), values.end());
    }
    return bytes;
  };
  EXPECT_EQ(average("whole"), average("parts"));
}

TEST(TrainRun, KeepsItsDictionarysDigestAndIsNotResumedWithAnother) {
  const TempDir dir;
  std::filesystem::copy(golden("data-bin/fortunes"), dir / "data",
                        std::filesystem::copy_options::recursive);
  const auto run = [&](const std::string& updates) {
    Args args = train_command("fortunes", dir / "run",
                              single({"--max-update", updates, "--disable-validation"}));
    args[1] = (dir / "data").string();
    return run_btm(args);
  };
  ASSERT_EQ(run("1").status, 0);
  EXPECT_EQ(compat::Checkpoint::open(dir / "run/checkpoint_last.pt").dictionary().sha256,
            "28d0f73d0d74273419fe163151e965ca9b1262f99fb787aefd75b3dcc8e951d1");
  std::string words = btm_test::read_file(dir / "data/dict.txt");
  ASSERT_TRUE(words.starts_with(", 14192\n. 13798\n"));
  words.replace(0, 16, ". 13798\n, 14192\n");
  btm_test::write_file(dir / "data/dict.txt", words);
  const Finished refused = run("2");
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.err.find("data/dict.txt: has another dictionary (SHA-256 "), std::string::npos)
      << refused.err;
}

TEST(TrainRun, AKilledRunLeavesACheckpointToGoOnFrom) {
  const TempDir dir;
  const Args flags = single({"--max-update", "14", "--disable-validation",
                             "--save-interval-updates", "1", "--keep-interval-updates", "1"});
  ASSERT_EQ(run_btm(train_command("fortunes", dir / "whole", flags)).status, 0);
  const Args args = train_command("fortunes", dir / "run", flags);
  for (const char* const update : {"2", "5", "9"})
    EXPECT_EQ(interrupted(args, dir / "run", update, {SIGKILL}).status, 128 + SIGKILL);
  EXPECT_EQ(run_btm(args).status, 0);
  EXPECT_EQ(model_difference(dir / "whole/checkpoint_last.pt", dir / "run/checkpoint_last.pt"), 0);
}

TEST(TrainRun, StopsBeforeAnUpdateThatIsNotFiniteAndNamesTheSamples) {
  const TempDir dir;
  const Finished mine =
      run_btm(train_command("fortunes", dir / "run",
                            single({"--max-update", "60", "--lr", "1e30", "--warmup-updates", "0",
                                    "--clip-norm", "0", "--no-save", "--disable-validation"})));
  EXPECT_EQ(mine.status, 1);
  EXPECT_NE(mine.err.find("(samples ["), std::string::npos) << mine.err;
  EXPECT_EQ(std::ranges::count(mine.err, '\n'), 1) << mine.err;
}

TEST(TrainRun, RecordsForTensorBoardAndWandb) {
  const TempDir dir;
  const Finished mine = run_btm(
      train_command("fortunes", dir / "run",
                    single({"--max-update", "2", "--max-valid-steps", "1", "--tensorboard-logdir",
                            (dir / "tb").string(), "--wandb-project", "elms", "--log-file",
                            (dir / "log.txt").string()})));
  ASSERT_EQ(mine.status, 0) << mine.err;
  EXPECT_TRUE(std::filesystem::is_directory(dir / "tb/train_inner"));
  EXPECT_TRUE(std::filesystem::is_directory(dir / "tb/valid_fortunes"));
  EXPECT_EQ(btm_test::read_file(dir / "log.txt"), mine.out);
  std::ifstream in(dir / "run/wandb.jsonl");
  std::string line;
  std::getline(in, line);
  EXPECT_EQ(nlohmann::json::parse(line).at("project"), "elms");
  EXPECT_EQ(nlohmann::json::parse(line).at("name"), "run");
  std::getline(in, line);
  EXPECT_EQ(nlohmann::json::parse(line).at("_step"), 1);
  EXPECT_TRUE(nlohmann::json::parse(line).contains("train_inner/loss"));
}

}  // namespace
