// A mixture of experts through btm-convert and the commands that take a model.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "btm/mix/mix.h"
#include "tests/support/training.h"

namespace btm {
namespace {

using btm_test::Args;
using btm_test::Finished;
using btm_test::golden;
using btm_test::model_difference;
using btm_test::Process;
using btm_test::run_btm;
using btm_test::TempDir;
namespace fs = std::filesystem;

struct Ended {
  int status;
  std::string out, err;
};

Ended convert(const Args& args) {
  Process process("btm-convert", args);
  const int status = process.wait();
  return {status, process.out(), process.err()};
}

class MixtureFile : public testing::Test {
 protected:
  MixtureFile() {
    MixOptions options;
    for (const char* const domain : {"fortunes", "perl"})
      options.experts.push_back(
          {domain, golden("checkpoints/elm_" + std::string(domain) + "/checkpoint_last.pt")});
    options.output = path_;
    options.machine.cpu = true;
    mix_experts(options);
  }
  TempDir dir_;
  fs::path path_ = dir_ / "mix.pt";
};

TEST_F(MixtureFile, GoesToSafetensorsAndBack) {
  const std::string safetensors = (dir_ / "mix.safetensors").string(),
                    back = (dir_ / "back.pt").string();
  const Ended there = convert({"checkpoint", path_.string(), safetensors, "--to", "safetensors"});
  ASSERT_EQ(there.status, 0) << there.err;
  const Ended again = convert({"checkpoint", safetensors, back});
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(model_difference(path_, back), 0);
  const auto config = compat::Checkpoint::open(back).config();
  EXPECT_EQ(config.find("model", "moe_experts")->to_text(), "['fortunes', 'perl']");
  EXPECT_EQ(config.get_string("model", "moe_router", ""), "top2");
}

TEST_F(MixtureFile, IsVerifiedAndShown) {
  const Ended verified = convert({"verify", path_.string()});
  EXPECT_EQ(verified.status, 0) << verified.err;
  const Ended shown = convert({"inspect", path_.string()});
  EXPECT_NE(shown.out.find("a mixture of 2 experts, router top2: fortunes, perl"),
            std::string::npos)
      << shown.out;
  EXPECT_NE(shown.out.find("(ffn 256)"), std::string::npos) << shown.out;
}

TEST_F(MixtureFile, IsNotExportedToTransformers) {
  const Ended ended = convert({"checkpoint", path_.string(), (dir_ / "hf").string(), "--to", "hf"});
  EXPECT_EQ(ended.status, 1);
  EXPECT_NE(ended.err.find("a mixture of experts"), std::string::npos) << ended.err;
  EXPECT_FALSE(fs::exists(dir_ / "hf"));
}

TEST_F(MixtureFile, IsAModelToEveryCommand) {
  const std::string model = path_.string(), data = golden("data-bin").string();
  const std::string perl = golden("checkpoints/elm_perl/checkpoint_last.pt").string();
  const Args batches{"--tokens-per-sample", "128", "--batch-size", "2", "--max-samples", "1"};
  const Args text{"--data", data, "--sentencepiece-model", golden("corpus/spm.model").string(),
                  "--cpu"};
  std::ofstream(dir_ / "in.txt") << "The sort function takes a reference.\n";
  for (const Args& args : std::vector<Args>{
           btm_test::joined({"score", model, (dir_ / "in.txt").string()}, text),
           btm_test::joined({"generate", model, "The", "--max-len-b", "5"}, text),
           btm_test::joined({"ensemble-eval", data, "--path", model + ":" + perl, "--task",
                             "multidomain_language_modeling", "--eval-domains", "perl",
                             "--target-eval", "valid_perl", "--ensemble-type", "updating_prior",
                             "--cpu", "--results-path", (dir_ / "r.jsonl").string()},
                            batches)}) {
    const Finished done = run_btm(args);
    EXPECT_EQ(done.status, 0) << args.front() << ": " << done.err;
  }
  const Finished mixed = run_btm(
      {"average", "--output-dir", (dir_ / "out").string(), "--model-files", model + ":" + perl});
  EXPECT_EQ(mixed.status, 1);
  EXPECT_EQ(std::count(mixed.err.begin(), mixed.err.end(), '\n'), 1) << mixed.err;
  EXPECT_FALSE(fs::exists(dir_ / "out"));
}

}  // namespace
}  // namespace btm
