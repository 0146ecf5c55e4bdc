#include "btm/model/weights.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <map>
#include <unordered_set>

#include "btm/model/tensor_bridge.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/checkpoint/foreign_model.h"

namespace btm {
namespace {

using compat::TensorView;
using StateDict = std::map<std::string, TensorView, std::less<>>;

constexpr std::string_view kEmbedTokens = "decoder.embed_tokens.weight";
constexpr std::string_view kOutputProjection = "decoder.output_projection.weight";

/// Rows [from, from + count) of a tensor of at least one dimension.
TensorView rows(const TensorView& view, std::int64_t from, std::int64_t count) {
  TensorView part = view;
  part.offset += from * view.stride[0];
  part.shape[0] = count;
  return part;
}

/// q, k and v of a projection that older versions kept as one tensor.
void split_in_proj(StateDict& state) {
  for (const char* const end : {"in_proj_weight", "in_proj_bias"}) {
    std::vector<std::string> fused;
    for (const auto& [name, view] : state)
      if (name.ends_with(end) && !view.shape.empty() && view.shape[0] % 3 == 0)
        fused.push_back(name);
    for (const std::string& name : fused) {
      const TensorView view = state.at(name);
      state.erase(name);
      const std::string prefix = name.substr(0, name.size() - std::string_view(end).size());
      const std::string suffix =
          std::string_view(end) == "in_proj_weight" ? "_proj.weight" : "_proj.bias";
      const std::int64_t third = view.shape[0] / 3;
      std::int64_t from = 0;
      for (const char* const part : {"q", "k", "v"}) {
        state.insert_or_assign(prefix + part + suffix, rows(view, from, third));
        from += third;
      }
    }
  }
}

/// decoder.layers.N.layer_norms.{0,2} of older versions.
void rename_layer_norms(StateDict& state) {
  std::vector<std::pair<std::string, std::string>> renames;
  for (const auto& [name, view] : state) {
    const std::size_t at = name.find(".layer_norms.");
    if (at == std::string::npos || at + 15 > name.size()) continue;
    const char number = name[at + 13];
    if (number == '0')
      renames.emplace_back(name,
                           name.substr(0, at) + ".self_attn_layer_norm" + name.substr(at + 14));
    if (number == '2')
      renames.emplace_back(name, name.substr(0, at) + ".final_layer_norm" + name.substr(at + 14));
  }
  for (const auto& [from, to] : renames) {
    auto node = state.extract(from);
    node.key() = to;
    state.insert(std::move(node));
  }
}

/// The checkpoint's format version; 1 when it has none, as fairseq assumes.
double version_of(const StateDict& state) {
  const auto found = state.find("decoder.version");
  if (found == state.end() || found->second.numel() != 1) return 1;
  return to_tensor(found->second, at::kDouble, at::kCPU).item<double>();
}

/// Upgrades an older state dict (fairseq's upgrade_state_dict_named) and drops entries that are no
/// parameters.
void upgrade(StateDict& state, TransformerLM& model) {
  split_in_proj(state);
  rename_layer_norms(state);
  if (!state.contains(kOutputProjection) && !model.config().share_decoder_input_output_embed) {
    if (auto node = state.extract("decoder.embed_out"); !node.empty()) {
      node.key() = kOutputProjection;
      state.insert(std::move(node));
    }
  }
  if (version_of(state) <= 2) {
    model.drop_final_norm();
    state.erase("decoder.layer_norm.weight");
    state.erase("decoder.layer_norm.bias");
  }
  state.erase("decoder.version");
  // The sinusoids are computed; their buffer is uninitialised memory.
  state.erase("decoder.embed_positions._float_tensor");
  if (!model.config().decoder_learned_pos) state.erase("decoder.embed_positions.weights");
  // fairseq's buffers without content.
  for (const char* const name :
       {"decoder.embed_tokens._float_tensor", "decoder.adaptive_softmax.head._float_tensor",
        "decoder.adaptive_softmax.version"})
    state.erase(name);
  // Loading a tied tensor overwrites the one that it is tied to.
  for (const auto& [name, original] : model.tied_names())
    if (auto node = state.extract(name); !node.empty())
      state.insert_or_assign(original, std::move(node.mapped()));
}

/// Collects names and prints only the first few.
class NameList {
 public:
  void add(const std::string& name) {
    ++count_;
    if (count_ <= 5) compat::append_item(text_, name);
  }
  bool empty() const { return count_ == 0; }
  std::string text() const {
    return count_ > 5 ? compat::concat(text_, " and ", count_ - 5, " more") : text_;
  }

