#include "btm/mixing/text_row.h"

#include <algorithm>
#include <span>

namespace btm {

void TextRow::add_evidence(std::size_t expert, std::int64_t place, float score) {
  std::vector<float>& scores = evidence[expert];
  const auto index = static_cast<std::size_t>(place);
  if (scores.size() <= index) scores.resize(index + 1, kNotRun);
  scores[index] = score;
}

void TextRow::progress(std::int64_t place) {
  if (evidence.size() == 1) return;
  std::vector<float> scores(evidence.size(), kNotRun);
  for (; taken <= place; ++taken) {
    log_weights.reset();
    if (taken > 0) {
      const auto index = static_cast<std::size_t>(taken - 1);
      for (std::size_t e = 0; e < scores.size(); ++e)
        scores[e] = index < evidence[e].size() ? evidence[e][index] : kNotRun;
      posterior->observe(state, scores);
    }
    posterior->read(state, text[static_cast<std::size_t>(taken)]);
  }
}

std::vector<double> TextRow::current_log_weights() {
  if (evidence.size() == 1) return {0.0};
  if (!log_weights) log_weights = posterior->log_weights(state);
  return *log_weights;
}

TextRow TextRow::prefix(std::int64_t length) const {
  TextRow row{.text = {text.begin(), text.begin() + length},
              .posterior = posterior,
              .start = start,
              .state = start,
              .evidence = evidence,
              .experts = {},
              .log_weights = {}};
  const auto scores = static_cast<std::size_t>(std::max<std::int64_t>(length - 1, 0));
  for (std::vector<float>& known : row.evidence) known.resize(std::min(known.size(), scores));
  row.progress(std::min(taken, length) - 1);
  return row;
}

void Work::share_fault() {
  const std::span<Readout> all(readouts, static_cast<std::size_t>(places()));
  for (const Readout& readout : all)
    if (row->fault.empty()) row->fault = readout.fault;
  for (Readout& readout : all) readout.fault = row->fault;
}

}  // namespace btm
