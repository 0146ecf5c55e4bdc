// Any bytes as a pickle: refused with a FormatError, or read, and then what is written of it is
// read as the same.
#include "compat/torch/pickler.h"
#include "compat/torch/unpickler.h"
#include "tests/support/fuzz.h"

namespace {

compat::PickleTree load(std::string_view bytes) {
  compat::ByteReader in(compat::as_byte_span(bytes), {"input", {}, 0});
  return compat::unpickle(in);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string written;
  try {
    const auto tree = load(btm_test::as_text(data, size));
    tree.root->describe();
    written = compat::pickled(*tree.root);
  } catch (const compat::FormatError&) {
    return 0;
  } catch (const compat::UnsupportedError&) {
    return 0;  // nests deeper than the writer goes
  }
  const auto again = load(written);
  btm_test::require(compat::pickled(*again.root) == written,
                    "a pickle is not a fixed point of load and save");
  return 0;
}
