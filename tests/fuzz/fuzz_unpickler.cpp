// Reads any bytes as a pickle. It is refused with a FormatError, or what is written from it reads
// back as the same.
#include "compat/torch/pickler.h"
#include "compat/torch/tensor.h"
#include "compat/torch/unpickler.h"
#include "tests/support/fuzz.h"

namespace {

/// Of ("storage", torch.FloatStorage, ..., N): N elements, 4 without a small number at the end, of
/// one byte each for a class that is none of torch's plain ones.
compat::PickleNode* zeros(compat::PickleArena& arena, const compat::PickleNode& id,
                          const compat::Location&) {
  const auto* tuple = id.get_if<compat::PickleTuple>();
  if (tuple == nullptr || tuple->items.size() < 2) return nullptr;
  const auto* type = tuple->items[1]->get_if<compat::PickleGlobal>();
  if (type == nullptr) return nullptr;
  auto dtype = compat::DType::kUInt8;
  const bool plain = compat::storage_dtype(type->name, dtype);
  constexpr std::size_t kMost = 16;
  const auto* last = tuple->items.back()->get_if<std::int64_t>();
  const std::size_t count =
      last != nullptr && *last >= 0 && *last <= static_cast<std::int64_t>(kMost)
          ? static_cast<std::size_t>(*last)
          : 4;
  const std::array<std::byte, kMost * sizeof(double) * 2> bytes{};
  return arena.make(compat::PickleStorage{
      compat::Storage::copy_of(dtype, std::span(bytes).first(count * compat::element_size(dtype))),
      plain ? std::string() : type->name});
}

compat::PickleTree load(std::string_view bytes) {
  compat::ByteReader in(compat::as_byte_span(bytes), {"input", {}, 0});
  return compat::unpickle(in, zeros);
}

std::string saved(const compat::PickleTree& tree) {
  return compat::pickled(*tree.root, {false, [](const auto&) { return std::string("0"); }});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string written;
  try {
    const auto tree = load(btm_test::as_text(data, size));
    tree.root->describe();
    written = saved(tree);
  } catch (const compat::FormatError&) {
    return 0;
  } catch (const compat::UnsupportedError&) {
    return 0;  // nests too deep for the writer
  }
  const auto again = load(written);
  btm_test::require(saved(again) == written, "a pickle is not a fixed point of load and save");
  return 0;
}
