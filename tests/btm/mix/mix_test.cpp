// btm mix, btm routing, and the training of a mixture, on the four golden experts.
#include "btm/mix/mix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "btm/mix/mixture_tensors.h"
#include "compat/base/error.h"
#include "compat/fairseq/config_json.h"
#include "compat/torch/torch_file.h"
#include "tests/support/expect_error.h"
#include "tests/support/training.h"

namespace btm {
namespace {

using btm_test::Args;
using btm_test::expect_error;
using btm_test::Finished;
using btm_test::golden;
using btm_test::joined;
using btm_test::model_difference;
using btm_test::run_btm;
using btm_test::TempDir;
using compat::Checkpoint;
using compat::NamedModel;
namespace fs = std::filesystem;

constexpr std::size_t kLayers = 2;

fs::path elm(const std::string& domain) {
  return golden("checkpoints/elm_" + domain + "/checkpoint_last.pt");
}

std::vector<NamedModel> experts(const std::vector<std::string>& domains) {
  std::vector<NamedModel> models;
  for (const std::string& domain : domains) models.push_back({domain, elm(domain)});
  return models;
}

MixOptions options(const std::vector<std::string>& domains, fs::path output) {
  MixOptions options;
  options.experts = experts(domains);
  options.output = std::move(output);
  options.machine.cpu = true;
  options.machine.num_threads = 1;
  return options;
}

std::vector<std::byte> bytes_of(const Checkpoint& model, const std::string& name) {
  const compat::TensorView* const view = model.find(name);
  if (view == nullptr) {
    ADD_FAILURE() << name << " is missing";
    return {};
  }
  std::vector<std::byte> scratch;
  const auto bytes = view->contiguous_bytes(scratch);
  return {bytes.begin(), bytes.end()};
}

std::string file_bytes(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The loss of a model on the validation text of a golden domain, in bits per token.
double loss_of(const fs::path& model, const std::string& domain, const Args& more = {}) {
  const TempDir dir;
  const Finished done = run_btm(
      joined({"eval-lm", golden("data-bin/" + domain).string(), "--path", model.string(),
              "--gen-subset", "valid_" + domain, "--tokens-per-sample", "128", "--batch-size", "4",
              "--max-samples", "3", "--cpu", "--results-path", (dir / "results.json").string()},
             more));
  EXPECT_EQ(done.status, 0) << done.err;
  return done.status == 0 ? nlohmann::json::parse(file_bytes(dir / "results.json"))
                                .at("loss_base2")
                                .get<double>()
                          : 0;
}

TEST(Mix, HoldsEveryExpertsBlocksAndTheAverageOfTheRest) {
  const TempDir dir;
  const std::vector<std::string> domains{"fortunes", "jargon", "perl", "politics"};
  const MixReport report = mix_experts(options(domains, dir / "mix.pt"));
  EXPECT_EQ(report.experts, 4U);
  EXPECT_EQ(report.layers, kLayers);
  EXPECT_EQ(report.routing, "top2");
  const Checkpoint mixed = Checkpoint::open(dir / "mix.pt"),
                   average =
                       Checkpoint::open(golden("checkpoints/average_uniform4/checkpoint_last.pt"));
  std::int64_t numbers = 0;
  for (const auto& [name, view] : mixed.model())
    if (name != "decoder.version" && name != "decoder.output_projection.weight")
      numbers += view.numel();
  EXPECT_EQ(report.parameters, numbers);
  for (std::size_t e = 0; e < domains.size(); ++e)
    for (std::size_t layer = 0; layer < kLayers; ++layer)
      for (const char* const part : kBlockTensors)
        EXPECT_EQ(bytes_of(mixed, expert_tensor(layer, e, part)),
                  bytes_of(Checkpoint::open(elm(domains[e])), block_tensor(layer, part)));
  for (const auto& [name, view] : average.model()) {
    if (name.find(".fc") != std::string::npos) continue;
    EXPECT_EQ(bytes_of(mixed, name), bytes_of(average, name)) << name;
  }
  EXPECT_EQ(mixed.model().size(), average.model().size() + kLayers * (1 + 4 * 4 - 4));
  EXPECT_EQ(mixed.find_entry("last_optimizer_state"), nullptr);
  EXPECT_EQ(mixed.config().get_int("model", "moe_expert_count", 0), 4);
}

TEST(Mix, OfOneExpertThriceIsThatExpert) {
  const TempDir dir;
  for (const Routing routing : {Routing::kTop2, Routing::kSoft}) {
    MixOptions request = options({}, dir / (std::string(routing_name(routing)) + ".pt"));
    for (const char* const name : {"a", "b", "c"}) request.experts.push_back({name, elm("perl")});
    request.routing = routing;
    mix_experts(request);
    // Weights that sum to 1 within an ulp, in two layers.
    EXPECT_NEAR(loss_of(request.output, "perl"), loss_of(elm("perl"), "perl"), 2e-6);
  }
}

TEST(Mix, LeftOutExpertsLeaveNoTrace) {
  const TempDir dir;
  // A torch file holds its own name, so the names are the same.
  fs::create_directory(dir / "never");
  mix_experts(options({"fortunes", "perl"}, dir / "never/checkpoint_last.pt"));
  const std::string never = file_bytes(dir / "never/checkpoint_last.pt");
  const auto mix = [&](const Args& more) {
    const Finished done = run_btm(
        joined({"mix", "fortunes=" + elm("fortunes").string(), "jargon=" + elm("jargon").string(),
                "perl=" + elm("perl").string(), "--output", (dir / "out").string(), "--cpu"},
               more));
    EXPECT_EQ(done.status, 0) << done.err;
  };
  mix({"--without", "jargon"});
  EXPECT_TRUE(file_bytes(dir / "out/checkpoint_last.pt") == never);
  mix({"--overwrite"});
  EXPECT_FALSE(file_bytes(dir / "out/checkpoint_last.pt") == never);
}

TEST(Mix, TakesTheRoutersOfATrainedMixtureByName) {
  const TempDir dir;
  MixOptions request = options({"fortunes", "jargon", "perl"}, dir / "three.pt");
  request.seed = 5;
  mix_experts(request);
  MixOptions fewer = options({"perl", "fortunes"}, dir / "two.pt");
  fewer.router_from = dir / "three.pt";
  mix_experts(fewer);
  const auto row = [](const fs::path& path, std::size_t place, std::size_t of) {
    const auto all = bytes_of(Checkpoint::open(path), gate_tensor(1));
    const std::size_t size = all.size() / of;
    return std::vector<std::byte>(all.begin() + static_cast<std::ptrdiff_t>(place * size),
                                  all.begin() + static_cast<std::ptrdiff_t>((place + 1) * size));
  };
  EXPECT_EQ(row(dir / "two.pt", 0, 2), row(dir / "three.pt", 2, 3));
  EXPECT_EQ(row(dir / "two.pt", 1, 2), row(dir / "three.pt", 0, 3));
}

TEST(Mix, StartsRoutersFromTheDomains) {
  const TempDir dir;
  const std::vector<std::string> domains{"fortunes", "jargon", "perl", "politics"};
  for (const RouterStart start : {RouterStart::kDomain, RouterStart::kPosterior}) {
    MixOptions request = options(domains, dir / "mix.pt");
    request.router = start;
    request.routing = Routing::kTop1;
    request.data = {golden("data-bin").string(), "valid", 1024};
    mix_experts(request);
    const Finished done = run_btm(
        {"routing", golden("data-bin").string(), (dir / "mix.pt").string(), "--split", "valid",
         "--tokens", "1024", "--cpu", "--out", (dir / "routing").string(), "--overwrite"});
    ASSERT_EQ(done.status, 0) << done.err;
    const auto json = nlohmann::json::parse(file_bytes(dir / "routing/routing.json"));
    EXPECT_EQ(json.at("experts").get<std::vector<std::string>>(), domains);
    double own = 0;
    for (std::size_t d = 0; d < domains.size(); ++d) {
      const auto& row = json.at("domains").at(d);
      EXPECT_EQ(row.at("domain"), domains[d]);
      const auto mean = row.at("mean").get<std::vector<double>>();
      EXPECT_NEAR(mean[0] + mean[1] + mean[2] + mean[3], 1, 1e-9);
      own += mean[d] / 4;
    }
    EXPECT_GT(own, 0.3) << "a domain's own expert gets more than a fourth of its tokens";
    EXPECT_NE(file_bytes(dir / "routing/report.html").find("Layer 1"), std::string::npos);
  }
}

RemixOptions remixing(const fs::path& mixture, std::vector<NamedModel> add,
                      const fs::path& output) {
  RemixOptions request;
  request.mixture = mixture;
  request.add = std::move(add);
  request.output = output;
  return request;
}

TEST(Remix, AddsAnExpertAndTakesItOut) {
  const TempDir dir;
  mix_experts(options({"fortunes", "perl"}, dir / "two.pt"));
  const RemixOptions grow = remixing(dir / "two.pt", experts({"jargon"}), dir / "three.pt");
  EXPECT_EQ(remix(grow).experts, 3U);
  const Checkpoint two = Checkpoint::open(dir / "two.pt"),
                   three = Checkpoint::open(dir / "three.pt");
  EXPECT_EQ(bytes_of(three, expert_tensor(0, 2, "fc1.weight")),
            bytes_of(Checkpoint::open(elm("jargon")), block_tensor(0, "fc1.weight")));
  EXPECT_EQ(bytes_of(three, gate_tensor(0)).size(), bytes_of(two, gate_tensor(0)).size() / 2 * 3);
  RemixOptions shrink = remixing(dir / "three.pt", {}, dir / "back.pt");
  shrink.choice = {"", "jargon"};
  EXPECT_EQ(remix(shrink).experts, 2U);
  EXPECT_EQ(model_difference(dir / "back.pt", dir / "two.pt"), 0);
  EXPECT_EQ(Checkpoint::open(dir / "back.pt").config().find("model", "moe_experts")->to_text(),
            "['fortunes', 'perl']");
  loss_of(dir / "three.pt", "jargon");
}

TEST(Remix, StartsANewRowFromTheDomain) {
  const TempDir dir;
  MixOptions three = options({"fortunes", "perl", "politics"}, dir / "three.pt");
  three.routing = Routing::kTop1;
  three.router = RouterStart::kDomain;
  three.data = {golden("data-bin").string(), "valid", 1024};
  mix_experts(three);
  const auto grow = [&](const std::string& router) {
    return run_btm({"mix", (dir / "three.pt").string(), "--add", "jargon=" + elm("jargon").string(),
                    "--router", router, "--data", golden("data-bin").string(), "--router-tokens",
                    "1024", "--cpu", "--overwrite", "--output", (dir / "four").string()});
  };
  const Finished grown = grow("domain");
  ASSERT_EQ(grown.status, 0) << grown.err;
  const auto before = bytes_of(Checkpoint::open(dir / "three.pt"), gate_tensor(1)),
             after = bytes_of(Checkpoint::open(dir / "four/checkpoint_last.pt"), gate_tensor(1));
  ASSERT_EQ(after.size(), before.size() / 3 * 4);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), after.begin())) << "the others' rows stay";
  const Finished done =
      run_btm({"routing", golden("data-bin").string(), (dir / "four").string(), "--split", "valid",
               "--tokens", "1024", "--cpu", "--out", (dir / "routing").string()});
  ASSERT_EQ(done.status, 0) << done.err;
  const auto json = nlohmann::json::parse(file_bytes(dir / "routing/routing.json"));
  double own = 0, others = 0;
  for (const auto& row : json.at("domains"))
    (row.at("domain") == "jargon" ? own : others) += row.at("mean").at(3).get<double>();
  EXPECT_GT(own, others / 3) << "the new expert gets more of its own domain than of the others";
  EXPECT_GT(own, 0.2);
  EXPECT_LT(own, 0.9) << "nor all of it: the rows are as large as the others";
  const Finished posterior = grow("posterior");
  EXPECT_EQ(posterior.status, 2);
  EXPECT_NE(posterior.err.find("needs the experts' dense models"), std::string::npos);
  const Finished nothing = run_btm({"mix", (dir / "three.pt").string(), "--without", "perl",
                                    "--router", "domain", "--data", golden("data-bin").string(),
                                    "--overwrite", "--output", (dir / "four").string()});
  EXPECT_EQ(nothing.status, 2);
  EXPECT_NE(nothing.err.find("--add is missing"), std::string::npos) << nothing.err;
}

