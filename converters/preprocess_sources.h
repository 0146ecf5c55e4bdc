// The facts of which preprocess.json records the digests: from which bytes and settings a data set
// was made.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "compat/io/digest_cache.h"
#include "converters/preprocess.h"

namespace converters {

/// The names and digests of the files. The name decides whether a file is JSONL.
nlohmann::json file_facts(const std::vector<std::filesystem::path>& files,
                          compat::DigestCache& digests);

/// IoError unless the files still are as `before`, the result of file_facts(). The manifest then
/// describes what was read.
void require_unchanged(const std::vector<std::filesystem::path>& files,
                       const nlohmann::json& before, compat::DigestCache& digests);

/// How text is read and tokenized: the settings, and the digests of the tokenizer's files.
nlohmann::json reading_facts(const PreprocessOptions& options, const DocumentFormat& format,
                             compat::DigestCache& digests);

}  // namespace converters
