// Reads any bytes as a sentencepiece model. The answer is no as soon as an incomplete field
// follows.
#include "compat/tokenizer/sentencepiece_model.h"
#include "tests/support/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = btm_test::as_text(data, size);
  if (compat::encodes_words_separately(bytes))
    btm_test::require(!compat::encodes_words_separately(std::string(bytes) + '\x0a'),
                      "a cut field is taken");
  if (const auto model = compat::read_sentencepiece_model(bytes))
    btm_test::require(!model->pieces.empty(), "a model without pieces");
  return 0;
}
