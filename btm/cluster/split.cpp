#include "btm/cluster/split.h"

#include <memory>

#include "compat/atomic_file.h"
#include "compat/error.h"
#include "compat/indexed_dataset_builder.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

std::string split_name(const std::string& name, const std::string& cluster) {
  for (const std::string prefix : {"valid", "test"})
    if (name.starts_with(prefix)) return prefix + "_" + cluster;
  return name;
}

void split_data_bin(const Documents& documents, const std::string& name, std::span<const std::uint32_t> clusters, std::size_t count,
                    const fs::path& output) {
  const compat::IndexedDataset& source = *documents.dataset();
  const bool mapped = source.impl() == compat::DatasetImpl::kMmap;
  std::vector<std::unique_ptr<compat::IndexedDatasetBuilder>> builders;
  for (std::size_t j = 0; j < count; ++j) {
    const std::string cluster = "c" + std::to_string(j);
    documents.dictionary().save(output / cluster / "dict.txt");
    builders.push_back(compat::IndexedDatasetBuilder::create(output / cluster / split_name(name, cluster), compat::DatasetImpl::kMmap,
                                                             documents.dictionary().size(), mapped ? source.dtype() : ""));
  }
  documents.dictionary().save(output / "dict.txt");
  for (std::size_t i = 0; i < clusters.size(); ++i) builders[clusters[i]]->add(source.sequence(static_cast<std::int64_t>(i)));
  const compat::SignalsWait together;
  for (const auto& builder : builders) builder->finalize();
}

void split_text(const Documents& documents, const std::string& name, std::span<const std::uint32_t> clusters, std::size_t count,
                const fs::path& output) {
  std::vector<std::unique_ptr<compat::AtomicFile>> files;
  for (std::size_t j = 0; j < count; ++j) files.push_back(std::make_unique<compat::AtomicFile>(output / ("c" + std::to_string(j)) / name));
  for (std::size_t i = 0; i < clusters.size(); ++i) {
    files[clusters[i]]->write(documents.line(static_cast<std::int64_t>(i)));
    files[clusters[i]]->write("\n");
  }
  const compat::SignalsWait together;
  for (const auto& file : files) file->commit();
}

}  // namespace

std::vector<std::uint64_t> split_corpus(const Documents& documents, const fs::path& input, std::span<const std::uint32_t> clusters,
                                        std::size_t count, const fs::path& output) {
  const std::string name = input.filename().string();
  std::vector<std::uint64_t> sizes(count, 0);
  for (const std::uint32_t cluster : clusters) ++sizes[cluster];
  for (std::size_t j = 0; j < count; ++j) {
    std::error_code error;
    const fs::path folder = output / ("c" + std::to_string(j));
    fs::create_directories(folder, error);
    if (error) throw compat::IoError(folder.string(), "cannot be made", error.value());
  }
  if (documents.dataset() != nullptr)
    split_data_bin(documents, name, clusters, count, output);
  else
    split_text(documents, name, clusters, count, output);
  return sizes;
}

}  // namespace btm
