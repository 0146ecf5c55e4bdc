// What inspect tells of a model: its summary first, its tensors where they are asked for.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <ostream>
#include <string>

namespace converters {

/// A file or Hugging Face folder that open_model_file() takes. `hash` adds the SHA-256 of every
/// tensor.
nlohmann::ordered_json model_json(const std::filesystem::path& path, bool hash);

/// How much of the tensors a reader sees.
enum class ShownTensors { kNone, kSome, kAll };

/// For people: what model_json() returned.
void print_model(const nlohmann::ordered_json& json, const std::string& indent,
                 ShownTensors tensors, std::ostream& out);

/// A string or number of a file, for people; "-" for null.
std::string text_of(const nlohmann::ordered_json& value);

}  // namespace converters
