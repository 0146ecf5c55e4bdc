#include "converters/npy_dataset.h"

#include <algorithm>
#include <array>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/fairseq/config.h"
#include "compat/fairseq/indexed_dataset_layout.h"
#include "compat/io/atomic_file.h"

namespace converters {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "\x93NUMPY";
/// numpy's names of the types that a data-bin can have, for example "<u2" for uint16.
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kTypes{{{"|u1", "uint8"},
                                                                               {"|i1", "int8"},
                                                                               {"<i2", "int16"},
                                                                               {"<i4", "int32"},
                                                                               {"<i8", "int64"},
                                                                               {"<u2", "uint16"},
                                                                               {"<u4", "uint32"},
                                                                               {"<u8", "uint64"}}};

const compat::TokenType& type_named(std::string_view name) {
  return *std::ranges::find(compat::kTokenTypes, name, &compat::TokenType::name);
}

struct Array {
  std::shared_ptr<const compat::MappedFile> file;
  std::string_view dtype;  // torch's name
  std::vector<std::uint64_t> shape;
  std::span<const std::byte> data;
};

std::vector<std::uint64_t> shape_of(const compat::ConfigValue* shape,
                                    const compat::ByteReader& in) {
  std::vector<std::uint64_t> sizes;
  const auto* list =
      shape == nullptr ? nullptr : std::get_if<compat::ConfigValue::List>(&shape->value);
  if (list == nullptr || list->empty() || list->size() > 2)
    in.fail("expected an array of one or two dimensions");
  for (const auto& item : *list) {
    const auto* size = std::get_if<std::int64_t>(&item.value);
    if (size == nullptr || *size < 0)
      in.fail("a shape of '" + compat::printable(item.to_text()) + "', expected counts");
    sizes.push_back(static_cast<std::uint64_t>(*size));
  }
  return sizes;
}

Array open_array(const fs::path& path) {
  Array array{compat::MappedFile::open(path), {}, {}, {}};
  compat::ByteReader in(array.file->bytes(), {array.file->path(), {}, 0});
  if (compat::as_chars(in.take(kMagic.size(), "the magic")) != kMagic)
    in.fail("does not start with \\x93NUMPY, expected a .npy file");
  const auto major = in.read<std::uint8_t>("the version");
  in.read<std::uint8_t>("the version");
  if (major < 1 || major > 3) in.fail(compat::concat("version ", major, ", expected 1 to 3"));
  const std::uint64_t length = major == 1 ? in.read<std::uint16_t>("the header's length")
                                          : in.read<std::uint32_t>("the header's length");
  if (length > 65536)
    in.fail(compat::concat("a header of ", length, " bytes, expected at most 65536"));
  const std::string_view header = compat::as_chars(in.take(length, "the header"));
  compat::ConfigValue fields;
  try {
    fields = compat::parse_python_literal(header);
  } catch (const compat::UsageError& error) {
    in.fail(std::string("its header is not a dict: ") + error.what());
  }
  const auto* descr = fields.find("descr");
  const auto* order = fields.find("fortran_order");
  const std::string type = descr == nullptr ? std::string() : descr->to_text();
  const auto found = std::ranges::find(kTypes, std::string_view(type),
                                       &std::pair<std::string_view, std::string_view>::first);
  if (found == kTypes.end())
    in.fail("elements of '" + compat::printable(type) + "', expected little-endian integers");
  array.dtype = found->second;
  array.shape = shape_of(fields.find("shape"), in);
  if (array.shape.size() > 1 && (order == nullptr || order->to_text() != "False"))
    in.fail("is in column-major order, expected row-major order (fortran_order False)");
  std::uint64_t bytes = type_named(array.dtype).size;
  for (const std::uint64_t size : array.shape)
    if (__builtin_mul_overflow(bytes, size, &bytes)) in.fail("its shape is larger than any file");
  if (bytes != in.remaining())
    in.fail(compat::concat("needs ", bytes, " bytes for its shape, ", in.remaining(), " left"));
  array.data = in.take(bytes, "the data");
  return array;
}

std::vector<std::int32_t> sizes_for(const Array& array, const fs::path& sizes_path) {
  if (array.shape.size() == 2) {
    if (array.shape[1] > INT32_MAX || array.shape[0] > array.data.size())
      throw compat::FormatError(
          {array.file->path(), {}, {}},
          compat::concat("has rows of ", array.shape[1], " ids, expected 1 to 2147483647"));
    return std::vector<std::int32_t>(array.shape[0], static_cast<std::int32_t>(array.shape[1]));
  }
  if (!fs::exists(sizes_path)) {
    if (array.shape[0] > INT32_MAX)
      throw compat::FormatError(
          {array.file->path(), {}, {}},
          "holds more than 2^31-1 ids, expected " + sizes_path.filename().string() + " beside it");
    return {static_cast<std::int32_t>(array.shape[0])};
  }
  const Array sizes = open_array(sizes_path);
  if (sizes.dtype != "int32" || sizes.shape.size() != 1)
    throw compat::FormatError(
        {sizes.file->path(), {}, {}},
        "holds " + std::string(sizes.dtype) + ", expected one dimension of int32");
  std::vector<std::int32_t> values(sizes.shape[0]);
  if (!values.empty()) std::memcpy(values.data(), sizes.data.data(), sizes.data.size());
  std::uint64_t total = 0;
  for (const std::int32_t value : values) {
    if (value < 0)
      throw compat::FormatError({sizes.file->path(), {}, {}},
                                compat::concat("holds the size ", value));
    total += static_cast<std::uint64_t>(value);
  }
  if (total != array.shape[0])
    throw compat::FormatError(
        {sizes.file->path(), {}, {}},
        compat::concat("sums up to ", total, " ids, ", compat::printable(array.file->path(), 4096),
                       " holds ", array.shape[0]));
  return values;
}

void write_header(compat::AtomicFile& file, std::string_view dtype, std::uint64_t count) {
  const auto type =
      std::ranges::find(kTypes, dtype, &std::pair<std::string_view, std::string_view>::second);
  std::string header = compat::concat("{'descr': '", type->first,
                                      "', 'fortran_order': False, 'shape': (", count, ",), }");
  // numpy aligns the data to 64 bytes; the header ends with a newline.
  header.append(63 - (kMagic.size() + 4 + header.size()) % 64, ' ');
  header += '\n';
  const auto length = static_cast<std::uint16_t>(header.size());
  file.write(kMagic);
  file.write(std::string_view("\1\0", 2));
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
}

}  // namespace

