#include "btm/run/run_record.h"

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/io/atomic_file.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"

namespace btm {

using nlohmann::json;

constexpr int kIndent = 1;

json read_record(const std::filesystem::path& file) {
  std::error_code missing;
  if (!std::filesystem::is_regular_file(file, missing)) return json::object();
  try {
    const auto mapped = compat::MappedFile::open(file);
    json record = compat::parse_json(compat::as_chars(mapped->bytes()));
    return record.is_object() ? record : json::object();
  } catch (const compat::IoError&) {
    return json::object();  // it was replaced or removed meanwhile
  }
}

void write_record(const std::filesystem::path& file, const json& record) {
  compat::write_file_atomically(
      file, record.dump(kIndent, ' ', false, json::error_handler_t::replace) + "\n");
}

}  // namespace btm
