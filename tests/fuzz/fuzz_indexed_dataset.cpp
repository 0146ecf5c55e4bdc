// Reads any bytes as an index (MMIDIDX, TNTIDX) and tokens. They are refused, or every sequence can
// be read and written again.
#include "compat/fairseq/indexed_dataset.h"
#include "compat/fairseq/indexed_dataset_builder.h"
#include "tests/support/fuzz.h"

namespace {

using btm_test::require;

std::vector<std::vector<std::int64_t>> sequences_of(const compat::IndexedDataset& dataset) {
  std::vector<std::vector<std::int64_t>> all;
  std::int64_t total = 0;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    all.push_back(dataset.sequence(i));
    total += static_cast<std::int64_t>(all.back().size());
    require(static_cast<std::int32_t>(all.back().size()) ==
                dataset.sizes()[static_cast<std::size_t>(i)],
            "a sequence of another size");
    if (all.back().empty()) continue;
    std::int64_t last = 0;
    dataset.read(i, dataset.sizes()[static_cast<std::size_t>(i)] - 1, {&last, 1});
    require(last == all.back().back(), "a token read by itself is another");
  }
  require(total == dataset.total_tokens(), "the sizes do not add up to total_tokens");
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest = btm_test::as_text(data, size);
  const std::string_view index = btm_test::take_part(rest);
  const auto prefix = btm_test::scratch_path("saved");
  try {
    const auto dataset = compat::IndexedDataset::open(btm_test::in_memory("input.idx", index),
                                                      btm_test::in_memory("input.bin", rest));
    const auto sequences = sequences_of(*dataset);
    const auto builder =
        compat::IndexedDatasetBuilder::create(prefix, dataset->impl(), 0, dataset->dtype());
    for (const auto& sequence : sequences)
      builder->add(sequence);  // FormatError: a uint64 beyond int64
    builder->finalize();
    require(sequences_of(*compat::IndexedDataset::open(prefix)) == sequences,
            "a data-bin is not read as it was written");
  } catch (const compat::FormatError&) {
  }
  return 0;
}
