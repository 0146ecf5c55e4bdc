// safetensors: named tensors behind a JSON header. Layout: compat/huggingface/safetensors.md
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

/// Whether the bytes start as safetensors files do: a plausible length, then '{'.
bool is_safetensors(std::span<const std::byte> bytes) noexcept;

/// Maps; touches no tensor bytes. FormatError unless the header is what it should be and its
/// tensors cover the file exactly; UnsupportedError for an element type torch files do not have
/// (F8_E4M3, ...).
SafetensorsFile load_safetensors(const std::filesystem::path& path);
SafetensorsFile load_safetensors(std::shared_ptr<const MappedFile> file);

/// Writes `tensors` (row-major, one after the other) atomically; tensors that share a storage are
/// written each on its own. UnsupportedError for a dtype that safetensors does not have.
void save_safetensors(const std::filesystem::path& path,
                      const std::vector<std::pair<std::string, TensorView>>& tensors,
                      const std::vector<std::pair<std::string, std::string>>& metadata);

}  // namespace compat
