#include "btm/evaluator/word_scores.h"

#include <algorithm>

#include "compat/base/error.h"

namespace btm {

WordScores::WordScores(const compat::Dictionary& dictionary, const std::string& post_process)
    : dictionary_(dictionary) {
  if (post_process.empty()) return;
  if (post_process == "@@ ")
    continuation_ = "@@";
  else if (post_process == "subword_nmt")
    continuation_ = "subword_nmt";  // fairseq looks for symbols that end in the flag's value
  else
    throw compat::UsageError("--post-process '" + compat::printable(post_process) +
                             "' is not supported (supported: '@@ ', subword_nmt)");
  for (std::int64_t id = 0; id < dictionary.size(); ++id)
    continues_.push_back(dictionary.symbol(id).ends_with(continuation_));
}

std::int64_t WordScores::join_pieces(std::span<const std::int64_t> tokens,
                                     std::vector<double>& scores) const {
  if (continues_.empty()) return 0;
  std::int64_t joined = 0;
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
    if (!continues_[static_cast<std::size_t>(tokens[i])]) continue;
    ++joined;
    scores[i + 1] += scores[i];
    scores[i] = 0;
  }
  return joined;
}

template <class Visit>
void WordScores::for_each_word(std::span<const std::int64_t> tokens, Visit&& visit) const {
  std::string word;
  bool is_bpe = false;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    word += dictionary_.symbol(tokens[i]);
    if (!continues_.empty() && continues_[static_cast<std::size_t>(tokens[i])]) {
      word.resize(word.size() - continuation_.size());
      is_bpe = true;
      continue;
    }
    visit(word, i, is_bpe);
    word.clear();
    is_bpe = false;
  }
}

std::vector<std::pair<std::string, double>> WordScores::words(
    std::span<const std::int64_t> tokens, std::span<const double> scores) const {
  std::vector<std::pair<std::string, double>> out;
  for_each_word(tokens, [&](const std::string& word, std::size_t i, bool) {
    out.emplace_back(word, scores[i]);
  });
  return out;
}

void WordScores::gather(std::span<const std::int64_t> tokens, std::span<const double> scores) {
  // next[i] is the first score after i that is not zero. Only a word's last piece has a score.
  std::vector<double> next(scores.size(), 0);
  for (std::size_t i = scores.size(); i-- > 1;) next[i - 1] = scores[i] != 0 ? scores[i] : next[i];
  for_each_word(tokens, [&](const std::string& word, std::size_t i, bool is_bpe) {
    const auto [place, is_new] = places_.emplace(word, stats_.size());
    if (is_new) stats_.push_back({word, is_bpe});
    WordStat& stat = stats_[place->second];
    ++stat.count;
    stat.log_prob += scores[i];
    if (next[i] != 0)
      stat.next_word_prob += next[i];
    else
      ++stat.missing_next_words;
  });
}

std::vector<WordStat> WordScores::sorted_stats() const {
  std::vector<WordStat> sorted = stats_;
  std::ranges::stable_sort(sorted, std::greater{}, &WordStat::count);
  return sorted;
}

}  // namespace btm
