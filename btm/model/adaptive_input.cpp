#include "btm/model/adaptive_input.h"

#include <ATen/ops/argsort.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/nonzero.h>

#include "compat/base/concat.h"

namespace btm {

AdaptiveInput::AdaptiveInput(const TransformerConfig& config, std::int64_t vocabulary)
    : width_(config.decoder_embed_dim),
      bands_(vocabulary_bands(config.adaptive_input_cutoff, vocabulary, config.decoder_input_dim,
                              config.adaptive_input_factor)),
      words_(bands_.size()),
      projections_(bands_.size()) {}

void AdaptiveInput::list(const ListParameter& add) {
  for (std::size_t i = 0; i < bands_.size(); ++i) {
    const std::string prefix = compat::concat("decoder.embed_tokens.embeddings.", i, '.');
    add(prefix + "0.weight", {bands_[i].size(), bands_[i].width}, words_[i]);
    add(prefix + "1.weight", {width_, bands_[i].width}, projections_[i].weight);
  }
}

at::Tensor AdaptiveInput::rows(const at::Tensor& tokens, std::int64_t padding_idx) const {
  const at::Tensor all = tokens.reshape({-1});
  std::vector<at::Tensor> places, parts;
  for (std::size_t i = 0; i < bands_.size(); ++i) {
    const at::Tensor inside = all.ge(bands_[i].first).logical_and(all.lt(bands_[i].end));
    const at::Tensor at = inside.nonzero().squeeze(1);
    if (at.numel() == 0) continue;
    at::Tensor rows = embedding_rows(words_[i], all.index_select(0, at) - bands_[i].first,
                                     i == 0 ? padding_idx : -1);
    if (rows.is_cpu()) rows = rows.to(at::kFloat);
    places.push_back(at);
    parts.push_back(product(rows, projections_[i]));
  }
  std::vector<std::int64_t> shape = tokens.sizes().vec();
  shape.push_back(width_);
  return at::cat(parts).index_select(0, at::argsort(at::cat(places))).view(shape);
}

}  // namespace btm
