#include "btm/mixing/model_predictor.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "btm/mixing/expert_lane.h"
#include "btm/mixing/mixed_logits.h"
#include "btm/mixing/row_tasks.h"
#include "btm/mixing/step_check.h"
#include "btm/mixing/text_row.h"
#include "btm/model/key_value_pool.h"
#include "compat/base/concat.h"

namespace btm {
namespace {

/// Memory for logits of the experts at once. One place is computed whatever it needs.
constexpr std::int64_t kLogitBytes = std::int64_t{64} << 20;

std::vector<double> exponentials(std::vector<double> logs) {
  for (double& value : logs) value = std::exp(value);
  return logs;
}

class ModelPredictor final : public Predictor {
 public:
  ModelPredictor(std::vector<NamedExpert> experts, Posterior posterior, std::int64_t capacity,
                 std::optional<std::int64_t> kept);

  std::size_t experts() const override { return lanes_.size(); }
  std::int64_t vocab_size() const override { return lanes_.front().model().vocab_size(); }
  std::int64_t max_positions() const override { return window_; }
  std::int64_t free_tokens() const override;
  std::int64_t block() const override { return KeyValuePool::kBlock; }
  std::optional<Row> open(std::int64_t tokens, std::shared_ptr<const Posterior> mixture) override;
  std::optional<Row> fork_prefix(Row row, std::int64_t length, std::int64_t tokens) override;
  std::vector<Readout> advance_each(const Step& step) override;
  Row fork(Row row) override;
  void close(Row row) override;
  std::vector<double> posterior(Row row) override;
  void update_prior(std::span<const double> posterior) override {
    posterior_->prior().update(posterior);
  }

 private:
  using Need = ExpertLane::Need;
  /// The needs of one expert, and the work and place that each belongs to.
  struct Needs {
    std::vector<Need> needs;
    std::vector<std::pair<std::size_t, std::int64_t>> of;
  };

  bool single() const { return lanes_.size() == 1; }
  bool has_evidence(const TextRow& row) const {
    return !single() && row.posterior->rule() != PosteriorRule::kNone;
  }
  bool open_lanes(TextRow& row, const std::function<bool(std::size_t expert)>& open_lane);
  TextRow& at(Row row);
  TextRow& healthy(Row row);
  std::vector<Work> append(const Step& step, std::vector<Readout>& readouts);
  void choose_experts(Work& work) const;
  Needs needs_of(std::size_t expert, std::vector<Work>& works) const;
  void run(std::vector<Work>& works);
  void take(std::size_t expert, Work& work, const Need& need) const;
  /// The places of all works in order, as many at once as kLogitBytes allows.
  void read_out(std::vector<Work>& works, std::vector<Needs>& needs);
  struct Chunk;
  void read_out(std::vector<Work>& works, Chunk& chunk);
  std::optional<Mixing> read_out(Work& work, std::int64_t place,
                                 std::span<const ExpertLane::Logits> logits);
  void read_out_target(Work& work, std::int64_t place, Readout& readout);
  std::vector<double> weights_after(Work& work, std::int64_t place, const Readout& readout);

