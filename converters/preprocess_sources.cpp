#include "converters/preprocess_sources.h"

#include <string>
#include <utility>

#include "compat/base/error.h"
#include "compat/tokenizer/moses_tables.h"

namespace converters {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// All on which the tokens of --tokenizer moses depend.
json moses_facts(const compat::TokenizerOptions& options, compat::DigestCache& digests) {
  json files = json::array();
  for (const auto& file : compat::moses_table_files(options.moses_data, options.moses_source_lang))
    files.push_back(digests.of(file.string()));
  return {{"moses", options.moses_source_lang},
          {"dash_splits", !options.moses_no_dash_splits},
          {"escape", !options.moses_no_escape},
          {"tables", std::move(files)}};
}

}  // namespace

json file_facts(const std::vector<fs::path>& files, compat::DigestCache& digests) {
  json list = json::array();
  for (const fs::path& file : files)
    list.push_back({fs::absolute(file).lexically_normal().string(), digests.of(file)});
  return list;
}

void require_unchanged(const std::vector<fs::path>& files, const json& before,
                       compat::DigestCache& digests) {
  const json now = file_facts(files, digests);
  for (std::size_t i = 0; i < files.size(); ++i)
    if (now[i] != before[i]) throw compat::IoError(files[i].string(), "changed while it was read");
}

json reading_facts(const PreprocessOptions& options, const DocumentFormat& format,
                   compat::DigestCache& digests) {
  const compat::TokenizerOptions& tokenizer = options.tokenizer;
  json facts = {{"document_break", format.document_break},
                {"input_format", format.input_format},
                {"text_key", format.text_key},
                {"drop_empty", format.drop_empty},
                {"end_of_document", options.end_of_document},
                {"bpe", tokenizer.bpe},
                {"tokenizer", json::array()}};
  for (const std::string& file : tokenizer.files()) facts["tokenizer"].push_back(digests.of(file));
  // Absent where it has its default, so that what earlier versions made can be continued.
  if (tokenizer.bpe != "none" && tokenizer.tokenizer != "none")
    facts["pretokenizer"] = tokenizer.tokenizer;
  if (tokenizer.bpe_add_prefix_space) facts["prefix_space"] = true;
  if (tokenizer.tokenizer == "moses") facts["pretokenizer"] = moses_facts(tokenizer, digests);
  return facts;
}

}  // namespace converters
