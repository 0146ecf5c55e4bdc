// Reads any bytes as a rank's file of fairseq's moe branch: as the only rank and as two alike. The
// ranks are refused, or every tensor of the joined experts can be read.
#include <cstdint>
#include <vector>

#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/checkpoint/moe_ranks.h"
#include "compat/fairseq/network_settings.h"
#include "compat/torch/torch_file.h"
#include "tests/support/fuzz.h"

namespace {

void read(const std::vector<compat::MoeRank>& ranks) {
  constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 24;
  try {
    std::size_t given = 0;
    for (const compat::MoeRank& rank : ranks) given += rank.model.size();
    const compat::NamedTensors joined = compat::joined_experts(ranks);
    btm_test::require(joined.size() == given, "a tensor was lost");
    std::vector<std::byte> scratch;
    for (const auto& [name, view] : joined)
      if (view.size_bytes() <= kMostBytes)
        btm_test::require(view.contiguous_bytes(scratch).size() == view.size_bytes(),
                          "a tensor has other bytes than its shape says");
  } catch (const compat::FormatError&) {
  } catch (const compat::UnsupportedError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const auto file = compat::load_torch_file(compat::MappedFile::of_memory("fuzz.pt", bytes));
    const compat::PickleNode& root = *file.tree.root;
    const auto config =
        compat::Config::from_checkpoint(root.find("cfg"), root.find("args"), file.path);
    if (!compat::is_moe_rank(config)) return 0;
    const compat::MoeRank rank{file.path, compat::model_tensors(root, file.path),
                               config.get_int("model", compat::kMoeExpertCountKey, 0)};
    read({rank});
    read({rank, rank});
  } catch (const compat::FormatError&) {
  } catch (const compat::UnsupportedError&) {
  }
  return 0;
}
