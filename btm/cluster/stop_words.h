// Words that say nothing of a text's subject, by language.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace btm {

/// The languages with a list: "english", "french", "german", "spanish".
std::vector<std::string> stop_word_languages();

/// The words of the languages in `list`: names joined by ',', "none", or "auto": the languages of
/// whose words, those of other lists left out, the documents hold at least one in 50. UsageError
/// for another name.
std::unordered_set<std::string_view> stop_words(std::string_view list,
                                                std::span<const std::string> documents);

}  // namespace btm
