// Reads any bytes as each of sacremoses' tables, beside good ones, and tokenizes the same bytes.
#include "compat/base/error.h"
#include "compat/tokenizer/moses.h"
#include "tests/support/files.h"
#include "tests/support/fuzz.h"

namespace {

/// A copy of the golden tables that this process may change.
std::filesystem::path own_tables() {
  const auto folder = btm_test::scratch_path("moses");
  std::filesystem::remove_all(folder);
  std::filesystem::copy(btm_test::golden("moses"), folder,
                        std::filesystem::copy_options::recursive);
  return folder;
}

void tokenize(const std::filesystem::path& folder, std::string_view text) {
  try {
    const compat::MosesTables tables = compat::read_moses_tables(folder, "en");
    if (compat::first_invalid_utf8(text) != std::string_view::npos) return;
    const std::string tokens = compat::moses_tokenize(text, tables, "en", {});
    const std::string back = compat::moses_detokenize(tokens, tables, "en");
    btm_test::require(compat::first_invalid_utf8(tokens) == std::string_view::npos &&
                          compat::first_invalid_utf8(back) == std::string_view::npos,
                      "what comes out is no UTF-8");
  } catch (const compat::FormatError&) {
  } catch (const compat::UnsupportedError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto folder = own_tables();
  const std::string_view text = btm_test::as_text(data, size);
  for (const char* name :
       {"perluniprops/IsAlnum.txt", "nonbreaking_prefixes/nonbreaking_prefix.en"}) {
    btm_test::write_file(folder / name, text);
    tokenize(folder, text);
    std::filesystem::copy_file(btm_test::golden("moses") / name, folder / name,
                               std::filesystem::copy_options::overwrite_existing);
  }
  return 0;
}
