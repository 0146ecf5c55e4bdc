#include "btm/data/multidomain.h"

#include <algorithm>
#include <array>
#include <set>

#include "btm/data/numpy_random.h"
#include "compat/base/error.h"
#include "compat/fairseq/dictionary_digest.h"
#include "compat/io/mapped_file.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

std::string joined(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    if (text.size() > 400) return text + ", ...";
    text += (text.empty() ? "" : ", ") + compat::printable(name);
  }
  return text.empty() ? "none" : text;
}

std::set<std::string> splits_in(const fs::path& folder) {
  std::set<std::string> splits;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".idx" || entry.path().extension() == ".None-None")
      splits.insert(entry.path().stem().string());
  return splits;
}

void check_impl(const compat::IndexedDataset& dataset, std::string_view impl) {
  if (impl.empty()) return;
  constexpr std::array<std::string_view, 6> kImpls{"raw",  "lazy",    "cached",
                                                   "mmap", "huffman", "zst"};
  if (std::ranges::find(kImpls, impl) == kImpls.end())
    throw compat::UsageError("--dataset-impl '" + compat::printable(impl) +
                             "', expected raw, lazy, cached, mmap, huffman or zst");
  const std::string_view wanted = impl == "cached" ? "lazy" : impl;
  if (wanted != compat::impl_name(dataset.impl()))
    throw compat::UsageError("--dataset-impl " + std::string(impl) + ", but " +
                             compat::printable(dataset.path(), 4096) + " is " +
                             std::string(compat::impl_name(dataset.impl())));
}

}  // namespace

std::shared_ptr<const compat::IndexedDataset> open_split(const fs::path& folder,
                                                         const std::string& split,
                                                         const compat::Dictionary& dictionary,
                                                         std::string_view impl) {
  if (!fs::is_directory(folder))
    throw compat::IoError(folder.string(), "is not a folder, expected a data-bin");
  if (!compat::IndexedDataset::exists(folder / split))
    throw compat::IoError(folder.string(), "no split '" + compat::printable(split) +
                                               "' (splits here: " + joined(splits_in(folder)) +
                                               ")");
  std::shared_ptr<const compat::IndexedDataset> dataset =
      compat::IndexedDataset::open(folder / split, &dictionary);
  check_impl(*dataset, impl);
  compat::check_token_ids(*dataset, dictionary);
  return dataset;
}

void check_domain_dictionary(const fs::path& folder, const fs::path& dictionary_file) {
  const fs::path own = folder / "dict.txt";
  std::error_code ignored;
  if (!fs::is_regular_file(own, ignored) || fs::equivalent(own, dictionary_file, ignored)) return;
  // Usually a copy. There may be many domains, and comparing bytes is faster than parsing a
  // dictionary.
  if (std::ranges::equal(compat::MappedFile::open(own)->bytes(),
                         compat::MappedFile::open(dictionary_file)->bytes()))
    return;
  compat::check_same_dictionary(compat::known_dictionary(own),
                                compat::known_dictionary(dictionary_file));
}

std::vector<std::string> select_domains(const fs::path& data, std::string_view domains,
                                        std::string_view flag) {
  if (!fs::is_directory(data))
    throw compat::IoError(data.string(), "is not a folder, expected a data-bin");
  std::set<std::string> present;
  for (const auto& entry : fs::directory_iterator(data))
    if (entry.is_directory()) present.insert(entry.path().filename().string());
  std::set<std::string> wanted;
  for (std::string_view rest = domains; !rest.empty();) {
    const std::size_t comma = rest.find(',');
    if (comma != 0) wanted.emplace(rest.substr(0, comma));
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
  }
  if (wanted.empty()) wanted = present;
  for (const std::string& domain : wanted)
    if (!present.contains(domain))
      throw compat::UsageError(std::string(flag) + ": " + compat::printable(data.string(), 4096) +
                               " has no folder '" + compat::printable(domain) +
                               "' (folders here: " + joined(present) + ")");
  return {wanted.begin(), wanted.end()};
}

std::string domain_split(const std::filesystem::path& data, const std::string& split,
                         const std::string& domain) {
  const std::string named = split + "_" + domain;
  return compat::IndexedDataset::exists(data / domain / named) ? named : split;
}

std::string splits_text(const fs::path& folder) {
  const std::set<std::string> splits = splits_in(folder);
  return splits.empty() ? "" : joined(splits);
}

void refuse_split(const fs::path& data, const std::vector<std::string>& domains,
                  const std::string& split, std::string_view flag) {
  std::set<std::string> there;
  for (const std::string& domain : domains) there.merge(splits_in(data / domain));
  throw compat::IoError(data.string(),
                        std::string(flag) + ": no domain to evaluate has the split '" +
                            compat::printable(split) + "' (splits there: " + joined(there) + ")");
}

ConcatDataset::ConcatDataset(std::vector<std::unique_ptr<LmDataset>> parts)
    : parts_(std::move(parts)) {
  std::int64_t end = 0;
  for (const auto& part : parts_) ends_.push_back(end += part->size());
}

std::pair<const LmDataset*, std::int64_t> ConcatDataset::locate(std::int64_t i) const noexcept {
  const auto part = std::ranges::upper_bound(ends_, i) - ends_.begin();
  return {parts_[static_cast<std::size_t>(part)].get(),
          i - (part == 0 ? 0 : ends_[static_cast<std::size_t>(part) - 1])};
}

std::int64_t ConcatDataset::num_tokens(std::int64_t i) const noexcept {
  const auto [part, place] = locate(i);
  return part->num_tokens(place);
}

void ConcatDataset::read(std::int64_t i, LmSample& sample) const {
  const auto [part, place] = locate(i);
  part->read(place, sample);
}

ResamplingDataset::ResamplingDataset(std::unique_ptr<LmDataset> inner, std::int64_t seed,
                                     std::int64_t epoch)
    : inner_(std::move(inner)) {
  const std::array<std::int64_t, 3> seeds{42, seed, epoch};
  indices_ = NumpyRandom(seeds).choice(inner_->size(), inner_->size());
}

}  // namespace btm
