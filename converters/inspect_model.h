// What inspect shows of a model: the summary first, the tensors on request.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <ostream>
#include <string>

namespace converters {

/// Describes a file or Hugging Face folder that open_model_file() takes. `hash` adds the SHA-256 of
/// every tensor.
nlohmann::ordered_json model_json(const std::filesystem::path& path, bool hash);

/// How many of the tensors are printed.
enum class ShownTensors { kNone, kSome, kAll };

/// Prints the result of model_json() as text.
void print_model(const nlohmann::ordered_json& json, const std::string& indent,
                 ShownTensors tensors, std::ostream& out);

/// A string or number of a file as text that is safe to print. "-" for null.
std::string text_of(const nlohmann::ordered_json& value);

}  // namespace converters
