#include "compat/torch/torch_file.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/io/atomic_file.h"
#include "compat/torch/pickler.h"
#include "compat/torch/unpickler.h"
#include "compat/torch/zip_archive.h"

namespace compat {
namespace {

// torch's magic number 0x1950a86a20f9469cfc6c as LONG1 holds it.
constexpr std::string_view kLegacyMagic{"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10};
constexpr std::int64_t kLegacyProtocol = 1001;

/// The checked persistent id of a storage: ("storage", class, key, location, numel[, view]).
struct StorageId {
  DType dtype = DType::kUInt8;
  std::string
      class_name;  ///< Only for quantized elements, which are kept as integers of their size.
  std::string key;
  std::uint64_t numel = 0;
  /// torch before 0.4: the storage is the `view_numel` elements from `view_offset` of storage
  /// `key`.
  std::string view_key;
  std::uint64_t view_offset = 0, view_numel = 0;
};

std::uint64_t count_of(const PickleNode& node, std::string_view what, const Location& where) {
  const auto* value = node.get_if<std::int64_t>();
  if (value == nullptr || *value < 0)
    throw FormatError(where, std::string(what) + " is " + node.describe() + ", expected a count");
  return static_cast<std::uint64_t>(*value);
}

// Quantized elements are kept as integers: without their scales they have no value.
constexpr std::array<std::pair<std::string_view, DType>, 5> kQuantized{
    {{"QInt8Storage", DType::kInt8},
     {"QUInt8Storage", DType::kUInt8},
     {"QInt32Storage", DType::kInt32},
     {"QUInt4x2Storage", DType::kUInt8},
     {"QUInt2x4Storage", DType::kUInt8}}};

void read_storage_class(const PickleNode& type, const Location& where, StorageId& storage) {
  const auto* global = type.get_if<PickleGlobal>();
  if (global != nullptr && global->module == "torch.storage" && global->name == "UntypedStorage")
    return;
  if (global != nullptr && (global->module == "torch" || global->module == "torch.cuda")) {
    if (storage_dtype(global->name, storage.dtype)) return;
    if (const auto found =
            std::ranges::find(kQuantized, global->name, &std::pair<std::string_view, DType>::first);
        found != kQuantized.end()) {
      storage.dtype = found->second;
      storage.class_name = global->name;
      return;
    }
  }
  throw FormatError(
      where, "storage class is " + type.describe() + ", expected one of torch's plain storages");
}

StorageId parse_storage_id(const PickleTuple& id, const Location& where) {
  if (id.items.size() != 5 && id.items.size() != 6)
    throw FormatError(
        where, concat("a storage's persistent id has ", id.items.size(), " parts, expected 5"));
  StorageId storage;
  read_storage_class(*id.items[1], where, storage);
  const auto* key = id.items[2]->get_if<std::string>();
  if (key == nullptr)
    throw FormatError(where,
                      "a storage's key is " + id.items[2]->describe() + ", expected a string");
  storage.key = *key;
  storage.numel = count_of(*id.items[4], "a storage's size", where);
  if (id.items.size() == 6 && !id.items[5]->is_none()) {
    const auto* view = id.items[5]->get_if<PickleTuple>();
    const auto* view_key = view == nullptr || view->items.size() != 3
                               ? nullptr
                               : view->items[0]->get_if<std::string>();
    if (view_key == nullptr)
      throw FormatError(where, "a storage's view is " + id.items[5]->describe() +
                                   ", expected (key, offset, size)");
    storage.view_key = *view_key;
    storage.view_offset = count_of(*view->items[1], "a view's offset", where);
    storage.view_numel = count_of(*view->items[2], "a view's size", where);
  }
  return storage;
}

/// The first item of a persistent id ("storage", "module"), or "".
std::string_view id_kind(const PickleNode& id) {
  const auto* tuple = id.get_if<PickleTuple>();
  const auto* kind =
      tuple == nullptr || tuple->items.empty() ? nullptr : tuple->items[0]->get_if<std::string>();
  return kind == nullptr ? std::string_view{} : std::string_view(*kind);
}

/// The storages by key. Tensors that share a storage in the file share it here too.
class StorageTable {
 public:
  using Open = std::function<std::shared_ptr<const Storage>(const StorageId&, const Location&)>;
  explicit StorageTable(Open open) : open_(std::move(open)) {}

  PickleNode* load(PickleArena& arena, const PickleNode& id, const Location& where) {
    const std::string_view kind = id_kind(id);
    // Legacy files of whole modules have the ids ("module", class, source file, source). The class
    // replaces the id.
    if (kind == "module" && id.get_if<PickleTuple>()->items.size() > 1)
      return id.get_if<PickleTuple>()->items[1];
    if (kind != "storage")
      throw FormatError(where, "a persistent id of " + id.describe() + ", expected a storage's");
    const StorageId storage_id = parse_storage_id(*id.get_if<PickleTuple>(), where);
    auto& storage = storages_[storage_id.key];
    if (storage == nullptr) storage = open_(storage_id, where);
    if (storage->dtype() != storage_id.dtype || storage->numel() != storage_id.numel)
      throw FormatError(where, concat("storage '", printable(storage_id.key), "' is named with ",
                                      storage_id.numel, " elements of ",
                                      dtype_name(storage_id.dtype), ", elsewhere with ",
                                      storage->numel(), " of ", dtype_name(storage->dtype())));
    if (storage_id.view_key.empty())
      return arena.make(PickleStorage{storage, storage_id.class_name});
    return arena.make(PickleStorage{view_of(*storage, storage_id, where), storage_id.class_name});
  }

 private:
  std::shared_ptr<const Storage> view_of(const Storage& root, const StorageId& id,
                                         const Location& where) {
    auto& view = storages_["view\n" + id.view_key];
    if (view != nullptr) return view;
    if (id.view_offset > root.numel() || id.view_numel > root.numel() - id.view_offset)
      throw FormatError(where,
                        concat("a storage's view (", id.view_numel, " elements at ", id.view_offset,
                               ") lies beyond its ", root.numel(), " elements"));
    const std::size_t element = element_size(root.dtype());
    view = std::make_shared<const Storage>(
        root.dtype(),
        root.unverified_bytes().subspan(id.view_offset * element, id.view_numel * element),
        root.owner());
    return view;
  }

  Open open_;
  std::unordered_map<std::string, std::shared_ptr<const Storage>> storages_;
};

// The zip layout.

/// The folder of the only data.pkl in the archive.
std::string find_folder(const ZipArchive& zip, const std::string& path) {
  const ZipEntry* found = nullptr;
  for (const ZipEntry& entry : zip.entries()) {
    const bool is_pickle = entry.name == "data.pkl" || entry.name.ends_with("/data.pkl");
    if (!is_pickle) continue;
    if (found != nullptr)
      throw FormatError({path, {}, {}}, "the zip archive holds two data.pkl, expected one");
    found = &entry;
  }
  if (found == nullptr)
    throw FormatError({path, {}, {}},
                      "a zip archive without data.pkl, expected a file of torch.save");
  return found->name.substr(0, found->name.size() - std::string_view("data.pkl").size());
}

TorchFile load_zip(const std::shared_ptr<const MappedFile>& file) {
  const ZipArchive zip(file);
  const std::string folder = find_folder(zip, file->path());
  if (zip.find(folder + "constants.pkl") != nullptr)
    throw UnsupportedError(printable(file->path(), 4096) +
                           ": is a TorchScript program, expected a file of torch.save");
  if (const ZipEntry* order = zip.find(folder + "byteorder"))
    if (as_chars(zip.bytes(*order)) != "little")
      throw UnsupportedError(printable(file->path(), 4096) + ": byte order '" +
                             printable(as_chars(zip.bytes(*order))) + "', expected 'little'");
  StorageTable table([&](const StorageId& id, const Location& where) {
    const ZipEntry* const entry = zip.find(folder + "data/" + id.key);
    if (entry == nullptr)
      throw FormatError(where, "storage '" + printable(id.key) + "' is not in the archive");
    const std::size_t element = element_size(id.dtype);
    if (entry->size % element != 0 || entry->size / element != id.numel)
      throw FormatError(
          where, concat("storage '", printable(id.key), "' should hold ", id.numel, " elements of ",
                        dtype_name(id.dtype), ", its entry has ", entry->size, " bytes"));
    return std::make_shared<const Storage>(id.dtype, zip.raw_bytes(*entry), file,
                                           zip.checksum(*entry));
  });
  const ZipEntry& pickle = *zip.find(folder + "data.pkl");
  ByteReader in(zip.bytes(pickle), {file->path(), "data.pkl", 0});
  TorchFile torch_file;
  torch_file.tree =
      unpickle(in, [&](PickleArena& arena, const PickleNode& id, const Location& where) {
        return table.load(arena, id, where);
      });
  if (!in.at_end()) in.fail(concat(in.remaining(), " bytes follow the pickle"));
  torch_file.path = file->path();
  torch_file.has_checksums = zip.has_checksums();
  return torch_file;
}

// The legacy layout.

/// Size of the pickle that holds the magic number at the front of the file, in any protocol. 0 when
/// there is none.
std::uint64_t magic_size(std::span<const std::byte> bytes) {
  constexpr std::string_view kDecimal = "L119547037146038801333356L\n.";  // protocols 0 and 1
  if (as_chars(bytes).starts_with(kDecimal)) return kDecimal.size();
  constexpr std::size_t kLongest = 32;  // more than PROTO, FRAME, LONG1 and STOP take
  if (bytes.empty() || bytes[0] != std::byte{0x80}) return 0;
  ByteReader in(bytes.first(std::min(bytes.size(), kLongest)), {});
  try {
    const auto magic = unpickle(in);
    const auto* number = magic.root->get_if<PickleBigInt>();
    return number != nullptr && number->bytes == kLegacyMagic ? in.position() : 0;
  } catch (const FormatError&) {
    return 0;
  }
}

void check_legacy_header(ByteReader& in) {
  const auto protocol = unpickle(in);
  const auto* version = protocol.root->get_if<std::int64_t>();
  if (version == nullptr || *version != kLegacyProtocol)
    in.fail("torch's protocol is " + protocol.root->describe() + ", expected 1001");
  const auto system = unpickle(in);
  const PickleNode* const little = system.root->find("little_endian");
  if (little == nullptr || little->get_if<bool>() == nullptr)
    in.fail("no byte order in torch's system information");
  if (!*little->get_if<bool>())
    throw UnsupportedError(to_string(in.where()) +
                           ": written on a big-endian machine, which is not supported");
}

/// Maps each key to the bytes of its storage. The storages follow the pickle, and all of them must
/// be there.
std::unordered_map<std::string, std::span<const std::byte>> read_storage_table(
    ByteReader& in, const std::unordered_map<std::string, StorageId>& wanted) {
  const auto keys = unpickle(in);
  const auto* list = keys.root->get_if<PickleList>();
  if (list == nullptr)
    in.fail("the storage keys are " + keys.root->describe() + ", expected a list");
  std::unordered_map<std::string, std::span<const std::byte>> table;
  for (const PickleNode* node : list->items) {
    const auto* key = node->get_if<std::string>();
    if (key == nullptr) in.fail("a storage's key is " + node->describe() + ", expected a string");
    const auto found = wanted.find(*key);
    if (found == wanted.end())
      in.fail("storage '" + printable(*key) + "' is used by nothing in the pickle");
    const StorageId& id = found->second;
    const auto numel = in.read<std::uint64_t>("the size of storage '" + printable(*key) + "'");
    if (numel != id.numel)
      in.fail(concat("storage '", printable(*key), "' has ", numel, " elements, the pickle says ",
                     id.numel));
    const std::size_t element = element_size(id.dtype);
    if (numel > in.remaining() / element)
      in.fail(concat("storage '", printable(*key), "' of ", numel,
                     " elements needs more bytes than the ", in.remaining(), " left"));
    if (!table.emplace(*key, in.take(numel * element, "a storage")).second)
      in.fail("storage '" + printable(*key) + "' comes twice");
  }
  return table;  // torch ignores further bytes too
}

TorchFile load_legacy(const std::shared_ptr<const MappedFile>& file) {
  ByteReader in(file->bytes(), {file->path(), {}, 0});
  in.seek(magic_size(file->bytes()), "the magic number");
  check_legacy_header(in);
  const std::uint64_t pickle_at = in.position();
  // The storages follow the pickle that names them. The first pass finds their ids, the second
  // builds the tensors.
  std::unordered_map<std::string, StorageId> wanted;
  unpickle(in, [&](PickleArena&, const PickleNode& id, const Location& where) -> PickleNode* {
    if (id_kind(id) == "storage") {
      StorageId storage = parse_storage_id(*id.get_if<PickleTuple>(), where);
      std::string key = storage.key;
      wanted.emplace(std::move(key), std::move(storage));
    }
    return nullptr;
  });
  const auto bytes = read_storage_table(in, wanted);
  StorageTable table([&](const StorageId& id, const Location& where) {
    const auto found = bytes.find(id.key);
    if (found == bytes.end())
      throw FormatError(where, "storage '" + printable(id.key) + "' is not in the file");
    return std::make_shared<const Storage>(id.dtype, found->second, file);
  });
  in.seek(pickle_at, "the pickle");
  TorchFile torch_file;
  torch_file.tree =
      unpickle(in, [&](PickleArena& arena, const PickleNode& id, const Location& where) {
        return table.load(arena, id, where);
      });
  torch_file.layout = TorchLayout::kLegacy;
  torch_file.path = file->path();
  return torch_file;
}

// Other kinds of file, named in error messages.

struct Signature {
  std::size_t offset;
  std::string_view bytes, meaning;
};
constexpr std::array<Signature, 8> kOthers{
    {{0, "MMIDIDX", "the index of a data-bin"},
     {0, "TNTIDX", "the index of a data-bin"},
     {0, "\x1f\x8b", "a gzip file"},
     {0, "\x89HDF", "an HDF5 file"},
     {0, "GGUF", "a GGUF file"},
     {8, "{\"", "a safetensors file"},
     {257, "ustar", "a tar file (torch before 0.1.10 wrote those)"},
     {0,
      "\x7f"
      "ELF",
      "a program"}}};

[[noreturn]] void refuse(const MappedFile& file) {
  const std::string_view text = as_chars(file.bytes());
  const std::string expected = ", expected a file of torch.save";
  if (text.empty()) throw FormatError({file.path(), {}, {}}, "is empty" + expected);
  for (const Signature& other : kOthers)
    if (text.size() >= other.offset && text.substr(other.offset).starts_with(other.bytes))
      throw FormatError({file.path(), {}, {}}, "is " + std::string(other.meaning) + expected);
  throw FormatError({file.path(), {}, {}},
                    "starts with '" + printable(text.substr(0, 8)) + "'" + expected);
}

}  // namespace

PickleNode* storage_of_bytes(PickleArena& arena, std::string_view bytes, const Location& where) {
  const TorchFile inner =
      load_torch_file(MappedFile::of_memory(to_string(where), as_byte_span(bytes)));
  const auto* found = inner.tree.root->get_if<PickleStorage>();
  if (found == nullptr)
    throw FormatError(where, "a torch file with " + inner.tree.root->describe() +
                                 " in a pickle, expected a storage");
  const Storage& storage = *found->storage;
  return arena.make(
      PickleStorage{Storage::copy_of(storage.dtype(), storage.bytes()), found->class_name});
}

TorchFile load_torch_file(const std::filesystem::path& path) {
  return load_torch_file(MappedFile::open(path));
}

TorchFile load_torch_file(std::shared_ptr<const MappedFile> file) {
  if (ZipArchive::has_magic(file->bytes())) return load_zip(file);
  if (magic_size(file->bytes()) > 0) return load_legacy(file);
  refuse(*file);
}

namespace {

/// Numbers the storages of a pickle in the order in which they occur.
class StorageNumbers {
 public:
  std::string key_of(const std::shared_ptr<const Storage>& storage) {
    const auto [found, is_new] = numbers_.emplace(storage.get(), storages_.size());
    if (is_new) storages_.push_back(storage);
    return std::to_string(found->second);
  }
  const std::vector<std::shared_ptr<const Storage>>& storages() const noexcept { return storages_; }