TEST(Mix, RefusesWhatDoesNotFitAndWritesNothing) {
  const TempDir dir;
  const fs::path out = dir / "out.pt";
  mix_experts(options({"fortunes", "perl"}, dir / "mix.pt"));
  // An expert with NaN in a feed-forward block.
  const Checkpoint perl = Checkpoint::open(elm("perl"));
  compat::PickleArena arena;
  compat::NamedTensors spoilt = perl.model();
  for (auto& [name, view] : spoilt) {
    if (name != block_tensor(1, "fc2.bias")) continue;
    const std::vector<float> nan(static_cast<std::size_t>(view.numel()),
                                 std::numeric_limits<float>::quiet_NaN());
    view = compat::TensorView::contiguous(
        compat::Storage::copy_of(compat::DType::kFloat32, std::as_bytes(std::span(nan))),
        view.shape);
  }
  compat::save_checkpoint(dir / "nan.pt", *compat::with_model(arena, perl.root(), spoilt));
  struct Row {
    std::vector<NamedModel> experts;
    fs::path router_from;
    const char* phrase;
  };
  const NamedModel fortunes{"fortunes", elm("fortunes")}, jargon{"jargon", elm("jargon")};
  const fs::path gpt = golden("pad_inside/start.pt");
  for (const Row& row :
       {Row{{fortunes, {"nan", dir / "nan.pt"}}, {}, "'decoder.layers.1.fc2.bias' holds nan"},
        Row{{{"mix", dir / "mix.pt"}}, {}, "is a mixture of experts itself"},
        Row{{fortunes, {"other", gpt}}, {}, "does not fit"},
        Row{{fortunes, jargon}, dir / "mix.pt", "routers of other experts (fortunes, perl)"},
        Row{{fortunes, jargon}, elm("perl"), "has no routers"}}) {
    MixOptions request = options({}, out);
    request.experts = row.experts;
    request.router_from = row.router_from;
    expect_error<std::runtime_error>([&] { mix_experts(request); }, row.phrase);
    EXPECT_FALSE(fs::exists(out)) << row.phrase;
  }
  MixOptions none = options({"fortunes"}, out);
  none.router = RouterStart::kDomain;
  none.experts.front().name = "law";
  none.data.folder = golden("data-bin").string();
  expect_error<compat::UsageError>([&] { mix_experts(none); }, "law");
  const RemixOptions twice = remixing(dir / "mix.pt", experts({"perl"}), out);
  expect_error<compat::UsageError>([&] { remix(twice); }, "has an expert called 'perl'");
  const RemixOptions odd = remixing(dir / "mix.pt", {{"odd", gpt}}, out);
  expect_error<std::runtime_error>([&] { remix(odd); }, "expected");
  EXPECT_FALSE(fs::exists(out));
}

