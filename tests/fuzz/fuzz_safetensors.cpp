// Reads any bytes as a safetensors file. The tensors of an accepted file cover its bytes exactly.
#include <cstdint>
#include <span>

#include "compat/base/error.h"
#include "compat/huggingface/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const auto file =
        compat::load_safetensors(compat::MappedFile::of_memory("fuzz.safetensors", bytes));
    std::uint64_t total = 0;
    for (const auto& [name, view] : file.tensors) total += view.storage->bytes().size();
    if (total > size) __builtin_trap();
  } catch (const compat::FormatError&) {
  } catch (const compat::UnsupportedError&) {
  }
  return 0;
}
