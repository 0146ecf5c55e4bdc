#include "compat/torch/torch_file.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/io/sha256.h"
#include "compat/torch/zip_archive.h"
#include "tests/support/bytes.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"
#include "tests/support/zip_bytes.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::golden;
using btm_test::le;
using btm_test::make_zip;
using btm_test::ZipMember;
using btm_test::operator""_bytes;

TorchFile loaded(const std::string& bytes) {
  auto owner = std::make_shared<const std::string>(bytes);
  const auto span = as_byte_span(*owner);
  return load_torch_file(MappedFile::of_memory("f.pt", span, std::move(owner)));
}

/// Compares dtype, shape, stride and SHA-256 of every tensor with NAME.json beside NAME.pt, which
/// torch wrote.
void expect_golden_tensors(const TorchFile& file, const std::filesystem::path& json_path) {
  const auto expected = nlohmann::ordered_json::parse(btm_test::read_file(json_path));
  const NamedTensors tensors = model_tensors(*file.tree.root, file.path);
  ASSERT_EQ(tensors.size(), expected.size()) << json_path;
  std::vector<std::byte> scratch;
  for (const auto& [name, view] : tensors) {
    ASSERT_TRUE(expected.contains(name)) << name;
    const auto& row = expected[name];
    EXPECT_EQ("torch." + std::string(dtype_name(view.dtype())), row[0].get<std::string>()) << name;
    EXPECT_EQ(view.shape, row[1].get<std::vector<std::int64_t>>()) << name;
    EXPECT_EQ(view.stride, row[2].get<std::vector<std::int64_t>>()) << name;
    EXPECT_EQ(sha256_hex(view.contiguous_bytes(scratch)), row[3].get<std::string>()) << name;
  }
}

class GoldenTorchFile : public testing::TestWithParam<const char*> {};

TEST_P(GoldenTorchFile, HoldsTheReferencesTensors) {
  const auto path = golden(GetParam());
  expect_golden_tensors(load_torch_file(path),
                        std::filesystem::path(path).replace_extension(".json"));
}

TEST_P(GoldenTorchFile, KeepsThemThroughEitherLayout) {
  const btm_test::TempDir dir;
  const auto path = golden(GetParam());
  const TorchFile file = load_torch_file(path);
  for (const auto layout : {TorchLayout::kZip, TorchLayout::kLegacy}) {
    save_torch_file(dir / "copy.pt", *file.tree.root, layout);
    const TorchFile copy = load_torch_file(dir / "copy.pt");
    EXPECT_EQ(copy.layout, layout);
    expect_golden_tensors(copy, std::filesystem::path(path).replace_extension(".json"));
    // The name of the file is that of the folder inside, so a copy of the copy must have the same
    // name.
    std::filesystem::create_directory(dir / "second");
    save_torch_file(dir / "second/copy.pt", *copy.tree.root, layout);
    EXPECT_TRUE(btm_test::read_file(dir / "copy.pt") == btm_test::read_file(dir / "second/copy.pt"))
        << "not a fixed point";
    std::filesystem::remove_all(dir / "second");
  }
}

INSTANTIATE_TEST_SUITE_P(
    Golden, GoldenTorchFile,
    testing::Values("variants/legacy_dict.pt", "variants/legacy_strided_shared.pt",
                    "variants/zip_args_namespace.pt", "variants/zip_bfloat16.pt",
                    "variants/zip_cfg_dictconfig.pt", "variants/zip_dict.pt",
                    "variants/zip_float16.pt", "variants/zip_strided_shared.pt",
                    "checkpoints/demix_fork/dense/checkpoint_last.pt",
                    "checkpoints/demix_fork/sharded/checkpoint_last-rank-0.pt",
                    "checkpoints/demix_fork/sharded/checkpoint_last-shared.pt"),
    [](const auto& test) {
      std::string name = test.param;
      for (char& c : name)
        if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
      return name;
    });

/// The bytes of data.pkl inside a zip.
std::string pickle_in(const std::filesystem::path& path) {
  const ZipArchive zip(MappedFile::open(path));
  for (const ZipEntry& entry : zip.entries())
    if (entry.name.ends_with("/data.pkl")) return std::string(as_chars(zip.bytes(entry)));
  return {};
}

