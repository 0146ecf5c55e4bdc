// mergekit's configuration of a merge, as its command mergekit-pytorch reads it (version 0.1.5). It
// is read without LibTorch, because it is fuzzed. README.md here has the keys.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace btm {

/// A parameter's value. It may depend on the tensor.
class MergeParameter {
 public:
  /// Values for tensors with `filter` in their names; for all when it is empty. Several values are
  /// a gradient from the first layer to the last.
  struct Part {
    std::string filter;
    std::vector<double> values;  ///< Truths are 0 and 1.
    int line = 1;
  };
  MergeParameter(std::vector<Part> parts, bool is_truth)
      : parts_(std::move(parts)), is_truth_(is_truth) {}

  /// The value of a tensor; `depth` goes from 0 in the first layer to 1 in the last. The first part
  /// whose filter fits counts. A gradient gives the value between its neighbours, of truths the
  /// earlier one. None where no part fits, or where it has no values.
  std::optional<double> at(std::string_view tensor, double depth) const;
  const std::vector<Part>& parts() const noexcept { return parts_; }

 private:
  std::vector<Part> parts_;
  bool is_truth_;
};

using MergeParameters = std::map<std::string, MergeParameter, std::less<>>;

struct MergeConfig {
  struct Model {
    std::string path;
    MergeParameters parameters;
  };
  std::string method;          ///< mergekit's name, one of config_methods().
  std::vector<Model> models;   ///< At least one; each path once.
  std::string base_model;      ///< "": none.
  MergeParameters parameters;  ///< Of the whole merge, and of models that do not have them.
  std::string dtype;           ///< Of the output, "float32", "float16" or "bfloat16"; "": none.

  /// The value of a parameter of the whole merge.
  std::optional<double> of_all(std::string_view name, std::string_view tensor, double depth) const;
  /// The value of a model's parameter: its own, or that of the whole merge.
  std::optional<double> of_model(const Model& model, std::string_view name, std::string_view tensor,
                                 double depth) const;
};

/// The methods that a configuration may name.
std::vector<std::string_view> config_methods();

/// FormatError, with the line, for what parse_yaml refuses, for keys and parameters that are
/// missing, unknown or not supported (by name), and for values out of range. `file` is named in
/// errors.
MergeConfig read_merge_config(std::string_view text, const std::string& file);

}  // namespace btm
