#include "btm/merge/merge_inputs.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "btm/merge/tensor_stack.h"
#include "compat/error.h"
#include "compat/mapped_file.h"

namespace btm {
namespace {

using compat::Checkpoint;
using compat::printable;

/// Differences between two models, of which the first few are told.
class Differences {
 public:
  void add(std::string text) {
    constexpr std::size_t kShown = 12;
    if (++count_ <= kShown) text_ += (text_.empty() ? "" : "; ") + std::move(text);
  }
  void throw_if_any(const Checkpoint& first, const Checkpoint& other) const {
    if (count_ == 0) return;
    const std::string more = count_ > 12 ? "; and " + std::to_string(count_ - 12) + " more" : "";
    throw compat::FormatError({other.path(), {}, {}}, "does not fit " + printable(first.path(), 4096) + ": " + text_ + more);
  }

 private:
  std::string text_;
  std::size_t count_ = 0;
};

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

void compare_tensors(const Checkpoint& first, const Checkpoint& other, Differences& differences) {
  for (const auto& [name, view] : first.model()) {
    const compat::TensorView* const found = other.find(name);
    if (found == nullptr)
      differences.add("has no " + printable(name));
    else if (found->shape != view.shape)
      differences.add(printable(name) + " is " + shape_text(found->shape) + ", expected " + shape_text(view.shape));
    else if (is_floating(found->dtype()) != is_floating(view.dtype()))
      differences.add(printable(name) + " is " + std::string(dtype_name(found->dtype())) + ", expected " + std::string(dtype_name(view.dtype())));
  }
  for (const auto& [name, view] : other.model())
    if (first.find(name) == nullptr) differences.add("has " + printable(name) + " too");
}

/// cfg.model's keys that change what the same tensors compute.
constexpr std::array<std::string_view, 8> kMeaning{
    "activation_fn",     "decoder_attention_heads", "decoder_normalize_before", "no_decoder_final_norm",
    "decoder_learned_pos", "no_scale_embedding",      "layernorm_embedding",      "no_token_positional_embeddings"};

void compare_configuration(const Checkpoint& first, const Checkpoint& other, Differences& differences) {
  for (const std::string_view key : kMeaning) {
    const compat::ConfigValue *const ours = first.config().find("model", key), *const theirs = other.config().find("model", key);
    if (ours == nullptr || theirs == nullptr || ours->to_text() == theirs->to_text()) continue;
    differences.add(std::string(key) + " is " + printable(theirs->to_text()) + ", expected " + printable(ours->to_text()));
  }
}

/// The dict.txt that a model's cfg leads to, if it is still there; empty otherwise.
std::filesystem::path dictionary_of(const Checkpoint& checkpoint) {
  const compat::ConfigValue* const data = checkpoint.config().find("task", "data");
  const auto* text = data == nullptr ? nullptr : std::get_if<std::string>(&data->value);
  if (text == nullptr || text->size() > 4096) return {};
  std::filesystem::path path = std::filesystem::path(text->substr(0, text->find(':'))) / "dict.txt";
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored) ? path : std::filesystem::path{};
}

void compare_dictionaries(const Checkpoint& first, const Checkpoint& other, Differences& differences) {
  const auto ours = dictionary_of(first), theirs = dictionary_of(other);
  if (ours.empty() || theirs.empty() || ours == theirs) return;
  const auto our_file = compat::MappedFile::open(ours), their_file = compat::MappedFile::open(theirs);
  if (!std::ranges::equal(our_file->bytes(), their_file->bytes()))
    differences.add("was trained with the dictionary " + printable(theirs.string(), 4096) + ", which differs from " +
                    printable(ours.string(), 4096));
}

void compare_ties(const Checkpoint& first, const Checkpoint& other, Differences& differences) {
  const std::vector<std::size_t> originals = first_of_tied(first.model());
  std::vector<std::byte> scratch, original_scratch;
  for (std::size_t i = 0; i < originals.size(); ++i) {
    if (originals[i] == i) continue;
    const std::string &name = first.model()[i].first, &original = first.model()[originals[i]].first;
    const compat::TensorView *const view = other.find(name), *const original_view = other.find(original);
    if (view == nullptr || original_view == nullptr || view->storage == original_view->storage) continue;
    if (!std::ranges::equal(view->contiguous_bytes(scratch), original_view->contiguous_bytes(original_scratch)))
      differences.add(printable(name) + " and " + printable(original) + " differ, expected one tensor");
  }
}

}  // namespace

std::vector<Checkpoint> open_models(std::span<const std::filesystem::path> files) {
  std::vector<Checkpoint> models;
  for (const std::filesystem::path& file : files) {
    std::error_code ignored;
    models.push_back(Checkpoint::open(std::filesystem::is_directory(file, ignored) ? file / "checkpoint_last.pt" : file));
  }
  return models;
}

void check_alike(std::span<const Checkpoint> models) {
  const Checkpoint& first = models.front();
  for (const Checkpoint& other : models.subspan(1)) {
    Differences differences;
    compare_tensors(first, other, differences);
    compare_configuration(first, other, differences);
    compare_dictionaries(first, other, differences);
    compare_ties(first, other, differences);
    differences.throw_if_any(first, other);
  }
}

bool is_merged(const std::string& name, const compat::TensorView& view) noexcept {
  const auto named = [&](std::string_view last) { return name == last || name.ends_with("." + std::string(last)); };
  return is_floating(view.dtype()) && !named("version") && !named("_float_tensor");
}

std::vector<std::size_t> first_of_tied(const compat::NamedTensors& model) {
  std::map<std::tuple<const compat::Storage*, std::int64_t, std::vector<std::int64_t>, std::vector<std::int64_t>>, std::size_t> seen;
  std::vector<std::size_t> originals;
  for (std::size_t i = 0; i < model.size(); ++i) {
    const compat::TensorView& view = model[i].second;
    originals.push_back(seen.try_emplace({view.storage.get(), view.offset, view.shape, view.stride}, i).first->second);
  }
  return originals;
}

}  // namespace btm