TEST(TorchFile, WritesTorchsPickleByteForByte) {
  const btm_test::TempDir dir;
  for (const char* name :
       {"variants/zip_dict.pt", "variants/zip_strided_shared.pt", "variants/zip_bfloat16.pt"}) {
    save_torch_file(dir / "copy.pt", *load_torch_file(golden(name)).tree.root);
    EXPECT_TRUE(pickle_in(dir / "copy.pt") == pickle_in(golden(name))) << name;
  }
}

TEST(TorchFile, SharesStoragesAsTheFileDoes) {
  for (const char* name : {"variants/zip_strided_shared.pt", "variants/legacy_strided_shared.pt"}) {
    const TorchFile file = load_torch_file(golden(name));
    const NamedTensors tensors = model_tensors(*file.tree.root, file.path);
    std::vector<const Storage*> storages;
    for (const auto& [tensor, view] : tensors) storages.push_back(view.storage.get());
    std::ranges::sort(storages);
    EXPECT_LT(static_cast<std::size_t>(std::ranges::unique(storages).begin() - storages.begin()),
              tensors.size())
        << name;
  }
}

/// The elements of a tensor of the file as doubles. A complex element gives both parts.
std::vector<double> values_of(const PickleNode& node) {
  const auto* tensor = node.get_if<PickleTensor>();
  if (tensor == nullptr) return {};
  std::vector<std::byte> scratch;
  const auto bytes = tensor->view.contiguous_bytes(scratch);
  std::vector<double> values;
  const auto append = [&]<class T>(T) {
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(T)) {
      T value;
      std::memcpy(&value, bytes.data() + at, sizeof value);
      values.push_back(static_cast<double>(value));
    }
  };
  tensor->view.dtype() == DType::kInt16 ? append(std::int16_t{}) : append(float{});
  return values;
}

/// Written by scripts/make_torch_variants.py with torch 2.8.
std::filesystem::path variant(const std::string& name) { return golden("torch_variants/" + name); }

TEST(TorchVariants, NegativeAndConjugateBitsChangeTheElements) {
  const btm_test::TempDir dir;
  for (const char* name : {"zip_signs_and_attributes.pt", "legacy_signs_and_attributes.pt"}) {
    SCOPED_TRACE(name);
    const TorchFile first = load_torch_file(variant(name));
    save_torch_file(dir / "copy.pt", *first.tree.root);
    for (const TorchFile& file : {first, load_torch_file(dir / "copy.pt")}) {
      const PickleNode& root = *file.tree.root;
      EXPECT_EQ(values_of(*root.find("neg")), (std::vector<double>{-1, -2, -3, -4, -5, -6}));
      EXPECT_EQ(values_of(*root.find("neg_t")), (std::vector<double>{-1, -4, -2, -5, -3, -6}));
      EXPECT_EQ(values_of(*root.find("conj")), (std::vector<double>{1, -4, 2, 5, 3, -6}));
      EXPECT_EQ(values_of(*root.find("imag")), (std::vector<double>{-4, 5, -6}));
      EXPECT_EQ(values_of(*root.find("neg_int")), (std::vector<double>{-1, 2, -3}));
    }
  }
}

TEST(TorchVariants, TensorsKeepTheirAttributes) {
  const btm_test::TempDir dir;
  const TorchFile first = load_torch_file(variant("zip_signs_and_attributes.pt"));
  for (const auto layout : {TorchLayout::kZip, TorchLayout::kLegacy}) {
    save_torch_file(dir / "copy.pt", *first.tree.root, layout);
    for (const TorchFile& file : {first, load_torch_file(dir / "copy.pt")}) {
      const auto* parameter = file.tree.root->find("parameter")->get_if<PickleTensor>();
      const auto* buffer = file.tree.root->find("buffer")->get_if<PickleTensor>();
      ASSERT_TRUE(parameter != nullptr && parameter->attributes != nullptr && buffer != nullptr &&
                  buffer->attributes != nullptr);
      EXPECT_TRUE(parameter->is_parameter && !buffer->is_parameter);
      EXPECT_EQ(*parameter->attributes->find("note")->get_if<std::string>(), "kept");
      EXPECT_TRUE(*buffer->attributes->find("_is_buffer")->get_if<bool>());
      EXPECT_EQ(values_of(*file.tree.root->find("buffer")), (std::vector<double>{3, 4}));
    }
  }
}

