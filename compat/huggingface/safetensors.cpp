#include "compat/huggingface/safetensors.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/io/atomic_file.h"
#include "compat/io/json_line.h"
#include "compat/io/json_text.h"

namespace compat {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMaxHeader = 100'000'000;  // the reference implementation's limit
constexpr JsonLimits kHeaderLimits{
    .depth = 8, .bytes = kMaxHeader, .string_bytes = std::size_t{16} << 20};
constexpr std::size_t kMostTensors =
    200'000;  // the largest mixtures of experts have about 100,000, in many files
constexpr std::size_t kMostFields = 10'000;
constexpr std::string_view kMetadata = "__metadata__";

constexpr std::array<std::pair<std::string_view, DType>, 11> kTypes{{{"F64", DType::kFloat64},
                                                                     {"F32", DType::kFloat32},
                                                                     {"F16", DType::kFloat16},
                                                                     {"BF16", DType::kBFloat16},
                                                                     {"I64", DType::kInt64},
                                                                     {"I32", DType::kInt32},
                                                                     {"I16", DType::kInt16},
                                                                     {"I8", DType::kInt8},
                                                                     {"U8", DType::kUInt8},
                                                                     {"BOOL", DType::kBool},
                                                                     {"C64", DType::kComplex64}}};

struct Entry {
  std::string name;
  DType dtype = DType::kUInt8;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;
};

Entry entry_of(const std::string& name, const Json& json, const ByteReader& in) {
  const auto fail = [&](const std::string& problem) {
    in.fail("tensor '" + printable(name) + "': " + problem);
  };
  Entry entry;
  entry.name = name;
  const auto dtype = json.find("dtype"), shape = json.find("shape"),
             offsets = json.find("data_offsets");
  if (!json.is_object() || dtype == json.end() || !dtype->is_string() || shape == json.end() ||
      !shape->is_array() || offsets == json.end() || !offsets->is_array() || offsets->size() != 2)
    fail("expected dtype, shape and data_offsets");
  const auto type = std::ranges::find(kTypes, dtype->get<std::string>(),
                                      [](const auto& row) { return std::string(row.first); });
  if (type == kTypes.end())
    throw UnsupportedError(to_string(in.where()) + ": tensor '" + printable(name) +
                           "' has elements of " + printable(dtype->get<std::string>()) +
                           (dtype->get<std::string>().starts_with("F8_") ? " (8-bit floats)" : "") +
                           ", expected one of F64, F32, F16, BF16, integers, BOOL, C64");
  entry.dtype = type->second;
  std::uint64_t bytes = element_size(entry.dtype);
  for (const Json& size : *shape) {
    if (!size.is_number_unsigned() ||
        size.get<std::uint64_t>() >
            static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) ||
        __builtin_mul_overflow(bytes, size.get<std::uint64_t>(), &bytes))
      fail("shape " + printable(shape->dump()) + ", expected counts whose product fits 64 bits");
    entry.shape.push_back(size.get<std::int64_t>());
  }
  if (entry.shape.size() > 64) fail("more than 64 dimensions");
  for (const Json& offset : *offsets)
    if (!offset.is_number_unsigned())
      fail("data_offsets " + printable(offsets->dump()) + ", expected two counts");
  entry.begin = (*offsets)[0].get<std::uint64_t>();
  entry.end = (*offsets)[1].get<std::uint64_t>();
  if (entry.end < entry.begin || entry.end - entry.begin != bytes)
    fail(concat("data_offsets ", printable(offsets->dump()), " for ", bytes, " bytes"));
  return entry;
}

void append_metadata(const Json& json, const ByteReader& in,
                     std::vector<std::pair<std::string, std::string>>& metadata) {
  if (json.is_null()) return;  // the reference implementation accepts null
  if (!json.is_object()) in.fail("__metadata__ is not an object");
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) in.fail("__metadata__ '" + printable(key) + "' is not a string");
    metadata.emplace_back(key, value.get<std::string>());
  }
}

