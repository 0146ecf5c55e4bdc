// One view of the three forms in which fairseq stores a configuration: nested dict, omegaconf
// DictConfig, argparse Namespace.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "compat/torch/pickle_value.h"

namespace compat {

/// A configuration value: None, bool, int, float, str, list, or a dict with string keys in file
/// order. An enum becomes its value and a path its text. Any other object becomes the text
/// "<module.Class>".
struct ConfigValue {
  using List = std::vector<ConfigValue>;
  using Dict = std::vector<std::pair<std::string, ConfigValue>>;
  /// (Without an initializer clang 14 looks into the alternatives before this class is complete.)
  std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Dict> value{};

  bool is_none() const noexcept { return std::holds_alternative<std::monostate>(value); }
  const ConfigValue* find(
      std::string_view key) const noexcept;  ///< Null when this is no dict or `key` is absent.
  std::string to_text() const;               ///< As Python's repr.
};

class Config {
 public:
  /// Reads a checkpoint's `cfg` or, without one, its `args`. Either may be null or None.
  /// omegaconf's interpolations (`${a.b}`, also relative ones) are resolved, and missing values
  /// ('???') become absent. `file` is for messages. FormatError for a cycle of interpolations, or
  /// when the value is no configuration.
  static Config from_checkpoint(const PickleNode* cfg, const PickleNode* args,
                                const std::string& file);

  /// A configuration with this tree, for new checkpoints and tests.
  explicit Config(ConfigValue root, std::string file = {});

  /// The value of `section.key`, or of `key` in a flat Namespace. Null when it is absent or None.
  const ConfigValue* find(std::string_view section, std::string_view key) const noexcept;

  // Lookups with a type. They return `fallback` when the key is absent or None. A value of another
  // type is a FormatError that names the file, the key, what was found and what was expected. An
  // int is accepted as a float, and 0 or 1 as a bool.
  std::int64_t get_int(std::string_view section, std::string_view key, std::int64_t fallback) const;
  double get_float(std::string_view section, std::string_view key, double fallback) const;
  bool get_bool(std::string_view section, std::string_view key, bool fallback) const;
  std::string get_string(std::string_view section, std::string_view key,
                         std::string_view fallback) const;

  /// fairseq's --model-overrides. Each key of the dict `overrides` replaces the value of that key
  /// in every section that has it. A dict value instead replaces keys of the section of that name.
  /// A flat Namespace takes all keys. UsageError when `overrides` is no dict.
  void override_with(const ConfigValue& overrides);

  bool is_flat() const noexcept {
    return flat_;
  }  ///< From an args Namespace, which has no sections.
  const ConfigValue& root() const noexcept { return root_; }
  const std::string& file() const noexcept { return file_; }

 private:
  ConfigValue root_;
  std::string file_;
  bool flat_ = false;
};

/// Parses a Python literal (dict, list, tuple, str, int, float, bool, None) as ast.literal_eval
/// does. For fairseq's --model-overrides and list flags. UsageError with the column for other text.
ConfigValue parse_python_literal(std::string_view text);

}  // namespace compat
