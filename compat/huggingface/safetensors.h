// safetensors files: named tensors after a JSON header. Layout: compat/huggingface/safetensors.md
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compat/io/mapped_file.h"
#include "compat/torch/tensor.h"

namespace compat {

struct SafetensorsFile {
  std::vector<std::pair<std::string, TensorView>> tensors;    ///< In the order of their bytes.
  std::vector<std::pair<std::string, std::string>> metadata;  ///< `__metadata__`, in file order.
  std::string path;

  const std::string* find_metadata(std::string_view key) const noexcept;
};

/// Whether the bytes start like a safetensors file: a plausible length, then '{'.
bool is_safetensors(std::span<const std::byte> bytes) noexcept;

/// Maps a file without reading tensor bytes. FormatError when the header is malformed or its
/// tensors do not cover the file exactly. UnsupportedError for an element type that torch files do
/// not have (F8_E4M3, ...).
SafetensorsFile load_safetensors(const std::filesystem::path& path);
SafetensorsFile load_safetensors(std::shared_ptr<const MappedFile> file);

/// Writes `tensors` row-major, one after the other, atomically. Tensors that share a storage are
/// written separately. UnsupportedError for a dtype that safetensors does not have.
void save_safetensors(const std::filesystem::path& path,
                      const std::vector<std::pair<std::string, TensorView>>& tensors,
                      const std::vector<std::pair<std::string, std::string>>& metadata);

}  // namespace compat
