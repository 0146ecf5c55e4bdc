#include "btm/cluster/split.h"

#include <map>
#include <memory>
#include <set>

#include "btm/cluster/cluster_record.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/fairseq/indexed_dataset_builder.h"
#include "compat/io/atomic_file.h"
#include "compat/io/text_file.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDictionary = "dict.txt";

/// valid_c7 of valid and of valid_law, valid1_c7 of valid1: fairseq numbers further sets.
std::string split_name(const std::string& name, const std::string& cluster) {
  for (const std::string_view prefix : {"valid", "test"})
    if (name.starts_with(prefix)) {
      const std::size_t end = name.find_first_not_of("0123456789", prefix.size());
      return name.substr(0, end) + "_" + cluster;
    }
  return name;
}

/// The name of the input in the clusters' folders, where text is not compressed.
std::string file_name(const Corpus& documents, const fs::path& input) {
  const fs::path name = input.filename();
  return (documents.dataset() != nullptr ? name : compat::uncompressed_name(name)).string();
}

std::string folder_name(std::size_t cluster) { return compat::concat('c', cluster); }

/// Outputs that become visible together when they are committed.
struct SplitFiles {
  std::vector<std::unique_ptr<compat::IndexedDatasetBuilder>> data_bins;
  std::vector<std::unique_ptr<compat::AtomicFile>> texts;

  void commit() const {
    for (const auto& builder : data_bins) builder->finalize();
    for (const auto& file : texts) file->commit();
  }
};

SplitFiles split_data_bin(const Corpus& documents, const std::string& name,
                          std::span<const std::uint32_t> clusters, std::size_t count,
                          const fs::path& output) {
  const compat::IndexedDataset& source = *documents.dataset();
  const bool mapped = source.impl() == compat::DatasetImpl::kMmap;
  SplitFiles files;
  for (std::size_t j = 0; j < count; ++j)
    files.data_bins.push_back(compat::IndexedDatasetBuilder::create(
        output / folder_name(j) / split_name(name, folder_name(j)), compat::DatasetImpl::kMmap,
        documents.dictionary().size(), mapped ? source.dtype() : ""));
  for (std::size_t i = 0; i < clusters.size(); ++i)
    files.data_bins[clusters[i]]->add(source.sequence(static_cast<std::int64_t>(i)));
  return files;
}

SplitFiles split_text(const Corpus& documents, const std::string& name,
                      std::span<const std::uint32_t> clusters, std::size_t count,
                      const fs::path& output) {
  SplitFiles files;
  for (std::size_t j = 0; j < count; ++j)
    files.texts.push_back(std::make_unique<compat::AtomicFile>(output / folder_name(j) / name));
  for (std::size_t i = 0; i < clusters.size(); ++i) {
    files.texts[clusters[i]]->write(documents.line(static_cast<std::int64_t>(i)));
    files.texts[clusters[i]]->write("\n");
  }
  return files;
}

/// The names of the files in a cluster's folder.
std::set<std::string> file_names(const Corpus& documents, const std::string& name,
                                 std::size_t cluster) {
  if (documents.dataset() == nullptr) return {name};
  const std::string split = split_name(name, folder_name(cluster));
  return {kDictionary, split + ".bin", split + ".idx"};
}

bool has_dictionary(const fs::path& folder, const compat::Dictionary& dictionary) {
  return fs::exists(folder / kDictionary) &&
         compat::Dictionary::load(folder / kDictionary) == dictionary;
}

/// IoError where the dictionary would replace another one, of which sets besides `replaced` stay,
/// or which is not to be replaced.
void check_dictionary(const fs::path& folder, const compat::Dictionary& dictionary,
                      const std::set<std::string>& replaced, bool overwrite) {
  const fs::path file = folder / kDictionary;
  if (!fs::exists(file) || has_dictionary(folder, dictionary)) return;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".idx" && !replaced.contains(entry.path().filename().string()))
      throw compat::IoError(file.string(),
                            "is another dictionary, and " +
                                compat::printable(entry.path().stem().string()) +
                                " was made with it; take another --output-dir, or remove this one");
  if (!overwrite)
    throw compat::IoError(file.string(),
                          "is there already, with other words (--overwrite replaces it)");
}

