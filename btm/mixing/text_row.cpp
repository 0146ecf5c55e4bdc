#include "btm/mixing/text_row.h"

#include <algorithm>

namespace btm {

void TextRow::add_evidence(std::size_t expert, std::int64_t place, float score) {
  std::vector<float>& scores = evidence[expert];
  const auto index = static_cast<std::size_t>(place + 1 - scored_from);
  if (scores.size() <= index) scores.resize(index + 1, kNotRun);
  scores[index] = score;
}

void TextRow::progress(const Posterior& posterior, std::int64_t place) {
  if (experts.size() == 1) return;
  std::vector<float> scores(experts.size(), kNotRun);
  for (; taken <= place; ++taken) {
    log_weights.reset();
    if (taken > 0) {
      const auto index = static_cast<std::size_t>(taken - scored_from);
      for (std::size_t e = 0; e < scores.size(); ++e)
        scores[e] = index < evidence[e].size() ? evidence[e][index] : kNotRun;
      posterior.observe(state, scores);
    }
    posterior.read(state, text[static_cast<std::size_t>(taken)]);
  }
}

void TextRow::forget_evidence() {
  const std::int64_t observed = std::max<std::int64_t>(taken, 1) - scored_from;
  for (std::vector<float>& scores : evidence)
    scores.erase(scores.begin(),
                 scores.begin() + std::min<std::ptrdiff_t>(observed, std::ssize(scores)));
  scored_from += observed;
}

std::vector<double> TextRow::current_log_weights(const Posterior& posterior) {
  if (experts.size() == 1) return {0.0};
  if (!log_weights) log_weights = posterior.log_weights(state);
  return *log_weights;
}

}  // namespace btm