TEST(TorchVariants, QuantizedTensorsAreKeptAndNamed) {
  const btm_test::TempDir dir;
  for (const char* name : {"zip_quantized_beside.pt", "legacy_quantized_beside.pt"}) {
    const TorchFile first = load_torch_file(variant(name));
    save_torch_file(dir / "copy.pt", *first.tree.root);
    for (const TorchFile& file : {first, load_torch_file(dir / "copy.pt")}) {
      EXPECT_EQ(values_of(*file.tree.root->find("model")->find("w")), (std::vector<double>{1, 2}))
          << name;
      EXPECT_EQ(file.tree.root->find("note")->describe(), "a quantized tensor");
    }
    EXPECT_NE(pickle_in(dir / "copy.pt").find("QInt8Storage"), std::string::npos);
  }
  for (const auto& [name, phrase] : std::vector<std::pair<std::string, std::string>>{
           {"zip_quantized.pt", "[model]: 'w' is a quantized tensor"},
           {"zip_sparse.pt", "[model]: 'w' is a sparse tensor"},
           {"zip_float8.pt", "[model]: 'w' is a tensor of torch.float8_e4m3fn"}})
    expect_error<FormatError>(
        [&] { model_tensors(*load_torch_file(variant(name)).tree.root, name); }, phrase);
}

TEST(TorchVariants, EveryPickleProtocolAndFilesWithoutChecksums) {
  for (const char* name :
       {"legacy_protocol1.pt", "legacy_protocol4.pt", "legacy_protocol5.pt", "zip_without_crc.pt"})
    EXPECT_EQ(values_of(*load_torch_file(variant(name)).tree.root->find("w")),
              (std::vector<double>{1, 2}))
        << name;
}

TEST(TorchVariants, BytesBehindTheFileAreNotRead) {
  for (const char* name :
       {"legacy_protocol4.pt", "zip_signs_and_attributes.pt", "zip_without_crc.pt"}) {
    const std::string bytes = btm_test::read_file(variant(name));
    for (const std::string& behind :
         {std::string("\n"), std::string(4096, '\0'), std::string("PK\x05\x06 is no record")})
      EXPECT_EQ(loaded(bytes + behind).tree.root->describe(), "a dict") << name;
  }
}

// Bad inputs.

/// {'t': tensor over storage KEY of CLASS with NUMEL elements, of shape (2,)}, pickled as by torch,
/// in text opcodes.
std::string pickle_of(const std::string& id) {
  return "\x80\x02}S't'\nctorch._utils\n_rebuild_tensor_v2\n((" + id +
         "tQI0\n(I2\nt(I1\nt\x89}tRs.";
}
const std::string kGoodId = "S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI2\n";

TEST(TorchFile, ReadsAHandMadeZip) {
  const auto file = loaded(make_zip(
      {ZipMember("a/data.pkl", pickle_of(kGoodId)), ZipMember("a/data/0", std::string(8, '\0'))}));
  EXPECT_EQ(file.tree.root->find("t")->describe(), "a tensor");
}

