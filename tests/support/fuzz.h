// The functions that fuzz targets share: the input as text, and required agreements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "compat/base/byte_reader.h"
#include "compat/io/mapped_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace btm_test {

/// Ends the process when `agreed` is false. libFuzzer keeps the input; a replay fails.
inline void require(bool agreed, const char* what) {
  if (agreed) return;
  std::fprintf(stderr, "fuzz target: %s\n", what);
  std::abort();
}

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

inline std::shared_ptr<const compat::MappedFile> in_memory(std::string name,
                                                           std::string_view bytes) {
  auto copy = std::make_shared<std::string>(bytes);
  const auto span = compat::as_byte_span(*copy);
  return compat::MappedFile::of_memory(std::move(name), span, std::move(copy));
}

/// Takes a part from the front of `rest`. Its length is in the first two bytes, so that one input
/// can hold several files.
inline std::string_view take_part(std::string_view& rest) {
  if (rest.size() < 2) return std::exchange(rest, {});
  const std::size_t wanted =
      static_cast<unsigned char>(rest[0]) + 256U * static_cast<unsigned char>(rest[1]);
  rest.remove_prefix(2);
  const std::string_view part = rest.substr(0, wanted);
  rest.remove_prefix(part.size());
  return part;
}

/// A path for this process, where a target writes a file. It is in memory when the system has such
/// a folder.
inline std::filesystem::path scratch_path(std::string_view name) {
  static const std::filesystem::path folder = [] {
    const std::filesystem::path memory = "/dev/shm";
    std::string made =
        ((std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path()) /
         "btm-fuzz-XXXXXX")
            .string();
    require(::mkdtemp(made.data()) != nullptr, "no temporary folder");
    static const struct Remove {
      std::string path;
      ~Remove() { std::filesystem::remove_all(path); }
    } at_exit{made};
    return std::filesystem::path(made);
  }();
  return folder / name;
}

}  // namespace btm_test
