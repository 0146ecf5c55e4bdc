// Reads any bytes as a zst data-bin: two bytes with the length of the index's body, the body (magic
// and CRC are added), and the frames.
#include <libdeflate.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "compat/base/error.h"
#include "compat/fairseq/indexed_dataset.h"
#include "compat/fairseq/zst_dataset_layout.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::uint16_t length = 0;
  if (size < sizeof length) return 0;
  std::memcpy(&length, data, sizeof length);
  const std::string_view rest(reinterpret_cast<const char*>(data) + sizeof length,
                              size - sizeof length);
  std::string index(compat::kZstMagic);
  index += rest.substr(0, length);
  const std::uint32_t crc = libdeflate_crc32(0, index.data(), index.size());
  index.append(reinterpret_cast<const char*>(&crc), sizeof crc);
  const std::string_view tokens = rest.substr(std::min<std::size_t>(length, rest.size()));
  try {
    const auto dataset = compat::IndexedDataset::open(
        compat::MappedFile::of_memory("fuzz.idx", std::as_bytes(std::span(index))),
        compat::MappedFile::of_memory("fuzz.bin", std::as_bytes(std::span(tokens))));
    std::int64_t total = 0;
    for (const std::int32_t count : dataset->sizes()) total += count;
    if (total != dataset->total_tokens()) __builtin_trap();
    for (std::int64_t i = 0; i < std::min<std::int64_t>(dataset->size(), 100); ++i)
      if (dataset->sizes()[static_cast<std::size_t>(i)] < 1 << 20) dataset->sequence(i);
  } catch (const compat::FormatError&) {
  }
  return 0;
}
