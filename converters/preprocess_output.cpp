#include "converters/preprocess_output.h"

#include <span>

namespace converters {

PreprocessOutput::PreprocessOutput(const std::filesystem::path& prefix, const std::string& impl,
                                   std::int64_t vocabulary) {
  std::filesystem::create_directories(prefix.parent_path());
  if (impl == "raw")
    text_ = std::make_unique<compat::AtomicFile>(prefix.string() + ".None-None");
  else
    builder_ = compat::IndexedDatasetBuilder::create(
        prefix, impl == "mmap" ? compat::DatasetImpl::kMmap : compat::DatasetImpl::kLegacy,
        vocabulary);
}

void PreprocessOutput::add(const EncodedSplit& split) {
  std::size_t from = 0;
  for (const std::size_t size : split.sizes) {
    if (builder_) builder_->add(std::span(split.ids).subspan(from, size));
    from += size;
  }
  if (text_) text_->write(split.text);
  sequences_ += split.sizes.size();
  tokens_ += from;
}

void PreprocessOutput::add_bytes(std::string_view bytes) {
  text_->write(bytes);
  copied_ += bytes.size();
}

void PreprocessOutput::commit() {
  if (builder_) builder_->finalize();
  if (text_) text_->commit();
}

std::vector<std::string> files_of_output(const std::string& prefix, const std::string& impl) {
  if (impl == "raw") return {prefix + ".None-None"};
  return {prefix + ".bin", prefix + ".idx"};
}

}  // namespace converters