Args moe_training(const fs::path& save_dir, const Args& more) {
  return btm_test::train_command(
      "fortunes", save_dir,
      joined({"--arch", "transformer_lm_gpt3_small", "--decoder-ffn-embed-dim", "256",
              "--total-num-update", "20", "--warmup-updates", "2", "--disable-validation",
              "--moe-freq", "1", "--moe-expert-count", "3", "--moe-z-loss-wt", "0.001"},
             more));
}

class TrainedMixture : public testing::Test {
 protected:
  TrainedMixture() {
    mix_experts(options({"fortunes", "jargon", "perl"}, dir_ / "mix.pt"));
    start_ = {"--finetune-from-model", (dir_ / "mix.pt").string()};
  }
  Finished train(const std::string& name, const Args& more) {
    Finished done = run_btm(moe_training(dir_ / name, more));
    EXPECT_EQ(done.status, 0) << done.out << done.err;
    return done;
  }
  fs::path last(const std::string& name) const { return dir_ / name / "checkpoint_last.pt"; }
  TempDir dir_;
  Args start_;
};

TEST_F(TrainedMixture, ResumesBitForBitAndTellsItsBalance) {
  const Finished whole = train("whole", joined(start_, {"--max-update", "6"}));
  train("half", joined(start_, {"--max-update", "3"}));
  train("half", {"--max-update", "6"});
  EXPECT_EQ(model_difference(last("whole"), last("half")), 0);
  const nlohmann::json& row = whole.rows.at(6);
  EXPECT_GT(btm_test::number(row, "lb_loss"), 0.9);
  EXPECT_GT(btm_test::number(row, "z_loss"), 0);
  for (const char* const layer : {"load_0", "load_1"}) {
    EXPECT_GE(btm_test::number(row, layer), 0.333);
    EXPECT_LE(btm_test::number(row, layer), 0.5);  // a token goes to two experts
  }
  const Checkpoint trained = Checkpoint::open(last("whole"));
  EXPECT_EQ(trained.config().find("model", "moe_experts")->to_text(),
            "['fortunes', 'jargon', 'perl']");
  EXPECT_LT(loss_of(last("whole"), "fortunes"), loss_of(dir_ / "mix.pt", "fortunes"));
}