  std::shared_ptr<Posterior> posterior_;
  std::vector<ExpertLane> lanes_;
  std::int64_t window_ = 0;
  std::unordered_map<Row, TextRow> rows_;
  Row next_ = 0;
};

ModelPredictor::ModelPredictor(std::vector<NamedExpert> experts, Posterior posterior,
                               std::int64_t capacity, std::optional<std::int64_t> kept)
    : posterior_(std::make_shared<Posterior>(std::move(posterior))) {
  if (experts.empty() || experts.size() != posterior_->experts())
    throw std::invalid_argument("a predictor has as many experts as its posterior, at least one");
  window_ = std::numeric_limits<std::int64_t>::max();
  lanes_.reserve(experts.size());
  for (NamedExpert& expert : experts) {
    if (expert.model->vocab_size() != experts.front().model->vocab_size())
      throw std::invalid_argument("experts of a predictor have different dictionaries");
    window_ = std::min(window_, expert.model->config().max_target_positions);
    lanes_.emplace_back(std::move(expert.name), expert.model, capacity);
  }
  if (kept && (*kept < 0 || *kept >= window_))
    throw std::invalid_argument("a window begins with less than the one before it");
  for (ExpertLane& lane : lanes_) lane.set_window(window_, kept.value_or(window_ / 2));
}

std::int64_t ModelPredictor::free_tokens() const {
  std::int64_t tokens = std::numeric_limits<std::int64_t>::max();
  for (const ExpertLane& lane : lanes_) tokens = std::min(tokens, lane.free_tokens());
  return tokens;
}

TextRow& ModelPredictor::at(Row row) {
  const auto found = rows_.find(row);
  if (found == rows_.end()) throw std::invalid_argument("a predictor has no such row");
  return found->second;
}

/// A row whose models have given no NaN.
TextRow& ModelPredictor::healthy(Row row) {
  TextRow& found = at(row);
  if (!found.fault.empty()) throw std::invalid_argument("a row that has a fault is read");
  return found;
}

/// Calls `open_lane` for each expert, which adds to row.experts. Closes them where one fails.
bool ModelPredictor::open_lanes(TextRow& row,
                                const std::function<bool(std::size_t expert)>& open_lane) {
  bool opened = true;
  for (std::size_t e = 0; e < lanes_.size() && opened; ++e) opened = open_lane(e);
  if (!opened)
    for (std::size_t e = 0; e < row.experts.size(); ++e) lanes_[e].close(row.experts[e]);
  return opened;
}

std::optional<Predictor::Row> ModelPredictor::open(std::int64_t tokens,
                                                   std::shared_ptr<const Posterior> mixture) {
  if (!mixture) mixture = posterior_;
  if (mixture->experts() != lanes_.size())
    throw std::invalid_argument("a row's mixture has another number of experts than its predictor");
  const Posterior::State start = mixture->start();
  TextRow row{.text = {},
              .posterior = std::move(mixture),
              .start = start,
              .state = start,
              .evidence = std::vector<std::vector<float>>(lanes_.size()),
              .experts = {},
              .log_weights = {}};
  const bool opened = open_lanes(row, [&](std::size_t e) {
    const std::optional<ExpertLane::Row> lane = lanes_[e].open(tokens);
    if (lane) row.experts.push_back(*lane);
    return lane.has_value();
  });
  if (!opened) return std::nullopt;
  rows_.emplace(next_, std::move(row));
  return next_++;
}

std::optional<Predictor::Row> ModelPredictor::fork_prefix(Row row, std::int64_t length,
                                                          std::int64_t tokens) {
  const TextRow& whole = at(row);
  if (length < 0 || length > whole.length())
    throw std::invalid_argument("a row is forked behind its end");
  TextRow copy = whole.prefix(length);
  // What is said of the token that follows is not kept: the last place is computed again.
  const bool opened = open_lanes(copy, [&](std::size_t e) {
    copy.experts.push_back(
        lanes_[e].fork_prefix(whole.experts[e], std::max<std::int64_t>(length - 1, 0)));
    return lanes_[e].reserve(copy.experts.back(), tokens);
  });
  if (!opened) return std::nullopt;
  rows_.emplace(next_, std::move(copy));
  return next_++;
}

Predictor::Row ModelPredictor::fork(Row row) {
  TextRow copy = at(row);
  for (std::size_t e = 0; e < lanes_.size(); ++e) copy.experts[e] = lanes_[e].fork(copy.experts[e]);
  rows_.emplace(next_, std::move(copy));
  return next_++;
}

void ModelPredictor::close(Row row) {
  const TextRow& closed = at(row);
  for (std::size_t e = 0; e < lanes_.size(); ++e) lanes_[e].close(closed.experts[e]);
  rows_.erase(row);
}

/// Adds the new tokens to their rows, once there is room for all of them.
std::vector<Work> ModelPredictor::append(const Step& step, std::vector<Readout>& readouts) {
  for (std::size_t i = 0; i < step.rows.size(); ++i) {
    TextRow& row = at(step.rows[i]);
    for (std::size_t e = 0; e < lanes_.size(); ++e)
      if (!lanes_[e].reserve(row.experts[e], row.length() + step.counts[i]))
        throw std::runtime_error(
            compat::concat("there is no room for ", step.counts[i], " more tokens of a text"));
  }
  std::vector<Work> works;
  auto from = step.tokens.begin();
  for (std::size_t i = 0; i < step.rows.size(); ++i) {
    Work work;
    work.row = &at(step.rows[i]);
    work.first = work.row->length();
    work.wants = step.wants.data() + (from - step.tokens.begin());
    work.readouts = readouts.data() + (from - step.tokens.begin());
    work.row->text.insert(work.row->text.end(), from, from + step.counts[i]);
    from += step.counts[i];
    work.mixed_up_to = -1;
    for (std::int64_t n = 0; n < step.counts[i]; ++n)
      if (!work.wants[n].expert) work.mixed_up_to = work.first + n;
    works.push_back(std::move(work));
  }
  return works;
}

/// Who runs at each new place. Where nothing is wanted but at the last place, nobody needs to.
void ModelPredictor::choose_experts(Work& work) const {
  const TextRow& row = *work.row;
  const Posterior& posterior = *row.posterior;
  const bool by_place = posterior.rule() == PosteriorRule::kNone && posterior.prior().text();
  const std::vector<std::size_t> all = single()   ? std::vector<std::size_t>{0}
                                       : by_place ? std::vector<std::size_t>{}
                                                  : posterior.wanted(row.state);
  std::optional<Posterior::State> state;
  if (by_place && !single()) state = row.state;
  std::int64_t read = row.taken;
  for (std::int64_t place = work.first; place < row.length(); ++place) {
    const Want& want = work.wants[place - work.first];
    std::vector<std::size_t>& chosen = work.experts.emplace_back();
    if (want.nothing() && place + 1 < row.length()) continue;
    if (want.expert) {
      chosen = {*want.expert};
    } else if (!state) {
      chosen = all;
    } else {
      for (; read <= place; ++read)
        posterior.read(*state, row.text[static_cast<std::size_t>(read)]);
      chosen = posterior.wanted(*state);
    }
  }
}

/// The places at which an expert is needed: for what is wanted there, and for the score of the
/// token after it, which is evidence.
ModelPredictor::Needs ModelPredictor::needs_of(std::size_t expert, std::vector<Work>& works) const {
  Needs needs;
  for (std::size_t w = 0; w < works.size(); ++w) {
    Work& work = works[w];
    TextRow& row = *work.row;
    const bool observed =
        has_evidence(row) && work.mixed_up_to >= 0 && row.posterior->prior().takes_part(expert);
    const std::int64_t scored = observed ? row.scored(expert) : row.length();
    for (std::int64_t place = std::min(scored - 1, work.first); place < row.length(); ++place) {
      Need need{
          .row = &row.experts[expert], .text = &row.text, .place = place, .next = {}, .target = {}};
      if (observed && place + 1 >= scored && place < work.mixed_up_to)
        need.next = row.text[static_cast<std::size_t>(place) + 1];
      bool wanted = false;
      if (place >= work.first) {
        const auto n = static_cast<std::size_t>(place - work.first);
        wanted = std::ranges::find(work.experts[n], expert) != work.experts[n].end();
        if (wanted) {
          need.target = work.wants[n].target;
          need.logits = row.needs_logits(work.wants[n]);
        }
      }
      if (!wanted && !need.next) continue;
      needs.needs.push_back(need);
      needs.of.emplace_back(w, place);
    }
  }
  return needs;
}

/// Keeps what a need has found: evidence, and the expert's score of the target; or a fault.
void ModelPredictor::take(std::size_t expert, Work& work, const Need& need) const {
  if (work.row->fault.empty()) work.row->fault = need.fault;
  if (!work.row->fault.empty()) return;
  if (need.next) work.row->add_evidence(expert, need.place, need.next_score);
  if (!need.target) return;
  std::vector<float>& scores = work.readouts[need.place - work.first].expert_log_probs;
  scores.resize(experts(), kNotRun);
  scores[expert] = need.target_score;
}

void ModelPredictor::run(std::vector<Work>& works) {
  std::vector<Needs> needs;
  for (Work& work : works) choose_experts(work);
  for (std::size_t e = 0; e < lanes_.size(); ++e) {
    Needs& found = needs.emplace_back(needs_of(e, works));
    if (found.needs.empty()) continue;
    lanes_[e].run(found.needs);
    for (std::size_t i = 0; i < found.needs.size(); ++i)
      if (!found.needs[i].logits) take(e, works[found.of[i].first], found.needs[i]);
  }
  read_out(works, needs);
  for (ExpertLane& lane : lanes_) lane.release();
  for (Work& work : works)
    if (work.row->fault.empty()) work.row->progress(work.mixed_up_to);
}

/// Places that are read out together, and the needs of all logits there.
struct ModelPredictor::Chunk {
  std::vector<std::pair<std::size_t, std::int64_t>> places;  ///< Works, and places of their texts.
  std::vector<std::vector<Need*>> needs;                     ///< [E]
  std::vector<std::vector<double>> temperatures;             ///< [E]
  std::int64_t logits = 0;                                   ///< Needs in all.

