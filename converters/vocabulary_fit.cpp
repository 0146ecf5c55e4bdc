#include "converters/vocabulary_fit.h"

#include <array>
#include <optional>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "converters/tensor_ops.h"

namespace converters {
namespace {

using compat::TensorView;

constexpr std::array<std::string_view, 2> kByVocabulary{"decoder.embed_tokens.weight",
                                                        "decoder.output_projection.weight"};
constexpr std::int64_t kMostPadding = 64;  // fairseq pads to a multiple of 8; some padded to 64

TensorView mean_row(const TensorView& view) {
  std::vector<double> sum(static_cast<std::size_t>(view.shape[1]));
  std::size_t column = 0;
  stream_floats(view, [&](std::span<const float> values) {
    for (const float value : values) {
      sum[column] += value;
      column = column + 1 == sum.size() ? 0 : column + 1;
    }
  });
  std::vector<float> mean;
  for (const double value : sum)
    mean.push_back(static_cast<float>(value / static_cast<double>(view.shape[0])));
  return as_dtype(tensor_of(mean, {1, view.shape[1]}), view.dtype());
}

TensorView fitted(const TensorView& view, const compat::Dictionary& dictionary) {
  const std::int64_t old_rows = view.shape[0];
  if (dictionary.size() <= old_rows) return joined_rows({rows(view, 0, dictionary.size())});
  std::vector<TensorView> parts{view};
  const TensorView unknown = rows(view, dictionary.unk(), 1), mean = mean_row(view);
  for (std::int64_t id = old_rows; id < dictionary.size(); ++id)
    parts.push_back(dictionary.symbol(id).starts_with("madeupword") ? unknown : mean);
  return joined_rows(parts);
}

}  // namespace

VocabularyFit fit_vocabulary(const compat::Checkpoint& checkpoint,
                             const compat::Dictionary& dictionary,
                             const std::string& dictionary_file, bool allow_new_symbols) {
  const TensorView* const embedding = checkpoint.find(kByVocabulary[0]);
  if (embedding == nullptr || embedding->shape.size() != 2 ||
      embedding->shape[0] <= dictionary.unk())
    throw compat::FormatError(
        {checkpoint.path(), "model", {}},
        "has no embeddings, expected 'decoder.embed_tokens.weight' with two dimensions");
  VocabularyFit fit{{}, embedding->shape[0], dictionary.size()};
  if (fit.old_rows == fit.new_rows)
    throw compat::FormatError(
        {dictionary_file, {}, {}},
        compat::concat("has ", fit.new_rows, " symbols, as many as the model: nothing to fit"));
  if (fit.old_rows - fit.new_rows >= kMostPadding)
    throw compat::FormatError(
        {dictionary_file, {}, {}},
        compat::concat("has ", fit.new_rows, " symbols, the model ", fit.old_rows,
                       ": padding does not explain that many, expected the model's dictionary"));
  for (std::int64_t id = fit.old_rows; id < fit.new_rows && !allow_new_symbols; ++id)
    if (!dictionary.symbol(id).starts_with("madeupword"))
      throw compat::FormatError(
          {dictionary_file, {}, {}},
          compat::concat("its symbol '", compat::printable(dictionary.symbol(id)), "' (id ", id,
                         ") is a word without a row in the model (--allow-new-symbols adds one)"));
  std::optional<TensorView> tied;
  for (const auto& [name, view] : checkpoint.model()) {
    const bool by_vocabulary = name == kByVocabulary[0] || name == kByVocabulary[1];
    if (!by_vocabulary) {
      fit.model.emplace_back(name, view);
    } else if (tied && view.storage == embedding->storage) {
      fit.model.emplace_back(name, *tied);
    } else {
      fit.model.emplace_back(name, fitted(view, dictionary));
      if (view.storage == embedding->storage) tied = fit.model.back().second;
    }
  }
  return fit;
}

}  // namespace converters
