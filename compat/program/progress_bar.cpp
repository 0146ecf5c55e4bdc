#include "compat/program/progress_bar.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "compat/base/concat.h"
#include "compat/base/numbers.h"
#include "compat/io/json_line.h"
#include "compat/program/console.h"

namespace compat {
namespace {

constexpr std::chrono::milliseconds kRedraw{100};

std::string clock_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds);
  const std::string end = concat(zero_filled(whole / 60 % 60, 2), ':', zero_filled(whole % 60, 2));
  return whole >= 3600 ? concat(whole / 3600, ':', end) : end;
}

}  // namespace

ProgressBar::ProgressBar(std::string prefix, std::string format, std::int64_t log_interval,
                         bool no_progress_bar, std::function<void(const std::string&)> line)
    : prefix_(std::move(prefix)),
      log_interval_(std::max<std::int64_t>(1, log_interval)),
      line_(std::move(line)),
      start_(std::chrono::steady_clock::now()) {
  if (format.empty()) format = no_progress_bar ? "simple" : "tqdm";
  if (format == "tqdm" && !can_redraw_lines()) format = "simple";
  mode_ = format == "tqdm"     ? Mode::kBar
          : format == "simple" ? Mode::kSimple
          : format == "json"   ? Mode::kJson
                               : Mode::kNone;
}

ProgressBar::~ProgressBar() { clear(); }

void ProgressBar::clear() {
  if (visible_) erase_terminal_line();
  visible_ = false;
}

void ProgressBar::update(std::int64_t done, std::int64_t total, const std::function<Stats()>& stats,
                         std::optional<double> share) {
  if (mode_ == Mode::kNone) return;
  const auto part_of = [&](std::int64_t steps) {
    return total > 0 ? static_cast<double>(steps) / static_cast<double>(total) : 1;
  };
  if (!begun_) begun_ = share.value_or(part_of(std::max<std::int64_t>(0, done - 1)));
  if (mode_ == Mode::kBar) {
    const auto now = std::chrono::steady_clock::now();
    if (now - drawn_ < kRedraw && done != total) return;
    drawn_ = now;
    draw(done, total, share.value_or(part_of(done)), stats());
    return;
  }
  if (done % log_interval_ != 0) return;
  std::string text;
  if (mode_ == Mode::kSimple) {
    text = concat(prefix_, ": ", done, " / ", total);
    for (const auto& [name, value] : stats())
      text += (text.ends_with(concat("/ ", total)) ? " " : ", ") + name + "=" + value;
  } else {
    nlohmann::ordered_json row{{"done", done}, {"total", total}};
    for (const auto& [name, value] : stats()) row[name] = value;
    text = json_line(row);
  }
  line_(text);
}

void ProgressBar::draw(std::int64_t done, std::int64_t total, double share, const Stats& stats) {
  const double elapsed =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  constexpr double kLeastGain = 0.001;  // less says nothing of the time that is left
  const double gained = share - *begun_;
  const std::string left =
      gained >= kLeastGain ? clock_text(elapsed * (1 - share) / gained) : std::string("?");
  std::string tail = concat(' ', right_aligned(decimal(share * 100, 0), 3), "% ", done, '/', total,
                            " [", clock_text(elapsed), '<', left, ']');
  for (const auto& [name, value] : stats) append(tail, ' ', name, '=', value);
  const std::size_t width = terminal_width();
  const std::size_t room = prefix_.size() + tail.size() + 8 < width
                               ? std::min<std::size_t>(30, width - prefix_.size() - tail.size() - 4)
                               : 0;
  std::string text = prefix_;
  if (room > 0) {
    const auto filled =
        static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(room));
    text += " |" + std::string(filled, '#') + std::string(room - filled, ' ') + "|";
  }
  text += tail;
  redraw_terminal_line(text);
  visible_ = true;
}

}  // namespace compat