  explicit Chunk(std::size_t experts) : needs(experts), temperatures(experts) {}
};

void ModelPredictor::read_out(std::vector<Work>& works, std::vector<Needs>& needs) {
  const std::int64_t most = std::max<std::int64_t>(
      1, kLogitBytes / (static_cast<std::int64_t>(sizeof(float)) * vocab_size()));
  std::vector<std::size_t> next(lanes_.size(), 0);
  Chunk chunk(lanes_.size());
  for (std::size_t w = 0; w < works.size(); ++w)
    for (std::size_t n = 0; n < works[w].experts.size(); ++n) {
      const Want& want = works[w].wants[n];
      if (want.nothing()) continue;
      const bool all = works[w].row->needs_logits(want);
      if (all && chunk.logits + std::ssize(works[w].experts[n]) > most) {
        read_out(works, chunk);
        chunk = Chunk(lanes_.size());
      }
      chunk.places.emplace_back(w, works[w].first + static_cast<std::int64_t>(n));
      if (!all) continue;
      for (const std::size_t e : works[w].experts[n]) {
        while (!needs[e].needs[next[e]].logits) ++next[e];
        chunk.needs[e].push_back(&needs[e].needs[next[e]++]);
        chunk.temperatures[e].push_back(want.temperature);
        ++chunk.logits;
      }
    }
  read_out(works, chunk);
}

void ModelPredictor::read_out(std::vector<Work>& works, Chunk& chunk) {
  std::vector<std::vector<ExpertLane::Logits>> found(lanes_.size());
  std::vector<ExpertLane::LogitRows> memory;
  for (std::size_t e = 0; e < lanes_.size(); ++e)
    if (!chunk.needs[e].empty())
      memory.push_back(lanes_[e].logits(chunk.needs[e], chunk.temperatures[e], found[e]));
  std::vector<std::size_t> next(lanes_.size(), 0);
  const auto visit = [&](auto&& at_place) {
    std::ranges::fill(next, 0);
    for (const auto& [w, place] : chunk.places) at_place(works[w], place);
  };
  const auto has_logits = [](const Work& work, std::int64_t place) {
    return work.row->needs_logits(work.wants[place - work.first]);
  };
  visit([&](Work& work, std::int64_t place) {
    if (!has_logits(work, place)) return;
    for (const std::size_t e : work.experts[static_cast<std::size_t>(place - work.first)])
      take(e, work, *chunk.needs[e][next[e]++]);
  });
  std::vector<Mixing> mixings;
  visit([&](Work& work, std::int64_t place) {
    std::vector<ExpertLane::Logits> logits;
    if (has_logits(work, place))
      for (const std::size_t e : work.experts[static_cast<std::size_t>(place - work.first)])
        logits.push_back(found[e][next[e]++]);
    if (!work.row->fault.empty()) return;
    if (auto mixing = read_out(work, place, logits)) mixings.push_back(std::move(*mixing));
  });
  for_each_row(mixings.size(), [&](std::size_t i) { mix(mixings[i], vocab_size()); });
}

/// `logits` of the experts that run at the place, or none. Returns what is still to be mixed.
std::optional<Mixing> ModelPredictor::read_out(Work& work, std::int64_t place,
                                               std::span<const ExpertLane::Logits> logits) {
  const auto n = static_cast<std::size_t>(place - work.first);
  const Want& want = work.wants[n];
  Readout& readout = work.readouts[n];
  std::vector<double> logs(experts(), -std::numeric_limits<double>::infinity());
  if (want.expert) {
    logs[*want.expert] = 0;
  } else {
    work.row->progress(place);
    logs = work.row->current_log_weights();
  }
  readout.weights = exponentials(logs);
  if (want.target) read_out_target(work, place, readout);
  if (logits.empty()) return std::nullopt;
  Mixing mixing{{}, &want, &readout, work.row->is_product(want)};
  for (std::size_t i = 0; i < logits.size(); ++i)
    mixing.add(logits[i].values, logits[i].log_sum, logs[work.experts[n][i]]);
  return mixing;
}

void ModelPredictor::read_out_target(Work& work, std::int64_t place, Readout& readout) {
  const Want& want = work.wants[place - work.first];
  if (want.expert || single()) {
    readout.log_prob = readout.expert_log_probs[want.expert.value_or(0)];
    readout.weights_after = readout.weights;
    return;
  }
  TextRow& row = *work.row;
  readout.log_prob =  // of a product, mix() knows it
      row.posterior->log_prob(row.state, row.current_log_weights(), readout.expert_log_probs);
  readout.weights_after = weights_after(work, place, readout);
}

std::vector<double> ModelPredictor::weights_after(Work& work, std::int64_t place,
                                                  const Readout& readout) {
  TextRow& row = *work.row;
  const std::int64_t target = *work.wants[place - work.first].target;
  if (place < work.mixed_up_to && row.text[static_cast<std::size_t>(place) + 1] == target) {
    row.progress(place + 1);  // which the next place would do
    return exponentials(row.current_log_weights());
  }
  Posterior::State state = row.state;
  row.posterior->observe(state, readout.expert_log_probs);
  row.posterior->read(state, target);
  return exponentials(row.posterior->log_weights(state));
}

std::vector<Readout> ModelPredictor::advance_each(const Step& step) {
  check_step(step, experts(), vocab_size(), TransformerLM::kPaddingIdx);
  for (const Row row : step.rows) healthy(row);
  std::vector<Readout> readouts(step.tokens.size());
  std::vector<Work> works = append(step, readouts);
  run(works);
  for (Work& work : works) work.share_fault();
  return readouts;
}

std::vector<double> ModelPredictor::posterior(Row row) {
  TextRow& text = healthy(row);
  std::vector<Work> works(1);
  works[0].row = &text;
  works[0].first = text.length();
  works[0].mixed_up_to = text.length() - 1;
  run(works);
  if (!text.fault.empty()) throw std::runtime_error(text.fault);
  return exponentials(text.current_log_weights());
}

}  // namespace

std::unique_ptr<Predictor> make_predictor(std::vector<NamedExpert> experts, Posterior posterior,
                                          std::int64_t capacity, std::optional<std::int64_t> kept) {
  return std::make_unique<ModelPredictor>(std::move(experts), std::move(posterior), capacity, kept);
}

}  // namespace btm
