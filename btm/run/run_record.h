// The JSON records of a run's steps: STEP.json and its like.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

namespace btm {

/// Of the records: what their keys are made of. Records of before it have no version.
inline constexpr int kRecordVersion = 2;

/// A JSON object that btm wrote. Empty for a file that is missing or damaged, whose step is then
/// done again.
nlohmann::json read_record(const std::filesystem::path& file);
void write_record(const std::filesystem::path& file, const nlohmann::json& record);  ///< Atomic.

/// `record`'s `key`, or `fallback` where it is missing or of another type.
template <class T>
T value_or(const nlohmann::json& record, const char* key, T fallback) {
  const auto found = record.find(key);
  try {
    return found == record.end() ? fallback : found->get<T>();
  } catch (const nlohmann::json::exception&) {
    return fallback;
  }
}

}  // namespace btm
