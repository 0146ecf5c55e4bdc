// Reads any bytes as a file of torch.save. After a first byte 'F' the rest is the file. Otherwise
// the bytes are the data.pkl of a zip archive with correct CRCs and two storages, which mutation
// alone would hardly find.
#include <vector>

#include "compat/torch/pickler.h"
#include "compat/torch/torch_file.h"
#include "tests/support/fuzz.h"
#include "tests/support/zip_bytes.h"

namespace {

using btm_test::require;
using compat::PickleNode;

/// Reads the tensors in the dicts and lists near the root, as a program would.
void read_tensors(const PickleNode& node, int depth) {
  if (const auto* tensor = node.get_if<compat::PickleTensor>()) {
    std::vector<std::byte> scratch;
    require(tensor->view.contiguous_bytes(scratch).size() == tensor->view.size_bytes(),
            "a tensor has another size than its shape says");
  }
  if (depth == 4) return;
  if (const auto* dict = node.get_if<compat::PickleDict>())
    for (const auto& [key, value] : dict->items) read_tensors(*value, depth + 1);
  if (const auto* list = node.get_if<compat::PickleList>())
    for (const PickleNode* item : list->items) read_tensors(*item, depth + 1);
}

/// The pickle with storages named by number, and the bytes of the storages. Equal for equal files.
std::string content_of(const compat::TorchFile& file) {
  std::vector<std::shared_ptr<const compat::Storage>> storages;
  std::string text = compat::pickled(
      *file.tree.root, {false, [&](const std::shared_ptr<const compat::Storage>& storage) {
                          const auto found = std::find(storages.begin(), storages.end(), storage);
                          const auto number = found - storages.begin();
                          if (found == storages.end()) storages.push_back(storage);
                          return std::to_string(number);
                        }});
  for (const auto& storage : storages) text += compat::as_chars(storage->bytes());
  return text;
}

std::string zip_around(std::string_view pickle) {
  std::string floats(64, '\0');
  for (std::size_t i = 0; i < floats.size(); ++i) floats[i] = static_cast<char>(i);
  return btm_test::make_zip({btm_test::ZipMember("a/data.pkl", std::string(pickle)),
                             btm_test::ZipMember("a/data/0", floats),
                             btm_test::ZipMember("a/data/1", floats.substr(0, 16))});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest = btm_test::as_text(data + 1, size - 1);
  const auto path = btm_test::scratch_path("saved.pt");
  try {
    const auto file = compat::load_torch_file(
        btm_test::in_memory("input", data[0] == 'F' ? std::string(rest) : zip_around(rest)));
    read_tensors(*file.tree.root, 0);
    const std::string content = content_of(file);
    for (const auto layout : {compat::TorchLayout::kZip, compat::TorchLayout::kLegacy}) {
      compat::save_torch_file(path, *file.tree.root, layout);
      std::string again;
      try {
        again = content_of(compat::load_torch_file(path));
      } catch (const std::exception& error) {
        require(false, error.what());
      }
      require(again == content, "a torch file is not a fixed point of load and save");
    }
  } catch (const compat::FormatError&) {
  } catch (const compat::UnsupportedError&) {
  }
  return 0;
}
