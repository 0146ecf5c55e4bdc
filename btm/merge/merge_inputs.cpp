#include "btm/merge/merge_inputs.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "btm/merge/tensor_stack.h"
#include "btm/model/config.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/checkpoint/named_models.h"
#include "compat/fairseq/network_settings.h"
#include "compat/torch/finite.h"

namespace btm {
namespace {

using compat::Checkpoint;
using compat::printable;

constexpr std::string_view kEmbedding = "decoder.embed_tokens.weight",
                           kOutputProjection = "decoder.output_projection.weight";

/// Differences between two models. The message lists the first few.
class Differences {
 public:
  void add(const std::string& text) {
    constexpr std::size_t kShown = 12;
    if (++count_ <= kShown) compat::append_item(text_, text, "; ");
  }
  void throw_if_any(const Checkpoint& first, const Checkpoint& other) const {
    if (count_ == 0) return;
    const std::string more = count_ > 12 ? compat::concat("; and ", count_ - 12, " more") : "";
    throw compat::FormatError(
        {other.path(), {}, {}},
        "does not fit " + printable(first.path(), 4096) + ": " + text_ + more);
  }

 private:
  std::string text_;
  std::size_t count_ = 0;
};

void compare_tensors(const Checkpoint& first, const Checkpoint& other, Differences& differences) {
  for (const auto& [name, view] : first.model()) {
    const compat::TensorView* const found = find_tensor(other, name);
    if (found == nullptr)
      differences.add("has no " + printable(name));
    else if (found->shape != view.shape)
      differences.add(printable(name) + " is " + compat::shape_text(found->shape) + ", expected " +
                      compat::shape_text(view.shape));
    else if (is_floating(found->dtype()) != is_floating(view.dtype()))
      differences.add(printable(name) + " is " + std::string(dtype_name(found->dtype())) +
                      ", expected " + std::string(dtype_name(view.dtype())));
  }
  for (const auto& [name, view] : other.model())
    if (find_tensor(first, name) == nullptr) differences.add("has " + printable(name) + " too");
}

using Settings = std::vector<std::pair<std::string_view, std::string>>;

/// The settings of the network, with the architecture's defaults. Nothing for an unknown network,
/// whose weights can still be merged.
std::optional<Settings> known_settings(const Checkpoint& model) {
  try {
    return settings_outside_weights(TransformerConfig::from(model.config()));
  } catch (const compat::UnsupportedError&) {
  } catch (const compat::FormatError&) {
  }
  return std::nullopt;
}

/// The same from cfg.model; "" where it has no value.
Settings written_settings(const Checkpoint& model) {
  Settings settings;
  for (const std::string_view key : compat::kSettingsOutsideWeights) {
    const compat::ConfigValue* const value = model.config().find("model", key);
    settings.emplace_back(key, value == nullptr ? "" : value->to_text());
  }
  return settings;
}

void compare_configuration(const Checkpoint& first, const Checkpoint& other,
                           Differences& differences) {
  std::optional<Settings> ours = known_settings(first), theirs = known_settings(other);
  if (!ours || !theirs) ours = written_settings(first), theirs = written_settings(other);
  for (std::size_t i = 0; i < ours->size(); ++i) {
    const auto& [key, our_text] = (*ours)[i];
    const std::string& their_text = (*theirs)[i].second;
    if (!our_text.empty() && !their_text.empty() && our_text != their_text)
      differences.add(std::string(key) + " is " + printable(their_text) + ", expected " +
                      printable(our_text));
  }
  const auto beyond = [](const Checkpoint& model) {
    const std::string settings = compat::unsupported_settings(model.config(), "relu");
    return settings.empty() ? "none" : settings;
  };
  if (const std::string found = beyond(other), expected = beyond(first); found != expected)
    differences.add("its settings beyond a plain decoder: " + found + ", expected " + expected);
}

/// A model's dictionary. fairseq's checkpoints keep no digest; for them, that of the data that cfg
/// names, if it still exists.
compat::KnownDictionary dictionary_of(const Checkpoint& checkpoint) {
  compat::KnownDictionary known = checkpoint.dictionary();
  std::error_code ignored;
  if (known.sha256.empty() && std::filesystem::is_regular_file(known.dict_txt, ignored))
    known.sha256 = compat::known_dictionary(known.dict_txt).sha256;
  return known;
}

void compare_ties(const Checkpoint& first, const Checkpoint& other, Differences& differences) {
  const std::vector<std::size_t> originals = first_of_tied(first.model());
  std::vector<std::byte> scratch, original_scratch;
  for (std::size_t i = 0; i < originals.size(); ++i) {
    if (originals[i] == i) continue;
    const std::string &name = first.model()[i].first, &original = first.model()[originals[i]].first;
    const compat::TensorView *const view = find_tensor(other, name), *const original_view =
                                                                         find_tensor(other,
                                                                                     original);
    if (view == nullptr || original_view == nullptr || view->storage == original_view->storage)
      continue;
    if (!std::ranges::equal(view->contiguous_bytes(scratch),
                            original_view->contiguous_bytes(original_scratch)))
      differences.add(printable(name) + " and " + printable(original) +
                      " differ, expected one tensor");
  }
}

/// Where the first model omits its tied output projection, those of the others are their
/// embeddings.
void compare_left_out_output(const Checkpoint& first, const Checkpoint& other,
                             Differences& differences) {
  const compat::TensorView *const output = other.find(kOutputProjection), *const embedding =
                                                                              other.find(
                                                                                  kEmbedding);
  if (first.find(kOutputProjection) != nullptr || output == nullptr || embedding == nullptr ||
      output->storage == embedding->storage)
    return;
  std::vector<std::byte> scratch, embedding_scratch;
  if (!std::ranges::equal(output->contiguous_bytes(scratch),
                          embedding->contiguous_bytes(embedding_scratch)))
    differences.add(std::string(kOutputProjection) + " and " + std::string(kEmbedding) +
                    " differ, expected one tensor");
}

}  // namespace

const compat::TensorView* find_tensor(const Checkpoint& model, std::string_view name) {
  if (const compat::TensorView* const found = model.find(name);
      found != nullptr || name != kOutputProjection)
    return found;
  return is_tied(model) ? model.find(kEmbedding) : nullptr;
}

bool is_tied(const Checkpoint& model) {
  return model.config().get_bool("model", "share_decoder_input_output_embed", false);
}

std::vector<Checkpoint> open_models(std::span<const std::filesystem::path> files) {
  std::vector<Checkpoint> models;
  for (const std::filesystem::path& file : files)
    models.push_back(Checkpoint::open(compat::resolve_model(file).path));
  return models;
}

void refuse_input_as_output(const std::filesystem::path& output,
                            std::span<const Checkpoint> models) {
  std::error_code ignored;
  for (const Checkpoint& model : models)
    for (const std::string& file : model.files())
      if (std::filesystem::equivalent(file, output, ignored))
        throw compat::UsageError("the output " + printable(output.string(), 4096) +
                                 " is one of the models");
}

void check_alike(std::span<const Checkpoint> models) {
  const Checkpoint& first = models.front();
  compat::KnownDictionary known = dictionary_of(first);
  for (const Checkpoint& other : models.subspan(1)) {
    const compat::KnownDictionary theirs = dictionary_of(other);
    compat::check_same_dictionary(theirs, known);
    if (known.sha256.empty()) known = theirs;
    Differences differences;
    compare_tensors(first, other, differences);
    compare_configuration(first, other, differences);
    compare_ties(first, other, differences);
    compare_left_out_output(first, other, differences);
    differences.throw_if_any(first, other);
  }
}

bool is_merged(const std::string& name, const compat::TensorView& view) noexcept {
  const bool version = name == "version" || name.ends_with(".version");
  return is_floating(view.dtype()) && !version && !compat::is_unset_buffer(name);
}

std::vector<std::size_t> first_of_tied(const compat::NamedTensors& model) {
  std::map<std::tuple<const compat::Storage*, std::int64_t, std::vector<std::int64_t>,
                      std::vector<std::int64_t>>,
           std::size_t>
      seen;
  std::vector<std::size_t> originals;
  for (std::size_t i = 0; i < model.size(); ++i) {
    const compat::TensorView& view = model[i].second;
    originals.push_back(
        seen.try_emplace({view.storage.get(), view.offset, view.shape, view.stride}, i)
            .first->second);
  }
  return originals;
}

}  // namespace btm