 private:
  std::unordered_map<const Storage*, std::size_t> numbers_;
  std::vector<std::shared_ptr<const Storage>> storages_;
};

void save_zip(AtomicFile& file, const std::string& pickle,
              const std::vector<std::shared_ptr<const Storage>>& storages,
              const std::string& folder) {
  ZipWriter zip(file, folder);
  zip.add("data.pkl", as_byte_span(pickle));
  zip.add("byteorder", as_byte_span("little"));
  for (std::size_t i = 0; i < storages.size(); ++i) zip.add(concat("data/", i), *storages[i]);
  zip.add("version", as_byte_span("3\n"));
  zip.finish();
}

void save_legacy(AtomicFile& file, const std::string& pickle,
                 const std::vector<std::shared_ptr<const Storage>>& storages) {
  PickleArena arena;
  PickleDict sizes, system;
  const auto add = [&](PickleDict& dict, std::string key, PickleNode* value) {
    dict.items.emplace_back(arena.string(std::move(key)), value);
  };
  add(sizes, "short", arena.integer(2));
  add(sizes, "int", arena.integer(4));
  add(sizes, "long", arena.integer(4));  // torch writes 4 on every machine
  add(system, "protocol_version", arena.integer(kLegacyProtocol));
  add(system, "little_endian", arena.boolean(true));
  add(system, "type_sizes", arena.make(std::move(sizes)));
  PickleList keys;
  for (std::size_t i = 0; i < storages.size(); ++i)
    keys.items.push_back(arena.string(std::to_string(i)));

  file.write(pickled(*arena.make(PickleBigInt{std::string(kLegacyMagic)})));
  file.write(pickled(*arena.integer(kLegacyProtocol)));
  file.write(pickled(*arena.make(std::move(system))));
  file.write(pickle);
  file.write(pickled(*arena.make(std::move(keys))));
  for (const auto& storage : storages) {
    const std::uint64_t numel = storage->numel();
    file.write(std::as_bytes(std::span(&numel, 1)));
    storage->stream([&](std::span<const std::byte> piece) { file.write(piece); });
  }
}

}  // namespace

void save_torch_file(const std::filesystem::path& path, const PickleNode& root,
                     TorchLayout layout) {
  StorageNumbers numbers;
  const std::string pickle =
      pickled(root, {layout == TorchLayout::kLegacy,
                     [&](const auto& storage) { return numbers.key_of(storage); }});
  AtomicFile file(path);
  if (layout == TorchLayout::kZip)
    save_zip(file, pickle, numbers.storages(), path.stem().string());
  else
    save_legacy(file, pickle, numbers.storages());
  file.commit();
}

}  // namespace compat
