// Reads any bytes as the vocabulary, index and bits of a huffman data-bin.
#include "compat/fairseq/huffman_dataset.h"
#include "tests/support/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest = btm_test::as_text(data, size);
  const std::string_view vocabulary = btm_test::take_part(rest), index = btm_test::take_part(rest);
  try {
    const auto dataset = compat::open_huffman_dataset(
        btm_test::in_memory("input.idx", index), btm_test::in_memory("input.bin", rest),
        *btm_test::in_memory("input.vocab", vocabulary));
    std::int64_t total = 0;
    for (std::int64_t i = 0; i < dataset->size(); ++i) {
      for (const std::int64_t id : dataset->sequence(i))
        btm_test::require(id >= 0, "a negative id");
      total += dataset->sizes()[static_cast<std::size_t>(i)];
    }
    btm_test::require(total == dataset->total_tokens(), "the sizes do not add up to total_tokens");
  } catch (const compat::FormatError&) {
  }
  return 0;
}
