#include "btm/mixing/expert_lane.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/index_select.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "btm/model/ids_tensor.h"
#include "btm/model/row_softmax.h"
#include "compat/base/concat.h"
#include "compat/base/text.h"

namespace btm {
namespace {

/// Tokens that the model takes at once: enough for fast products, few enough for small buffers.
constexpr std::int64_t kTokensAtOnce = 2048;

bool is_score(double value) { return value < std::numeric_limits<double>::infinity(); }

}  // namespace

ExpertLane::ExpertLane(std::string name, std::shared_ptr<const TransformerLM> model,
                       std::int64_t tokens)
    : name_(std::move(name)),
      model_(std::move(model)),
      head_(model_->head()),
      pool_(model_->key_value_pool(tokens)),
      window_(model_->config().max_target_positions),
      kept_(window_ / 2) {}

std::int64_t ExpertLane::window_start(std::int64_t place) const {
  if (place < window_) return 0;
  const std::int64_t dropped = window_ - kept_;
  return ((place - window_) / dropped + 1) * dropped;
}

std::optional<ExpertLane::Row> ExpertLane::open(std::int64_t tokens) {
  const std::optional<KeyValuePool::Row> pool = pool_.open(std::min(tokens, window_));
  if (!pool) return std::nullopt;
  Row row;
  row.pool = *pool;
  return row;
}

ExpertLane::Row ExpertLane::fork(const Row& row) {
  Row copy = row;
  copy.pool = pool_.fork(row.pool);
  return copy;
}

ExpertLane::Row ExpertLane::fork_prefix(const Row& row, std::int64_t length) {
  Row copy = fork(row);
  if (copy.last >= length) {
    copy.last = -1;
    copy.log_sum.reset();
  }
  if (copy.fed <= length) return copy;
  if (length < copy.start) copy.start = 0, length = 0;
  pool_.truncate(copy.pool, length - copy.start);
  copy.fed = length;
  return copy;
}

bool ExpertLane::reserve(const Row& row, std::int64_t length) {
  return pool_.reserve(row.pool, std::min(length, window_));
}

/// A score, or NaN and a fault of the need.
float ExpertLane::checked(double score, Need& need) const {
  if (is_score(score)) return static_cast<float>(score);
  need.fault = compat::concat(compat::printable(name_, 4096),
                              ": gives no probability (NaN or infinite) for token ", need.place + 2,
                              " of a text: its training diverged, or its weights are damaged");
  return std::numeric_limits<float>::quiet_NaN();
}

/// Answers a need from the features and the sum that the row keeps: one dot product for a token.
bool ExpertLane::from_kept(Need& need) const {
  const Row& row = *need.row;
  if (row.last != need.place || !row.log_sum || need.logits) return false;
  const at::Tensor features =
      at::from_blob(const_cast<float*>(row.features.data()),
                    {static_cast<std::int64_t>(row.features.size())}, at::kFloat);
  const auto score_of = [&](std::int64_t token) {
    return checked(head_.logit(features, token) - *row.log_sum, need);
  };
  if (need.next) need.next_score = score_of(*need.next);
  if (need.target) need.target_score = score_of(*need.target);
  return true;
}

/// Prepares a row so that feeding it can reach `place`: in the window of this place, and not behind
/// it.
void ExpertLane::place_at(Row& row, std::int64_t place, std::int64_t length) {
  const std::int64_t start = window_start(place);
  if (start == row.start && place >= row.fed) return;
  const std::int64_t kept = start == row.start ? place - start : 0;
  pool_.truncate(row.pool, kept);
  row.start = start;
  row.fed = start + kept;
  reserve(row, length - start);  // truncate() has given back what the row had
}

/// The needs [next, end) of one row that are still to be run.
struct ExpertLane::Pending {
  std::size_t next, end;
};

void ExpertLane::run(std::span<Need> needs) {
  const at::NoGradGuard no_grad;
  features_ =
      at::empty({static_cast<std::int64_t>(needs.size()), model_->config().decoder_output_dim});
  for (std::size_t i = 0; i < needs.size(); ++i) needs[i].at = static_cast<std::int64_t>(i);
  run_rounds(needs);
  score(needs);
}

void ExpertLane::run_rounds(std::span<Need> needs) {
  std::vector<Pending> pending;
  for (std::size_t i = 0; i < needs.size();) {
    std::size_t end = i;
    while (end < needs.size() && needs[end].row == needs[i].row) ++end;
    Row& row = *needs[i].row;
    if (from_kept(needs[i])) {
      needs[i++].at = -1;
    } else if (row.last == needs[i].place) {
      std::ranges::copy(row.features,
                        features_.mutable_data_ptr<float>() + needs[i].at * features_.size(1));
      ++i;
    }
    if (i < end) pending.push_back({i, end});
    i = end;
  }
  while (!pending.empty()) {
    run_round(needs, pending);
    std::erase_if(pending, [](const Pending& one) { return one.next == one.end; });
  }
}

/// Feeds every pending row as far as its window and kTokensAtOnce allow.
void ExpertLane::run_round(std::span<Need> needs, std::vector<Pending>& pending) {
  NewTokens step;
  std::vector<std::pair<std::int64_t, Need*>> found;  // rows of the step's features
  std::int64_t total = 0;
  for (Pending& one : pending) {
    if (total >= kTokensAtOnce) break;
    Row& row = *needs[one.next].row;
    const std::vector<std::int64_t>& text = *needs[one.next].text;
    place_at(row, needs[one.next].place, static_cast<std::int64_t>(text.size()));
    std::size_t end = one.next;
    while (end < one.end && needs[end].place < row.start + window_) ++end;
    const std::int64_t first = row.fed;
    const std::int64_t to = std::min(needs[end - 1].place + 1, first + kTokensAtOnce - total);
    if (!pool_.extend(row.pool, to - first))
      throw std::runtime_error("there is no room for more tokens");
    step.rows.push_back(row.pool);
    step.counts.push_back(to - first);
    step.tokens.insert(step.tokens.end(), text.begin() + first, text.begin() + to);
    for (; one.next < one.end && needs[one.next].place < to; ++one.next)
      found.emplace_back(total + needs[one.next].place - first, &needs[one.next]);
    row.fed = to;
    total += to - first;
  }
  const at::Tensor features = model_->advance(step, pool_).to(at::kCPU, at::kFloat).contiguous();
  const std::int64_t width = features.size(1);
  for (const auto& [at, need] : found) {
    std::copy_n(features.const_data_ptr<float>() + at * width, width,
                features_.mutable_data_ptr<float>() + need->at * width);
    keep(*need);
  }
}

/// The features of a text's last place are kept: the next token's score comes from them.
void ExpertLane::keep(Need& need) {
  if (need.place + 1 != static_cast<std::int64_t>(need.text->size())) return;
  const float* const from = features_.const_data_ptr<float>() + need.at * features_.size(1);
  need.row->last = need.place;
  need.row->features.assign(from, from + features_.size(1));
  need.row->log_sum.reset();
}

/// Scores of the needs that do not need all logits.
void ExpertLane::score(std::span<Need> needs) {
  std::vector<std::int64_t> rows;
  std::vector<Need*> scored;
  std::vector<Head::Target> targets;
  for (Need& need : needs) {
    if (need.at < 0 || need.logits || !(need.next || need.target)) continue;
    const auto row = static_cast<std::int64_t>(rows.size());
    rows.push_back(need.at);
    scored.push_back(&need);
    if (need.next) targets.push_back({row, *need.next});
    if (need.target) targets.push_back({row, *need.target});
  }
  if (rows.empty()) return;
  const Head::Scores found = head_.scores(
      rows.size() == needs.size() ? features_ : features_.index_select(0, ids_tensor(rows)),
      targets);
  std::size_t target = 0;
  for (std::size_t i = 0; i < scored.size(); ++i) {
    Need& need = *scored[i];
    const double log_sum = found.log_sums[i];
    if (need.next) need.next_score = checked(found.logits[target++] - log_sum, need);
    if (need.target) need.target_score = checked(found.logits[target++] - log_sum, need);
    if (need.row->last == need.place) need.row->log_sum = log_sum;
  }
}

at::Tensor ExpertLane::logits(std::span<Need* const> needs, std::span<const double> temperatures,
                              std::vector<Logits>& found) {
  std::vector<std::int64_t> rows;
  for (const Need* const need : needs) rows.push_back(need->at);
  at::Tensor all = head_.logits(features_.index_select(0, ids_tensor(rows)));
  const std::int64_t width = all.size(1);
  found.resize(needs.size());
  float* const values = all.mutable_data_ptr<float>();
  std::vector<double> log_sums(needs.size());
  at::parallel_for(0, static_cast<std::int64_t>(needs.size()), 1,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t i = begin; i < end; ++i) {
                       const auto n = static_cast<std::size_t>(i);
                       float* const x = values + i * width;
                       LogSumExp sum;
                       sum.add(x, width);
                       log_sums[n] = sum.value();
                       found[n] = {x, log_sums[n]};
                       Need& need = *needs[n];
                       if (need.next)
                         need.next_score = static_cast<float>(x[*need.next] - log_sums[n]);
                       if (need.target)
                         need.target_score = static_cast<float>(x[*need.target] - log_sums[n]);
                       if (temperatures[n] == 1) continue;
                       const auto divisor = static_cast<float>(temperatures[n]);
                       for (std::int64_t v = 0; v < width; ++v) x[v] /= divisor;
                       LogSumExp hot;
                       hot.add(x, width);
                       found[n].log_sum = hot.value();
                     }
                   });
  for (std::size_t i = 0; i < needs.size(); ++i) {
    // A sum of nothing, log 0, makes every probability NaN.
    checked(std::isfinite(log_sums[i]) ? 0 : NAN, *needs[i]);
    if (needs[i]->row->last == needs[i]->place) needs[i]->row->log_sum = log_sums[i];
  }
  return all;
}

}  // namespace btm
