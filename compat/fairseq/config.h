// One plain view over fairseq's ways to keep a configuration: nested dict, omegaconf DictConfig,
// argparse Namespace.
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
/// order. Enums are their value, paths their text; anything else is kept as text "<module.Class>".
struct ConfigValue {
  using List = std::vector<ConfigValue>;
  using Dict = std::vector<std::pair<std::string, ConfigValue>>;
  /// (Without an initializer clang 14 looks into the alternatives before this class is complete.)
  std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Dict> value{};

  bool is_none() const noexcept { return std::holds_alternative<std::monostate>(value); }
  const ConfigValue* find(
      std::string_view key) const noexcept;  ///< Null unless a dict holding `key`.
  std::string to_text() const;               ///< As Python's repr.
};

class Config {
 public:
  /// From a checkpoint's `cfg` and `args` (either may be null or None; cfg wins). omegaconf's
  /// interpolations (`${a.b}`, relative ones too) are resolved, missing values ('???') are absent.
  /// `file` is for messages. FormatError on a cycle of interpolations or a value that is not a
  /// configuration.
  static Config from_checkpoint(const PickleNode* cfg, const PickleNode* args,
                                const std::string& file);

  /// Of a plain tree (tests, new checkpoints).
  explicit Config(ConfigValue root, std::string file = {});

  /// The value of `section.key`; for a flat Namespace, of `key`. Null when absent or None.
  const ConfigValue* find(std::string_view section, std::string_view key) const noexcept;

  // Typed lookups. A fallback is returned when the key is absent or None; a value of another type
  // is a FormatError that names the file, the key, what was found and what was expected. Ints are
  // accepted as floats, 0/1 as bools.
  std::int64_t get_int(std::string_view section, std::string_view key, std::int64_t fallback) const;
  double get_float(std::string_view section, std::string_view key, double fallback) const;
  bool get_bool(std::string_view section, std::string_view key, bool fallback) const;
  std::string get_string(std::string_view section, std::string_view key,
                         std::string_view fallback) const;

  /// fairseq's --model-overrides: every key of the dict `overrides` replaces the values of that
  /// name in all sections that have one (a dict value replaces keys of the section of that name); a
  /// flat Namespace takes them all. UsageError for `overrides` that is not a dict.
  void override_with(const ConfigValue& overrides);

  bool is_flat() const noexcept { return flat_; }  ///< args Namespace: no sections.
  const ConfigValue& root() const noexcept { return root_; }
  const std::string& file() const noexcept { return file_; }

 private:
  ConfigValue root_;
  std::string file_;
  bool flat_ = false;
};

/// fairseq's --model-overrides and list flags: a Python literal (dict, list, tuple, str, int,
/// float, bool, None) parsed as ast.literal_eval does. UsageError with the column on anything else.
ConfigValue parse_python_literal(std::string_view text);

}  // namespace compat