TEST(TorchFile, RefusesADamagedZip) {
  const std::string eight(8, '\0');
  const auto with_id = [&](const std::string& id) {
    return make_zip({ZipMember("a/data.pkl", pickle_of(id)), ZipMember("a/data/0", eight)});
  };
  ZipMember bad_crc("a/data.pkl", pickle_of(kGoodId));
  bad_crc.crc ^= 1;
  const std::vector<std::pair<std::string, std::string>> rows{
      {make_zip({ZipMember("a/data/0", eight)}),
       "f.pt: a zip archive without data.pkl, expected a file of torch.save"},
      {make_zip({ZipMember("a/data.pkl", "N."), ZipMember("b/data.pkl", "N.")}),
       "f.pt: the zip archive holds two data.pkl"},
      {make_zip({bad_crc}), "f.pt[a/data.pkl]: damaged: CRC-32"},
      {make_zip({ZipMember("a/data.pkl", "N.more")}),
       "f.pt[data.pkl]+0x2: 4 bytes follow the pickle"},
      {make_zip({ZipMember("a/data.pkl", pickle_of(kGoodId))}),
       "storage '0' is not in the archive"},
      {make_zip({ZipMember("a/data.pkl", pickle_of(kGoodId)), ZipMember("a/data/0", "1234567")}),
       "storage '0' should hold 2 elements of float32, its entry has 7 bytes"},
      {make_zip({ZipMember("a/data.pkl", pickle_of(kGoodId)),
                 ZipMember("a/data/0", std::string(12, '\0'))}),
       "its entry has 12 bytes"},
      {with_id("S'storage'\nctorch\nFloatStorage\nS'../0'\nS'cpu'\nI2\n"),
       "storage '../0' is not in the archive"},
      {with_id("S'storage'\nctorch\nFloatStorage\nI0\nS'cpu'\nI2\n"),
       "a storage's key is the int 0, expected a string"},
      {with_id("S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI-2\n"),
       "a storage's size is the int -2, expected a count"},
      {with_id("S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI4611686018427387906\n"),
       "should hold 4611686018427387906 elements"},
      {with_id("S'storage'\nctorch\nQInt7Storage\nS'0'\nS'cpu'\nI2\n"),
       "storage class is the class or function torch.QInt7Storage"},
      {with_id("S'storage'\nNS'0'\nS'cpu'\nI2\n"),
       "storage class is None, expected one of torch's plain storages"},
      {with_id("S'storage'\n"), "a storage's persistent id has 1 parts, expected 5"},
      {with_id("S'other'\n"), "a persistent id of a tuple of 1, expected a storage's"},
      {with_id(kGoodId + "(S'v'\nI1\nI2\nt"),
       "a storage's view (2 elements at 1) lies beyond its 2 elements"},
      {with_id(kGoodId + "I3\n"), "a storage's view is the int 3, expected (key, offset, size)"},
  };
  for (const auto& [bytes, phrase] : rows) {
    SCOPED_TRACE(phrase);
    expect_error<FormatError>([&bytes = bytes] { loaded(bytes); }, phrase);
  }
}

TEST(TorchFile, RefusesAStorageNamedTwoWays) {
  const std::string second = "S'storage'\nctorch\nHalfStorage\nS'0'\nS'cpu'\nI4\n";
  const std::string pickle = "\x80\x02((" + kGoodId + "tQ(" + second + "tQt.";
  expect_error<FormatError>(
      [&] {
        loaded(make_zip(
            {ZipMember("a/data.pkl", pickle), ZipMember("a/data/0", std::string(8, '\0'))}));
      },
      "storage '0' is named with 4 elements of float16, elsewhere with 2 of float32");
}

TEST(TorchFile, FindsDamagedStoragesWhenTheyAreRead) {
  ZipMember storage("a/data/0", std::string(8, '\0'));
  storage.crc ^= 1;
  const auto file = loaded(make_zip({ZipMember("a/data.pkl", pickle_of(kGoodId)), storage}));
  const auto& view = file.tree.root->find("t")->get_if<PickleTensor>()->view;
  std::vector<std::byte> scratch;
  expect_error<FormatError>([&] { view.contiguous_bytes(scratch); },
                            "f.pt[a/data/0]: damaged: CRC-32");
}

TEST(TorchFile, DoesNotDoWhatItDoesNotDo) {
  expect_error<UnsupportedError>(
      [] {
        loaded(make_zip({ZipMember("a/data.pkl", "N."), ZipMember("a/constants.pkl", "N.")}));
      },
      "f.pt: is a TorchScript program, expected a file of torch.save");
  expect_error<UnsupportedError>(
      [] {
        loaded(make_zip({ZipMember("a/data.pkl", "N."), ZipMember("a/byteorder", "big")}));
      },
      "f.pt: byte order 'big', expected 'little'");
}