/// The tensors in the header's order. Each tensor's object is removed as soon as it ends: a header
/// with millions of tensors does not fill the memory.
std::vector<Entry> read_header(std::string_view text, const ByteReader& in,
                               std::vector<std::pair<std::string, std::string>>& metadata) {
  if (const std::string passed = json_limit_passed(text, kHeaderLimits); !passed.empty())
    in.fail("the header " + passed);
  std::vector<Entry> entries;
  std::vector<std::set<std::string>> keys;  // of the enclosing objects
  std::string name;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    using Event = Json::parse_event_t;
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key) {
      if (depth == 1) name = value.get<std::string>();
      if (!keys.back().insert(value.get<std::string>()).second)
        in.fail("'" + printable(value.get<std::string>()) + "' comes twice");
      const std::size_t most = depth == 1 ? kMostTensors : kMostFields;
      if (keys.back().size() > most)
        in.fail(concat("the header holds more than ", most,
                       depth == 1 ? " tensors" : " entries in one object"));
    }
    const bool ends =
        event == Event::value || event == Event::object_end || event == Event::array_end;
    if (depth != 1 || !ends) return true;
    if (name == kMetadata)
      append_metadata(value, in, metadata);
    else
      entries.push_back(entry_of(name, value, in));
    return false;  // discards the parsed value
  };
  if (!Json::parse(text, watch, false).is_object()) in.fail("the header is not a JSON object");
  return entries;
}

std::string header_text(const std::vector<std::pair<std::string, TensorView>>& tensors,
                        const std::vector<std::pair<std::string, std::string>>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) {
    Json& entries = header[std::string(kMetadata)] = Json::object();
    for (const auto& [key, value] : metadata) entries[key] = value;
  }
  std::uint64_t offset = 0;
  for (const auto& [name, view] : tensors) {
    const auto type =
        std::ranges::find(kTypes, view.dtype(), &std::pair<std::string_view, DType>::second);
    if (type == kTypes.end())
      throw UnsupportedError("tensor '" + printable(name) + "' of " +
                             std::string(dtype_name(view.dtype())) + " in a safetensors file");
    header[name] = {{"dtype", type->first},
                    {"shape", view.shape},
                    {"data_offsets", {offset, offset + view.size_bytes()}}};
    offset += view.size_bytes();
  }
  std::string text = json_line(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // tensors start at a multiple of 8
  return text;
}

}  // namespace

const std::string* SafetensorsFile::find_metadata(std::string_view key) const noexcept {
  for (const auto& [name, value] : metadata)
    if (name == key) return &value;
  return nullptr;
}

bool is_safetensors(std::span<const std::byte> bytes) noexcept {
  std::uint64_t length = 0;
  if (bytes.size() < 10) return false;
  std::memcpy(&length, bytes.data(), sizeof length);
  return length >= 2 && length <= kMaxHeader && bytes[8] == std::byte{'{'};
}

SafetensorsFile load_safetensors(const std::filesystem::path& path) {
  return load_safetensors(MappedFile::open(path));
}

SafetensorsFile load_safetensors(std::shared_ptr<const MappedFile> file) {
  if (file->bytes().empty())
    throw FormatError({file->path(), {}, {}}, "is empty, expected a safetensors file");
  ByteReader in(file->bytes(), {file->path(), {}, 0});
  const auto length = in.read<std::uint64_t>("the header's length");
  if (length > kMaxHeader)
    in.fail(concat("a header of ", length, " bytes, expected at most 100000000"));
  const std::string_view text = as_chars(in.take(length, "the header"));
  SafetensorsFile result;
  result.path = file->path();
  std::vector<Entry> entries = read_header(text, in, result.metadata);
  std::ranges::stable_sort(entries, {},
                           [](const Entry& entry) { return std::pair(entry.begin, entry.end); });
  const auto data = file->bytes().subspan(in.position());
  std::uint64_t at = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != at)
      in.fail(concat("tensor '", printable(entry.name), "' starts at ", entry.begin, ", expected ",
                     at, " (no holes, no overlaps)"));
    at = entry.end;
    if (at > data.size())
      in.fail(concat("tensor '", printable(entry.name), "' ends at ", at, ", beyond the ",
                     data.size(), " bytes there are"));
    const auto storage = std::make_shared<const Storage>(
        entry.dtype, data.subspan(entry.begin, entry.end - entry.begin), file);
    result.tensors.emplace_back(entry.name, TensorView::contiguous(storage, entry.shape));
  }
  if (at != data.size()) in.fail(concat(data.size() - at, " bytes follow the last tensor"));
  return result;
}

void save_safetensors(const std::filesystem::path& path,
                      const std::vector<std::pair<std::string, TensorView>>& tensors,
                      const std::vector<std::pair<std::string, std::string>>& metadata) {
  const std::string header = header_text(tensors, metadata);
  AtomicFile file(path);
  const std::uint64_t length = header.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (const auto& [name, view] : tensors) {
    if (view.is_contiguous() && view.offset == 0 &&
        view.size_bytes() == view.storage->size_bytes()) {
      view.storage->stream([&](std::span<const std::byte> piece) { file.write(piece); });
      continue;
    }
    std::vector<std::byte> scratch;
    file.write(view.contiguous_bytes(scratch));
    view.storage->release_pages();
  }
  file.commit();
}

}  // namespace compat