/// The clusters' folders in `output` that have a record: earlier splits wrote them.
std::map<fs::path, ClusterRecord> earlier_splits(const fs::path& output, std::size_t count) {
  std::map<fs::path, ClusterRecord> found;
  std::error_code none;
  for (fs::directory_iterator entry(output, none), end; !none && entry != end;
       entry.increment(none)) {
    const auto cluster = cluster_of_name(entry->path().filename().string());
    std::error_code ignored;
    if (!cluster || !entry->is_directory(ignored)) continue;
    std::set<std::string> known{kClusterRecord};
    if (const auto record = read_cluster_record(entry->path())) {
      known.insert(record->files.begin(), record->files.end());
      found[entry->path()] = *record;
    }
    if (cluster->cluster < count) continue;
    for (const fs::directory_entry& file : fs::directory_iterator(entry->path()))
      if (!known.contains(file.path().filename().string()))
        throw compat::IoError(
            entry->path().string(),
            "belongs to a split into more clusters and holds '" +
                compat::printable(file.path().filename().string()) +
                "', which no cluster.json names; move it away or take another folder");
  }
  return found;
}

}  // namespace

void check_split(const Corpus& documents, const fs::path& input, std::size_t count,
                 const std::string& model_sha256, const fs::path& output, bool overwrite) {
  const std::string name = file_name(documents, input);
  const bool data_bin = documents.dataset() != nullptr;
  for (std::size_t j = 0; j < count; ++j) {
    const fs::path folder = output / folder_name(j);
    std::set<std::string> replaced = file_names(documents, name, j);
    const auto record = read_cluster_record(folder);
    if (record && record->model_sha256 != model_sha256) {
      if (!overwrite)
        throw compat::IoError(folder.string(),
                              "holds the split of another cluster model (--overwrite replaces it)");
      replaced.insert(record->files.begin(), record->files.end());
    }
    for (const std::string& file : replaced)
      if (!(data_bin && file == kDictionary) && fs::exists(folder / file))
        compat::check_new_output(folder / file, overwrite);
    if (data_bin) check_dictionary(folder, documents.dictionary(), replaced, overwrite);
  }
  if (data_bin) check_dictionary(output, documents.dictionary(), {}, overwrite);
}

std::vector<std::uint64_t> split_corpus(const Corpus& documents, const fs::path& input,
                                        std::span<const std::uint32_t> clusters, std::size_t count,
                                        const std::string& model_sha256, const fs::path& output) {
  const std::map<fs::path, ClusterRecord> earlier = earlier_splits(output, count);
  const std::string name = file_name(documents, input);
  std::vector<std::uint64_t> sizes(count, 0);
  for (const std::uint32_t cluster : clusters) ++sizes[cluster];
  for (std::size_t j = 0; j < count; ++j) {
    std::error_code error;
    const fs::path folder = output / folder_name(j);
    fs::create_directories(folder, error);
    if (error) throw compat::IoError(folder.string(), "cannot be made", error.value());
  }
  const bool data_bin = documents.dataset() != nullptr;
  const SplitFiles files =
      (data_bin ? split_data_bin : split_text)(documents, name, clusters, count, output);
  const compat::SignalsWait together;
  std::error_code gone;
  for (const auto& [folder, record] : earlier) {
    if (record.model_sha256 == model_sha256) continue;
    fs::remove(folder / kClusterRecord, gone);
    for (const std::string& file : record.files) fs::remove(folder / file, gone);
    if (cluster_of_name(folder.filename().string())->cluster >= count) fs::remove(folder, gone);
  }
  std::vector<fs::path> folders{output};
  for (std::size_t j = 0; j < count; ++j) folders.push_back(output / folder_name(j));
  for (const fs::path& folder : folders)
    if (data_bin && !has_dictionary(folder, documents.dictionary()))
      documents.dictionary().save(folder / kDictionary);
  files.commit();
  for (std::size_t j = 0; j < count; ++j) {
    const fs::path folder = output / folder_name(j);
    std::set<std::string> names = file_names(documents, name, j);
    if (const auto before = earlier.find(folder);
        before != earlier.end() && before->second.model_sha256 == model_sha256)
      names.insert(before->second.files.begin(), before->second.files.end());
    write_cluster_record(folder, {j, model_sha256, {names.begin(), names.end()}});
  }
  return sizes;
}

}  // namespace btm