std::unique_ptr<compat::IndexedDataset> dataset_of_memory(const std::string& name,
                                                          std::span<const std::byte> ids,
                                                          std::string_view dtype,
                                                          std::span<const std::int32_t> sizes,
                                                          std::shared_ptr<const void> owner) {
  const compat::TokenType& type = type_named(dtype);
  auto index = std::make_shared<std::string>(compat::kMmapMagic);
  const auto append = [&](auto value) {
    index->append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  append(std::uint64_t{1});
  append(type.code);
  append(std::uint64_t{sizes.size()});
  index->append(reinterpret_cast<const char*>(sizes.data()), sizes.size_bytes());
  std::int64_t pointer = 0;
  for (const std::int32_t size : sizes) {
    append(pointer);
    pointer += std::int64_t{size} * type.size;
  }
  return compat::IndexedDataset::open(
      compat::MappedFile::of_memory(name, compat::as_byte_span(*index), index),
      compat::MappedFile::of_memory(name, ids, std::move(owner)));
}

std::unique_ptr<compat::IndexedDataset> open_npy_dataset(const fs::path& prefix) {
  const Array array = open_array(prefix.string() + ".npy");
  const auto sizes = sizes_for(array, prefix.string() + ".sizes.npy");
  return dataset_of_memory(array.file->path(), array.data, array.dtype, sizes, array.file);
}

void write_npy_dataset(const fs::path& prefix, const compat::IndexedDataset& dataset,
                       std::string_view dtype) {
  const compat::TokenType& type = compat::token_type_for(compat::DatasetImpl::kMmap, 0, dtype);
  compat::AtomicFile ids_file(prefix.string() + ".npy"), sizes_file(prefix.string() + ".sizes.npy");
  write_header(ids_file, type.name, static_cast<std::uint64_t>(dataset.total_tokens()));
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const auto ids = dataset.sequence(i);
    compat::check_ids_fit(type, 0, ids, static_cast<std::uint64_t>(i), prefix.string() + ".npy");
    std::string bytes;
    for (const std::int64_t& id : ids) bytes.append(reinterpret_cast<const char*>(&id), type.size);
    ids_file.write(bytes);
  }
  write_header(sizes_file, "int32", static_cast<std::uint64_t>(dataset.size()));
  sizes_file.write(std::as_bytes(dataset.sizes()));
  const compat::SignalsWait together;
  ids_file.commit();
  sizes_file.commit();
}

}  // namespace converters
