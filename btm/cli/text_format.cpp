#include "btm/cli/text_format.h"

namespace btm {

TextFormat text_format_of(const std::string& name, bool to_terminal) {
  if (name.empty()) return to_terminal ? TextFormat::kTable : TextFormat::kTsv;
  if (name == "table") return TextFormat::kTable;
  if (name == "tsv") return TextFormat::kTsv;
  return name == "json" ? TextFormat::kJson : TextFormat::kJsonl;
}

}  // namespace btm
