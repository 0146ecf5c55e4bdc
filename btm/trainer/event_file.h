// TensorBoard's event files: records of hand-encoded protobuf messages, each with masked CRC-32C
// sums.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace btm {

/// CRC-32C (Castagnoli).
std::uint32_t crc32c(std::string_view bytes) noexcept;

class EventFile {
 public:
  /// Creates FOLDER/events.out.tfevents.SECONDS.HOST.PID, folders included. IoError when it cannot.
  explicit EventFile(const std::filesystem::path& folder);
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  void add_scalar(std::string_view name, double value, std::int64_t step);
  /// Flushes what was added, so that TensorBoard sees it.
  void flush();

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  void write_record(const std::string& event);
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace btm
