// Reads any bytes as fastBPE's codes, or as a vocabulary beside good codes, and encodes some text.
// What was encoded decodes to the words of the text.
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/tokenizer/fastbpe.h"
#include "tests/support/files.h"
#include "tests/support/fuzz.h"

namespace {

void encode(const std::filesystem::path& codes, const std::filesystem::path& vocabulary) {
  try {
    const auto tokenizer = compat::load_fastbpe(codes, vocabulary);
    compat::Tokens tokens;
    tokenizer->encode("the theatre", tokens);
    std::vector<std::string_view> symbols(tokens.unknown.begin(), tokens.unknown.end());
    btm_test::require(tokenizer->decode(symbols) == "the theatre", "another text comes back");
  } catch (const compat::FormatError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto path = btm_test::scratch_path("codes");
  btm_test::write_file(path, btm_test::as_text(data, size));
  encode(path, {});
  encode(btm_test::golden("encoders/codes"), path);
  return 0;
}
