// Builds zip archives in memory, correct or wrong in any field.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/bytes.h"

namespace btm_test {

inline std::uint32_t crc32_of(std::string_view data) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char c : data) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320U : 0U);
  }
  return ~crc;
}

/// The values that the archive states for an entry. The defaults are correct.
struct ZipMember {
  explicit ZipMember(std::string name_, std::string data_)
      : name(std::move(name_)),
        data(std::move(data_)),
        local_name(name),
        crc(crc32_of(data)),
        packed(static_cast<std::uint32_t>(data.size())),
        size(packed),
        local_size(size) {}
  std::string name, data, local_name;
  std::uint32_t crc, packed, size, local_size;
  std::uint16_t method = 0, flags = 0;
  std::int64_t offset =
      -1;  ///< The offset of the local header in the directory. -1 for the correct one.
};

/// The values that the end record states. -1 for the correct ones.
struct ZipEnd {
  std::int64_t count = -1, size = -1, offset = -1;
};

inline std::string make_zip(const std::vector<ZipMember>& members, const ZipEnd& end = {}) {
  std::string out, directory;
  for (const ZipMember& member : members) {
    const auto common = [&](const std::string& name, std::uint32_t size) {
      return le<std::uint16_t>(20) + le(member.flags) + le(member.method) + le<std::uint32_t>(0) +
             le(member.crc) + le(member.packed) + le(size) +
             le(static_cast<std::uint16_t>(name.size())) + le<std::uint16_t>(0);
    };
    const auto offset = static_cast<std::uint32_t>(
        member.offset < 0 ? static_cast<std::int64_t>(out.size()) : member.offset);
    directory += "PK\x01\x02" + le<std::uint16_t>(20) + common(member.name, member.size) +
                 std::string(10, '\0') + le(offset) + member.name;
    out += "PK\x03\x04" + common(member.local_name, member.local_size) + member.local_name +
           member.data;
  }
  const auto told = [](std::int64_t wanted, std::size_t truth) {
    return wanted < 0 ? static_cast<std::int64_t>(truth) : wanted;
  };
  const auto count = static_cast<std::uint16_t>(told(end.count, members.size()));
  return out + directory + "PK\x05\x06" + le<std::uint32_t>(0) + le(count) + le(count) +
         le(static_cast<std::uint32_t>(told(end.size, directory.size()))) +
         le(static_cast<std::uint32_t>(told(end.offset, out.size()))) + le<std::uint16_t>(0);
}

}  // namespace btm_test
