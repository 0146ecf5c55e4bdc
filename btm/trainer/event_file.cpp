#include "btm/trainer/event_file.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78U : 0U);
    table[i] = value;
  }
  return table;
}

/// TensorFlow stores a CRC rotated and shifted, because the data may itself hold CRCs.
std::uint32_t masked(std::uint32_t crc) noexcept {
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8U;
}

template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(0x80 | (value & 0x7F));
  out += static_cast<char>(value);
}

// Protobuf's wire types.
constexpr unsigned kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;
void append_key(std::string& out, unsigned field, unsigned wire_type) {
  out += static_cast<char>(field << 3 | wire_type);
}

void append_bytes(std::string& out, unsigned field, std::string_view bytes) {
  append_key(out, field, kBytes);
  append_varint(out, bytes.size());
  out += bytes;
}

/// The start of an Event: wall_time (1).
std::string event_now() {
  std::string event;
  append_key(event, 1, kFixed64);
  append(
      event,
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count());
  return event;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) noexcept {
  static constexpr auto kTable = make_table();
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char byte : bytes)
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(byte)) & 0xFF];
  return ~crc;
}

EventFile::EventFile(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw compat::IoError(folder.string(), "cannot create the folder", error.value());
  std::array<char, 256> host{"localhost"};
  ::gethostname(host.data(), host.size() - 1);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(
                           std::chrono::system_clock::now().time_since_epoch())
                           .count();
  path_ =
      (folder / compat::concat("events.out.tfevents.", seconds, '.', host.data(), '.', ::getpid()))
          .string();
  file_.reset(std::fopen(path_.c_str(), "abe"));
  if (!file_) throw compat::IoError(path_, "cannot create", errno);
  std::string event = event_now();
  append_bytes(event, 3, "brain.Event:2");  // file_version
  write_record(event);
  flush();
}

void EventFile::write_record(const std::string& event) {
  std::string record;
  append(record, static_cast<std::uint64_t>(event.size()));
  append(record, masked(crc32c(record)));
  record += event;
  append(record, masked(crc32c(event)));
  if (std::fwrite(record.data(), 1, record.size(), file_.get()) != record.size())
    throw compat::IoError(path_, "cannot write", errno);
}

void EventFile::add_scalar(std::string_view name, double value, std::int64_t step) {
  std::string scalar;  // Summary.Value: tag (1), simple_value (2)
  append_bytes(scalar, 1, name);
  append_key(scalar, 2, kFixed32);
  append(scalar, static_cast<float>(value));
  std::string summary;
  append_bytes(summary, 1, scalar);
  std::string event = event_now();
  append_key(event, 2, kVarint);
  append_varint(event, static_cast<std::uint64_t>(step));
  append_bytes(event, 5, summary);
  write_record(event);
}

void EventFile::flush() {
  if (std::fflush(file_.get()) != 0) throw compat::IoError(path_, "cannot write", errno);
}

}  // namespace btm
