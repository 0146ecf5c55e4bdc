#include "btm/generate/stop_strings.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace btm {

StopStrings::StopStrings(std::vector<std::string> stops)
    : stops_(std::make_shared<const std::vector<std::string>>(std::move(stops))) {
  for (const std::string& stop : *stops_)
    if (stop.empty()) throw std::invalid_argument("a stop string: expected one character or more");
}

std::string StopStrings::add(std::string_view text) {
  if (stopped_) return {};
  held_ += text;
  std::size_t end = std::string::npos;
  for (const std::string& stop : *stops_) end = std::min(end, held_.find(stop));
  if (end != std::string::npos) {
    stopped_ = true;
    held_.resize(end);
    return std::exchange(held_, {});
  }
  std::size_t keep = 0;  // bytes at the end that begin a stop string
  for (const std::string& stop : *stops_)
    for (std::size_t size = std::min(stop.size() - 1, held_.size()); size > keep; --size)
      if (held_.ends_with(std::string_view(stop).substr(0, size))) keep = size;
  std::string shown = held_.substr(0, held_.size() - keep);
  held_.erase(0, shown.size());
  return shown;
}

std::size_t StopStrings::bytes() const {
  std::size_t all = 0;
  for (const std::string& stop : *stops_) all += stop.size();
  return all;
}

std::string StopStrings::rest() { return std::exchange(held_, {}); }

}  // namespace btm
