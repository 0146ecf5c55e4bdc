// The rank files of fairseq's moe branch: the model that they hold together, and what is refused.
#include "compat/checkpoint/moe_ranks.h"

#include <gtest/gtest.h>

#include <functional>

#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/checkpoint/named_models.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

namespace fs = std::filesystem;
using btm_test::expect_error;
using btm_test::golden;

const std::string kLayer = "decoder.layers.1.moe_layer.";
constexpr const char* kRank0 = "checkpoint_last-rank-0.pt";
constexpr const char* kRank1 = "checkpoint_last-rank-1.pt";
constexpr const char* kShared = "checkpoint_last-shared.pt";

std::vector<std::byte> bytes_of(const TensorView& view) {
  std::vector<std::byte> scratch;
  const auto bytes = view.contiguous_bytes(scratch);
  return {bytes.begin(), bytes.end()};
}

TEST(MoeRanks, HoldOneModelTogether) {
  for (const char* name : {kRank0, kRank1}) {
    const auto model = Checkpoint::open(golden("moe_ranks") / name);
    EXPECT_EQ(model.files().size(), 3U);
    std::vector<std::string> names;
    for (const auto& [tensor, view] : model.model())
      if (tensor.starts_with(kLayer)) names.push_back(tensor.substr(kLayer.size()));
    std::vector<std::string> expected{"gate.wg.weight"};
    for (const char* expert : {"0", "1", "2", "3"})
      for (const char* part : {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"})
        expected.push_back(std::string("experts.") + expert + "." + part);
    EXPECT_EQ(names, expected);
    // Expert 3 is the second of rank 1.
    const auto rank = load_torch_file(golden("moe_ranks") / kRank1);
    for (const auto& [tensor, view] : model_tensors(*rank.tree.root, rank.path)) {
      if (tensor != kLayer + "experts.1.fc1.weight") continue;
      EXPECT_EQ(bytes_of(view), bytes_of(*model.find(kLayer + "experts.3.fc1.weight")));
    }
    EXPECT_EQ(model.config().get_string("checkpoint", "checkpoint_suffix", ""), "-rank-0");
    EXPECT_EQ(model.find_entry("last_optimizer_state"), nullptr);
    EXPECT_NE(model.find_entry("optimizer_history"), nullptr);
  }
}

TEST(MoeRanks, AreOneModelOfACommandLine) {
  for (const fs::path& path : {golden("moe_ranks"), golden("moe_ranks") / kRank1}) {
    const NamedModel model = resolve_model(path);
    EXPECT_EQ(model.name, "moe_ranks");
    EXPECT_EQ(model.path, golden("moe_ranks") / kRank0);
  }
  EXPECT_TRUE(is_moe_rank(golden("moe_ranks") / kRank0));
  EXPECT_FALSE(is_moe_rank(golden("checkpoints/demix/checkpoint_last-rank-0.pt")));
  EXPECT_FALSE(is_moe_rank(golden("data-bin/dict.txt")));
}

TEST(MoeRanks, AreAllNeeded) {
  const auto refused = [](const std::string& without, const char* opened,
                          const std::string& phrase) {
    const btm_test::TempDir folder;
    for (const char* name : {kRank0, kRank1, kShared})
      if (name != without) fs::copy(golden("moe_ranks") / name, folder / name);
    expect_error<FormatError>([&] { Checkpoint::open(folder / opened); }, phrase);
  };
  refused(kRank0, kRank1, "is a rank of a mixture without checkpoint_last-rank-0.pt beside it");
  refused(kShared, kRank0, "is a rank of a mixture without its shared part");
}

TensorView vector_of(std::int64_t size) {
  return TensorView::contiguous(Storage::computed(DType::kFloat32, static_cast<std::uint64_t>(size),
                                                  [](const Storage::Sink&) {}),
                                {size});
}

/// Two ranks with one expert each in layer 0.
std::vector<MoeRank> good() {
  const std::string name = "decoder.layers.0.moe_layer.experts.0.fc1.bias";
  return {{"rank-0", {{name, vector_of(2)}}, 2}, {"rank-1", {{name, vector_of(2)}}, 2}};
}

TEST(MoeRanks, RefuseWhatIsNoPartOfOneMixture) {
  EXPECT_EQ(joined_experts(good())[1].first, "decoder.layers.0.moe_layer.experts.1.fc1.bias");
  const auto refused = [](const std::string& phrase,
                          const std::function<void(std::vector<MoeRank>&)>& change) {
    SCOPED_TRACE(phrase);
    std::vector<MoeRank> ranks = good();
    change(ranks);
    expect_error<FormatError>([&] { joined_experts(ranks); }, phrase);
  };
  const auto renames = [](const char* name) {
    return [name](std::vector<MoeRank>& ranks) { ranks[1].model[0].first = name; };
  };
  constexpr const char* kNone = "expected tensors of experts alone";
  refused(kNone, renames("decoder.embed_tokens.weight"));
  refused(kNone, renames("decoder.layers.0.fc1.bias"));
  refused(kNone, renames("decoder.layers.x.moe_layer.experts.0.fc1.bias"));
  refused(kNone, renames("decoder.layers.0.moe_layer.experts.00.fc1.bias"));
  refused(kNone, renames("decoder.layers.0.moe_layer.experts.-1.fc1.bias"));
  refused(kNone, renames("decoder.layers.0.moe_layer.experts.9999999.fc1.bias"));
  refused(kNone, renames("decoder.layers.0.moe_layer.experts.0"));
  refused(kNone, renames("decoder.layers.0.moe_layer.experts.0."));
  refused("expected experts 0 to 0 in each",
          renames("decoder.layers.0.moe_layer.experts.1.fc1.bias"));
  refused("which rank-0 does not hold", renames("decoder.layers.1.moe_layer.experts.0.fc1.bias"));
  refused(
      "rank-1[model]: has no 'decoder.layers.0.moe_layer.experts.0.fc1.bias', which rank-0 holds",
      [](auto& ranks) { ranks[1].model.clear(); });
  refused("of shape [3], expected [2] as in rank-0",
          [](auto& ranks) { ranks[1].model[0].second = vector_of(3); });
  refused("moe_expert_count]: is 4, expected 2 as in rank-0",
          [](auto& ranks) { ranks[1].experts = 4; });
  for (const std::int64_t count : {0, -2, 3, 5000})
    refused("expected a multiple of 2, the number of its ranks, up to 4096",
            [count](auto& ranks) { ranks[0].experts = ranks[1].experts = count; });
}

}  // namespace
}  // namespace compat
