#include "btm/serve/server_metrics.h"

#include <algorithm>

#include "compat/base/concat.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

/// A label's value: quotes, backslashes and line ends are escaped.
std::string label(const std::string& value) {
  std::string text;
  for (const char c : value) {
    if (c == '"' || c == '\\') text += '\\';
    if (c == '\n')
      text += "\\n";
    else
      text += c;
  }
  return text;
}

/// One family of metrics.
class Family {
 public:
  Family(std::string& text, std::string name, const std::string& type, const std::string& help)
      : text_(text), name_(std::move(name)) {
    compat::append(text_, "# HELP ", name_, ' ', help, "\n# TYPE ", name_, ' ', type, '\n');
  }
  Family& add(const std::string& labels, double value) {
    compat::append(text_, name_, labels.empty() ? "" : "{" + labels + "}", ' ',
                   compat::shortest(value), '\n');
    return *this;
  }

 private:
  std::string& text_;
  std::string name_;
};

void add_counter(std::string& text, const std::string& name, const std::string& help,
                 std::int64_t value) {
  Family(text, name, "counter", help).add("", static_cast<double>(value));
}

void add_gauge(std::string& text, const std::string& name, const std::string& help, double value) {
  Family(text, name, "gauge", help).add("", value);
}

}  // namespace

ServerMetrics::ServerMetrics(std::vector<std::string> experts)
    : experts_(std::move(experts)), share_(experts_.size(), 0.0) {}

void ServerMetrics::add_answer(int status, double seconds) {
  ++answers_[status];
  const auto bound = std::ranges::lower_bound(kBounds, seconds);
  ++seconds_[static_cast<std::size_t>(bound - kBounds.begin())];
  all_seconds_ += seconds;
}

void ServerMetrics::add_share(std::span<const double> share) {
  for (std::size_t e = 0; e < std::min(share.size(), share_.size()); ++e) share_[e] += share[e];
}

std::string ServerMetrics::text(const EngineState& engine, std::size_t connections) const {
  std::string text;
  Family answers(text, "btm_requests_total", "counter", "Answers by their HTTP status.");
  std::int64_t all = 0;
  for (const auto& [status, count] : answers_) {
    answers.add(compat::concat("status=\"", status, '"'), static_cast<double>(count));
    all += count;
  }
  add_counter(text, "btm_requests_cancelled_total", "Requests whose clients left.", cancelled_);
  Family seconds(text, "btm_request_seconds", "histogram", "Time of an answer.");
  std::int64_t below = 0;
  for (std::size_t i = 0; i < kBounds.size(); ++i) {
    below += seconds_[i];
    compat::append(text, "btm_request_seconds_bucket{le=\"", compat::shortest(kBounds[i]), "\"} ",
                   below, '\n');
  }
  compat::append(text, "btm_request_seconds_bucket{le=\"+Inf\"} ", all,
                 "\nbtm_request_seconds_sum ", compat::shortest(all_seconds_),
                 "\nbtm_request_seconds_count ", all, '\n');
  add_counter(text, "btm_prompt_tokens_total", "Tokens of prompts.", prompt_tokens_);
  add_counter(text, "btm_written_tokens_total", "Tokens that were written.", written_tokens_);
  add_counter(text, "btm_read_tokens_total", "Tokens of prompts that models have read.",
              engine.counts.prompt_tokens);
  add_counter(text, "btm_reused_tokens_total", "Tokens of prompts that earlier prompts had read.",
              engine.counts.reused_tokens);
  add_counter(text, "btm_steps_total", "Steps of the batch.", engine.counts.steps);
  add_gauge(text, "btm_jobs", "Requests that wait or run.", static_cast<double>(engine.jobs));
  add_gauge(text, "btm_texts_waiting", "Prompts that wait.", static_cast<double>(engine.waiting));
  add_gauge(text, "btm_texts_running", "Prompts in the batch.", static_cast<double>(engine.joined));
  add_gauge(text, "btm_free_tokens", "Tokens for whose keys and values there is room.",
            static_cast<double>(engine.free_tokens));
  add_gauge(text, "btm_connections", "Open connections.", static_cast<double>(connections));
  if (experts_.size() < 2) return text;
  Family share(text, "btm_expert_weight_total", "counter",
               "The weight of an expert, summed over written tokens.");
  for (std::size_t e = 0; e < experts_.size(); ++e)
    share.add("expert=\"" + label(experts_[e]) + '"', share_[e]);
  return text;
}

}  // namespace btm
