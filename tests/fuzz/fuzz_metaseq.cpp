// Reads any bytes as a file of metaseq: as a whole model, as two parts and as two shards of one. A
// model is refused, or every tensor can be read.
#include <cstdint>
#include <vector>

#include "compat/base/error.h"
#include "compat/checkpoint/metaseq_checkpoint.h"
#include "compat/torch/named_tensors.h"
#include "tests/support/fuzz.h"

namespace {

void read(const std::vector<compat::MetaseqShard>& shards) {
  constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 24;
  try {
    const compat::PickleTree tree = compat::metaseq_checkpoint(shards);
    std::vector<std::byte> scratch;
    for (const auto& [name, view] : compat::named_tensors(*tree.root->find("model"), "fuzz"))
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
    if (!compat::is_metaseq_checkpoint(*file.tree.root, file.path)) return 0;
    read({{file, 0}});
    read({{file, 0}, {file, 1}});
    read({{file, 0}, {file, 0}});
  } catch (const compat::FormatError&) {
  } catch (const compat::UnsupportedError&) {
  }
  return 0;
}
