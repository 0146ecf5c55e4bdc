#include "btm/merge/yaml_text.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>

#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {
namespace {

using Kind = YamlValue::Kind;

/// The library takes what is not closed for a key.
constexpr const char* kNoWord =
    "a list or map where a key is expected, or a bracket that is not closed";

[[noreturn]] void refuse(const std::string& file, int line, const std::string& problem) {
  throw compat::FormatError({file, {}, {}}, compat::concat("line ", line, ": ", problem));
}

/// Builds the value from the parser's events.
class Builder : public YAML::EventHandler {
 public:
  Builder(const std::string& file, const YamlLimits& limits) : file_(file), limits_(limits) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    refuse(file_, mark.line + 1, "an alias ('*'), expected the value itself");
  }
  void OnAnchor(const YAML::Mark& mark, const std::string&) override {
    refuse(file_, mark.line + 1, "an anchor ('&'), expected a value without a name");
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { add({}, mark); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    refuse_tag(tag, mark);
    YamlValue word;
    word.kind = Kind::kWord;
    word.word = value;
    add(std::move(word), mark);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(Kind::kList, tag, mark);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    open(Kind::kMap, tag, mark);
  }
  void OnMapEnd() override { close(); }

  YamlValue take() { return std::move(root_); }

 private:
  /// A list or map that is not yet closed, and the key that waits for its value.
  struct Open {
    YamlValue value;
    bool has_key = false;
    std::string key;
  };

  void refuse_tag(const std::string& tag, const YAML::Mark& mark) const {
    if (!tag.empty() && tag != "?" && tag != "!")  // the last two: no quotes, and quotes
      refuse(file_, mark.line + 1,
             "the tag '" + compat::printable(tag) + "', expected a value without one");
  }
  void open(Kind kind, const std::string& tag, const YAML::Mark& mark) {
    refuse_tag(tag, mark);
    if (!open_.empty() && open_.back().value.kind == Kind::kMap && !open_.back().has_key)
      refuse(file_, mark.line + 1, kNoWord);
    if (open_.size() == limits_.depth)
      refuse(file_, mark.line + 1, compat::concat("nests deeper than ", limits_.depth, " levels"));
    Open& opened = open_.emplace_back();
    opened.value.kind = kind;
    opened.value.line = mark.line + 1;
  }
  void close() {
    YamlValue done = std::move(open_.back().value);
    open_.pop_back();
    place(std::move(done));
  }
  void add(YamlValue value, const YAML::Mark& mark) {
    value.line = mark.line + 1;
    if (!open_.empty() && open_.back().value.kind == Kind::kMap && !open_.back().has_key) {
      Open& map = open_.back();
      if (value.kind != Kind::kWord) refuse(file_, value.line, "a key that is empty");
      if (map.value.find(value.word) != nullptr)
        refuse(file_, value.line,
               "the key '" + compat::printable(value.word) + "' for the second time");
      map.has_key = true;
      map.key = std::move(value.word);
      return;
    }
    place(std::move(value));
  }
  void place(YamlValue value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return;
    }
    Open& inside = open_.back();
    if (inside.value.kind == Kind::kList) {
      inside.value.items.push_back(std::move(value));
    } else {
      inside.value.entries.push_back({std::move(inside.key), std::move(value)});
      inside.has_key = false;
    }
  }

  const std::string& file_;
  const YamlLimits& limits_;
  std::vector<Open> open_;
  YamlValue root_;
};

/// FormatError for a text that no YAML file has: the library takes some of these bytes for its own.
void check_characters(std::string_view text, const std::string& file) {
  const auto line_at = [&](std::size_t at) {
    return 1 + static_cast<int>(std::ranges::count(text.substr(0, at), '\n'));
  };
  if (const std::size_t at = compat::first_invalid_utf8(text); at != std::string_view::npos)
    refuse(file, line_at(at), "a byte that is not UTF-8");
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto c = static_cast<unsigned char>(text[at]);
    if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F)
      refuse(file, line_at(at), "a control character");
  }
}

}  // namespace

const YamlValue* YamlValue::find(std::string_view key) const {
  const auto found = std::ranges::find(entries, key, &YamlEntry::key);
  return found == entries.end() ? nullptr : &found->value;
}

YamlValue parse_yaml(std::string_view text, const std::string& file, const YamlLimits& limits) {
  if (text.size() > limits.bytes)
    throw compat::FormatError(
        {file, {}, {}},
        compat::concat("is YAML of ", text.size(), " bytes, more than ", limits.bytes, " bytes"));
  check_characters(text, file);
  std::istringstream in{std::string(text)};
  Builder builder(file, limits);
  try {
    YAML::Parser parser(in);
    parser.HandleNextDocument(builder);
    Builder second(file, limits);
    YamlValue value = builder.take();
    if (parser.HandleNextDocument(second))
      throw compat::FormatError({file, {}, {}}, "goes on after the first document, expected one");
    return value;
  } catch (const YAML::Exception& error) {
    refuse(file, std::max(error.mark.line, 0) + 1,
           "is not YAML: " + compat::printable(error.msg, 200));
  }
}

}  // namespace btm