 private:
  std::size_t count_ = 0;
  std::string text_;
};

void check_names_and_shapes(const TransformerLM& model, const StateDict& state,
                            const std::string& file) {
  NameList missing, unexpected, misshapen;
  std::unordered_set<std::string_view> expected;
  for (const NamedParameter& parameter : model.parameters()) {
    expected.insert(parameter.name);
    const auto found = state.find(parameter.name);
    if (found == state.end())
      missing.add(parameter.name);
    else if (found->second.shape != parameter.shape)
      misshapen.add(compat::concat(parameter.name, ' ', compat::shape_text(found->second.shape),
                                   " for ", compat::shape_text(parameter.shape)));
  }
  for (const auto& [name, view] : state)
    if (!expected.contains(name)) unexpected.add(compat::printable(name));
  std::string problem;
  const auto report = [&](const char* what, const NameList& names) {
    if (!names.empty()) compat::append_item(problem, compat::concat(what, ' ', names.text()), "; ");
  };
  const std::string form =
      missing.empty() ? "" : compat::foreign_form({state.begin(), state.end()});
  if (!form.empty()) throw compat::FormatError({file, "model", {}}, form);
  report("missing", missing);
  report("unexpected", unexpected);
  report("of another shape than cfg says", misshapen);
  if (!problem.empty())
    throw compat::FormatError({file, "model", {}},
                              "tensors do not fit the configuration: " + problem);
}

/// The words that have embeddings; 0 where the tensors do not tell.
std::int64_t words_of(const StateDict& state) {
  std::int64_t words = 0;
  for (const auto& [name, view] : state)
    if (!view.shape.empty() && (name == kEmbedTokens || is_adaptive_embedding(name)))
      words += view.shape[0];
  return words;
}

void check_dictionary(const StateDict& state, const compat::Dictionary& dictionary,
                      const compat::Checkpoint& checkpoint, const std::string& dictionary_file) {
  if (const std::int64_t words = words_of(state); words > 0 && words != dictionary.size())
    throw compat::FormatError(
        {dictionary_file, {}, {}},
        compat::concat("a dictionary of ", dictionary.size(), " symbols does not fit the model ",
                       compat::printable(checkpoint.path(), 4096), ", which has embeddings of ",
                       words,
                       checkpoint.config().get_bool("task", "add_domain_token", false)
                           ? "; it was trained with --add-domain-token, which eval-lm, "
                             "ensemble-eval and eval-matrix take"
                           : ""));
  compat::check_same_dictionary(compat::known_dictionary(dictionary, dictionary_file),
                                checkpoint.dictionary());
}

StateDict state_dict(const compat::NamedTensors& tensors, TransformerLM& model) {
  StateDict state;
  for (const auto& [name, view] : tensors) state.emplace(name, view);
  upgrade(state, model);
  return state;
}

/// Reads the tensors that stay where they are mapped, and compares their checksums, on all threads:
/// a thread takes the next one when it is done.
void verify_mapped(const StateDict& state, at::ScalarType kept) {
  std::vector<const compat::Storage*> storages;
  for (const auto& [name, view] : state)
    if (scalar_type(view.dtype()) == kept && view.storage->is_mapped())
      storages.push_back(view.storage.get());
  std::atomic<std::size_t> next = 0;
  at::parallel_for(0, at::get_num_threads(), 1, [&](std::int64_t, std::int64_t) {
    for (std::size_t i = next++; i < storages.size(); i = next++) storages[i]->bytes();
  });
}

void assign(TransformerLM& model, const StateDict& state, const std::string& file,
            const Precision& precision) {
  check_names_and_shapes(model, state, file);
  if (precision.device.is_cpu() && precision.rounding == precision.compute)
    verify_mapped(state, precision.compute);
  for (const NamedParameter& parameter : model.parameters()) {
    const TensorView& view = state.at(parameter.name);
    const at::ScalarType stored = scalar_type(view.dtype());
    if (!at::isFloatingType(stored))
      throw compat::FormatError({file, "model", {}},
                                parameter.name + " holds " +
                                    std::string(compat::dtype_name(view.dtype())) +
                                    ", expected floating point");
    const bool round = precision.rounding != precision.compute && stored != precision.rounding;
    const bool keep = precision.as_stored && precision.device.is_cpu() && !round &&
                      view.shape.size() == 2 && (stored == at::kHalf || stored == at::kBFloat16);
    at::ScalarType read_as = precision.compute;
    if (keep) read_as = stored;
    if (round) read_as = precision.rounding;
    at::Tensor tensor = to_tensor(view, read_as, precision.device);
    if (precision.copies && read_as == stored && view.storage->is_mapped() &&
        precision.products == Products::kFp32)
      tensor = tensor.clone();
    *parameter.tensor = round ? tensor.to(precision.compute) : tensor;
  }
}

/// The model of a checkpoint. `state` receives its upgraded tensors.
std::unique_ptr<TransformerLM> outline(const compat::Checkpoint& checkpoint,
                                       const compat::Dictionary& dictionary,
                                       const std::string& dictionary_file, StateDict& state) {
  const TransformerConfig config = TransformerConfig::from(checkpoint.config());
  // Before the model, whose bands must fit the dictionary.
  check_dictionary({checkpoint.model().begin(), checkpoint.model().end()}, dictionary, checkpoint,
                   dictionary_file);
  auto model = std::make_unique<TransformerLM>(config, dictionary.size());
  state = state_dict(checkpoint.model(), *model);
  return model;
}

}  // namespace

std::unique_ptr<TransformerLM> outline_model(const compat::Checkpoint& checkpoint,
                                             const compat::Dictionary& dictionary,
                                             const std::string& dictionary_file) {
  StateDict state;
  auto model = outline(checkpoint, dictionary, dictionary_file, state);
  check_names_and_shapes(*model, state, checkpoint.path());
  return model;
}

std::unique_ptr<TransformerLM> load_model(const compat::Checkpoint& checkpoint,
                                          const compat::Dictionary& dictionary,
                                          const std::string& dictionary_file,
                                          const Precision& precision) {
  StateDict state;
  auto model = outline(checkpoint, dictionary, dictionary_file, state);
  assign(*model, state, checkpoint.path(), precision);
  if (precision.products != Products::kFp32) model->pack(precision.products);
  return model;
}

void check_weights(TransformerLM& model, const compat::NamedTensors& tensors,
                   const std::string& file) {
  check_names_and_shapes(model, state_dict(tensors, model), file);
}

void load_weights(TransformerLM& model, const compat::NamedTensors& tensors,
                  const std::string& file, const Precision& precision) {
  assign(model, state_dict(tensors, model), file, precision);
}

}  // namespace btm