TEST_F(TrainedMixture, TwoRanksAreOne) {
  train("one", joined(start_, {"--max-update", "4", "--update-freq", "2"}));
  train("two", joined(start_, {"--max-update", "4", "--distributed-world-size", "2"}));
  // fp32 sums of gradients in another order, as in a dense model's training
  EXPECT_LT(model_difference(last("one"), last("two")), 2e-5);
}

TEST_F(TrainedMixture, FreezesWhatItIsToldTo) {
  struct Row {
    std::string name;
    Args flags;
    std::function<bool(const std::string&)> trains;
  };
  const auto has = [](const std::string& name, const char* part) {
    return name.find(part) != std::string::npos;
  };
  for (const Row& row : std::vector<Row>{
           {"routers", {"--moe-train", "routers"}, [&](auto& n) { return has(n, ".gate."); }},
           {"anchor",
            {"--moe-freeze-experts", "0,2"},
            [&](auto& n) { return !has(n, "experts.0.") && !has(n, "experts.2."); }},
           {"shared", {"--moe-freeze-experts", "all"}, [&](auto& n) {
              return !has(n, "experts.");
            }}}) {
    train(row.name, joined(joined(start_, {"--max-update", "3"}), row.flags));
    const auto differs = [&](auto&& wanted) {
      return model_difference(last(row.name), dir_ / "mix.pt", [&](const std::string& name) {
        return name != "decoder.version" && wanted(name);
      });
    };
    EXPECT_EQ(differs([&](const std::string& name) { return !row.trains(name); }), 0) << row.name;
    EXPECT_GT(
        differs([&](const std::string& name) { return row.trains(name) && has(name, ".gate."); }),
        0)
        << row.name;
  }
}

TEST_F(TrainedMixture, RefusesAnotherNumberOfExperts) {
  const Finished done =
      run_btm(joined(moe_training(dir_ / "none", start_), {"--moe-expert-count", "4"}));
  EXPECT_EQ(done.status, 1);
  EXPECT_NE(done.err.find("is a mixture of 3 experts, expected --moe-freq 1 --moe-expert-count 3"),
            std::string::npos)
      << done.err;
}

}  // namespace
}  // namespace btm
