#include "btm/cli/score_input.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/io/json_text.h"

namespace btm {
namespace {

constexpr std::string_view kBar = " ||| ";

/// A sentence in the place of a file is an error that says where it belongs.
void check_is_file(const std::string& file) {
  std::error_code unknown;
  if (file.find(' ') == std::string::npos || std::filesystem::exists(file, unknown)) return;
  throw compat::UsageError("no file '" + compat::printable(file, 200) +
                           "'; a text itself comes after --text, or from standard input (echo "
                           "'TEXT' | ...)");
}

}  // namespace

ScoreInput::ScoreInput(ScoreInputOptions options) : options_(std::move(options)) {
  if (!options_.context_field.empty() && options_.field.empty()) options_.field = "text";
  const int forms =
      (options_.documents ? 1 : 0) + (options_.nbest ? 1 : 0) + (options_.field.empty() ? 0 : 1);
  if (!options_.texts.empty()) {
    if (forms > 0 || !options_.files.empty())
      throw compat::UsageError("--text excludes FILE, --documents, --nbest and --field");
    return;
  }
  if (forms > 1) throw compat::UsageError("--documents, --nbest and --field exclude each other");
  if (options_.files.empty()) options_.files = {"-"};
  for (const std::string& file : options_.files) {
    check_is_file(file);
    compat::LineSource::open(file);
  }
}

std::string ScoreInput::where(std::size_t line) const {
  const bool named = options_.files.size() > 1 || options_.files.front() != "-";
  return compat::concat(named ? compat::printable(source_->name(), 4096) + " " : std::string(),
                        "line ", line);
}

ScoreInput::State ScoreInput::next_line(std::string& line, bool wait) {
  for (;;) {
    if (source_) {
      const State state = source_->next(line, wait);
      if (state == State::kLine) ++line_;
      if (state != State::kEnd) return state;
    }
    if (file_ == options_.files.size() || begin_ > 0) return State::kEnd;
    source_ = compat::LineSource::open(options_.files[file_++]);
    line_ = 0;
  }
}

ScoreInput::State ScoreInput::next_document(ScoreItem& item, bool wait) {
  std::string line;
  for (;;) {
    const State state = next_line(line, wait);
    if (state == State::kNotYet) return state;
    const bool blank = state == State::kEnd || compat::strip(line).empty();
    if (blank && begin_ > 0) {
      begin_ = 0;
      item.where = document_from_;
      item.text = std::exchange(document_, {});
      return State::kLine;
    }
    if (state == State::kEnd) return state;
    if (blank) continue;
    if (begin_ == 0) begin_ = line_, document_from_ = where(line_);
    document_ += (document_.empty() ? "" : "\n") + line;
  }
}

ScoreInput::State ScoreInput::next(ScoreItem& item, bool wait) {
  item = {};
  if (!options_.texts.empty()) {
    if (file_ == options_.texts.size()) return State::kEnd;
    item.text = options_.texts[file_++];
    item.where = compat::concat("text ", file_);
    return State::kLine;
  }
  if (options_.documents) return next_document(item, wait);
  for (;;) {
    const State state = next_line(item.text, wait);
    if (state != State::kLine) return state;
    item.where = where(line_);
    if (!options_.field.empty()) {
      if (compat::strip(item.text).empty()) continue;
      read_json(item);
    } else if (options_.nbest) {
      read_nbest(item);
    }
    return state;
  }
}

void ScoreInput::read_json(ScoreItem& item) const {
  const nlohmann::json json = compat::parse_json(item.text);
  if (!json.is_object()) {
    item.error = "is no JSON object";
    return;
  }
  const auto take = [&](const std::string& key, std::string& to) {
    const auto found = json.find(key);
    if (found != json.end() && found->is_string())
      to = found->get<std::string>();
    else
      item.error = "has no string '" + compat::printable(key) + "'";
  };
  take(options_.field, item.text);
  if (item.error.empty() && !options_.context_field.empty())
    take(options_.context_field, item.context);
}

void ScoreInput::read_nbest(ScoreItem& item) {
  const std::size_t bar = item.text.find(kBar);
  if (bar == std::string::npos) {
    item.error = "is not ID ||| TEXT";
    return;
  }
  item.id = std::string(compat::strip(item.text.substr(0, bar)));
  item.text.erase(0, bar + kBar.size());
  item.text.erase(std::min(item.text.find(kBar), item.text.size()));
}

}  // namespace btm
