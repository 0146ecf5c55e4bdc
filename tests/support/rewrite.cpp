// Reads a file with compat and writes it again. scripts/check-against-fairseq passes the result to
// torch and fairseq.
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "compat/checkpoint/checkpoint.h"
#include "compat/fairseq/dictionary.h"
#include "compat/fairseq/indexed_dataset.h"
#include "compat/fairseq/indexed_dataset_builder.h"
#include "compat/torch/torch_file.h"

namespace {

void rewrite_data_bin(const std::string& in, const std::string& out,
                      const std::string& dictionary_path, compat::DatasetImpl impl) {
  const auto dictionary = compat::Dictionary::load(dictionary_path);
  const auto dataset = compat::IndexedDataset::open(in, &dictionary);
  const auto builder = compat::IndexedDatasetBuilder::create(out, impl, dictionary.size());
  for (std::int64_t i = 0; i < dataset->size(); ++i) builder->add(dataset->sequence(i));
  builder->finalize();
}

int run(const std::vector<std::string>& args) {
  if (args.size() == 3 && (args[0] == "zip" || args[0] == "legacy")) {
    const auto file = compat::load_torch_file(std::filesystem::path(args[1]));
    compat::save_torch_file(
        args[2], *file.tree.root,
        args[0] == "zip" ? compat::TorchLayout::kZip : compat::TorchLayout::kLegacy);
  } else if (args.size() == 4 && (args[0] == "mmap" || args[0] == "lazy")) {
    rewrite_data_bin(args[1], args[2], args[3],
                     args[0] == "mmap" ? compat::DatasetImpl::kMmap : compat::DatasetImpl::kLegacy);
  } else if (args.size() == 3 && args[0] == "dict") {
    compat::Dictionary::load(args[1]).save(args[2]);
  } else {
    std::cerr << "usage: rewrite zip|legacy IN OUT | rewrite mmap|lazy IN_PREFIX OUT_PREFIX DICT | "
                 "rewrite dict IN OUT\n";
    return 2;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "rewrite: error: " << error.what() << '\n';
    return 1;
  }
}