/// A legacy file from its parts.
struct Legacy {
  std::string magic = "80 02 8a 0a 6c fc 9c 46 f9 20 6a a8 50 19 2e"_bytes;
  std::string protocol = "M\xe9\x03.", system = "}S'little_endian'\n\x88s.",
              pickle = pickle_of(kGoodId), keys = "(lS'0'\na.";
  std::string storages = le<std::uint64_t>(2) + std::string(8, '\0');
  std::string bytes() const { return magic + protocol + system + pickle + keys + storages; }
};

TEST(TorchFile, ReadsAHandMadeLegacyFile) {
  const auto file = loaded(Legacy{}.bytes());
  EXPECT_EQ(file.layout, TorchLayout::kLegacy);
  EXPECT_EQ(file.tree.root->find("t")->describe(), "a tensor");
}

TEST(TorchFile, RefusesADamagedLegacyFile) {
  struct Row {
    std::function<void(Legacy&)> damage;
    const char* phrase;
  };
  const std::vector<Row> rows{
      {[](auto& f) { f.protocol = "M\xe8\x03."; },
       "torch's protocol is the int 1000, expected 1001"},
      {[](auto& f) { f.system = "}."; }, "no byte order in torch's system information"},
      {[](auto& f) { f.keys = "N."; }, "the storage keys are None, expected a list"},
      {[](auto& f) { f.keys = "(lI0\na."; }, "a storage's key is the int 0, expected a string"},
      {[](auto& f) { f.keys = "(lS'1'\na."; }, "storage '1' is used by nothing in the pickle"},
      {[](auto& f) { f.keys = "(l.", f.storages = ""; }, "storage '0' is not in the file"},
      {[](auto& f) { f.storages = le<std::uint64_t>(3) + std::string(12, '\0'); },
       "storage '0' has 3 elements, the pickle says 2"},
      {[](auto& f) { f.storages.pop_back(); },
       "storage '0' of 2 elements needs more bytes than the 7 left"},
      {[](auto& f) { f.storages.resize(3); }, "needs 8 bytes for the size of storage '0', 3 left"},
      {[](auto& f) { f.keys = "(lS'0'\naS'0'\na.", f.storages += f.storages; },
       "storage '0' comes twice"},
      {[](auto& f) {
         f.pickle =
             pickle_of("S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI4611686018427387904\n");
         f.storages = le<std::uint64_t>(1ULL << 62);
       },
       "storage '0' of 4611686018427387904 elements needs more bytes than the 0 left"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.phrase);
    Legacy file;
    row.damage(file);
    expect_error<FormatError>([&] { loaded(file.bytes()); }, row.phrase);
  }
  Legacy big;
  big.system = "}S'little_endian'\n\x89s.";
  expect_error<UnsupportedError>([&] { loaded(big.bytes()); }, "written on a big-endian machine");
}

TEST(TorchFile, RefusesTruncationAtEveryByte) {
  const std::string legacy = Legacy{}.bytes();
  for (std::size_t size = 0; size < legacy.size(); ++size)
    expect_error<FormatError>([&] { loaded(legacy.substr(0, size)); }, "f.pt");
}

TEST(TorchFile, NamesWhatTheFileIsInstead) {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"", "f.pt: is empty, expected a file of torch.save"},
      {"MMIDIDX", "f.pt: is the index of a data-bin, expected a file of torch.save"},
      {"TNTIDX", "is the index of a data-bin"},
      {"\x1f\x8b\x08", "is a gzip file"},
      {"\x89HDF", "is an HDF5 file"},
      {"GGUF", "is a GGUF file"},
      {std::string(8, '\0') + "{\"__metadata__\"", "is a safetensors file"},
      {std::string(257, 'x') + "ustar", "is a tar file"},
      {"\x7f"
       "ELF",
       "is a program"},
      {", 14192\n", "f.pt: starts with ', 14192\\x0a', expected a file of torch.save"},
  };
  for (const auto& [bytes, phrase] : rows) {
    SCOPED_TRACE(phrase);
    expect_error<FormatError>([&bytes = bytes] { loaded(bytes); }, phrase);
  }
}

}  // namespace
}  // namespace compat
