#include "btm/cluster/cluster_record.h"

#include <nlohmann/json.hpp>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/io/atomic_file.h"
#include "compat/io/json_line.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"
#include "compat/io/sha256.h"

namespace btm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::int64_t kRecordVersion = 1;
constexpr std::size_t kMostDigits = 6;

bool is_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string::npos;
}

}  // namespace

std::optional<ClusterRecord> read_cluster_record(const fs::path& folder) {
  const fs::path path = folder / kClusterRecord;
  std::error_code missing;
  if (!fs::is_regular_file(path, missing)) return std::nullopt;
  const compat::Location where{path.string(), {}, {}};
  const json object = compat::parse_json_object(
      compat::as_chars(compat::MappedFile::open(path)->bytes()), where, "the record of a cluster");
  const auto field = [&](const char* key) { return object.contains(key) ? object[key] : json(); };
  const json cluster = field("cluster"), model = field("model_sha256"), files = field("files");
  if (field("btm_cluster") != kRecordVersion || !cluster.is_number_unsigned() ||
      !model.is_string() || !compat::is_sha256_hex(model.get<std::string>()) || !files.is_array())
    throw compat::FormatError(
        where, compat::concat("is no record of btm cluster assign, version ", kRecordVersion));
  ClusterRecord record{cluster, model, {}};
  for (const json& name : files) {
    if (!name.is_string() || !is_file_name(name))
      throw compat::FormatError(
          where, "a file is " + compat::printable(name.dump()) + ", expected a name");
    record.files.push_back(name);
  }
  return record;
}

void write_cluster_record(const fs::path& folder, const ClusterRecord& record) {
  const nlohmann::ordered_json object{{"btm_cluster", kRecordVersion},
                                      {"cluster", record.cluster},
                                      {"model_sha256", record.model_sha256},
                                      {"files", record.files}};
  compat::write_file_atomically(folder / kClusterRecord, compat::json_line(object) + "\n");
}

std::optional<ClusterOrigin> cluster_of_name(std::string_view name) {
  if (!name.starts_with('c') || name.size() < 2 || name.size() > 1 + kMostDigits ||
      (name[1] == '0' && name.size() > 2))
    return std::nullopt;
  const auto cluster = compat::number_of<std::size_t>(name.substr(1));
  return cluster ? std::optional(ClusterOrigin{*cluster, {}}) : std::nullopt;
}

std::optional<ClusterOrigin> cluster_of_data(const fs::path& folder) {
  if (const auto record = read_cluster_record(folder))
    return ClusterOrigin{record->cluster, record->model_sha256};
  const fs::path whole = folder.lexically_normal();
  return cluster_of_name((whole.has_filename() ? whole : whole.parent_path()).filename().string());
}

}  // namespace btm
