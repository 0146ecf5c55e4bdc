// fairseq's adaptive inputs (Baevski and Auli, 2019): each band of the vocabulary has embeddings of
// its own width and a projection to the model's.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "btm/model/config.h"
#include "btm/model/recomputed_linear.h"
#include "btm/model/vocabulary_bands.h"

namespace btm {

/// Called for every parameter, with fairseq's name, in fairseq's order.
using ListParameter = std::function<void(const std::string& name, std::vector<std::int64_t> shape,
                                         at::Tensor& tensor)>;

class AdaptiveInput {
 public:
  AdaptiveInput() = default;  ///< Of a model that has none.
  /// Parameters are undefined until they are assigned. UnsupportedError as vocabulary_bands().
  AdaptiveInput(const TransformerConfig& config, std::int64_t vocabulary);
  void list(const ListParameter& add);

  /// tokens [...] int64 -> [..., decoder_embed_dim], before any scale. Row `padding_idx` gets no
  /// gradient.
  at::Tensor rows(const at::Tensor& tokens, std::int64_t padding_idx) const;

  const std::vector<VocabularyBand>& bands() const noexcept { return bands_; }
  /// Embeddings [band, width of the band].
  const at::Tensor& words(std::size_t band) const { return words_[band]; }
  /// Projection [decoder_embed_dim, width of the band].
  const at::Tensor& projection(std::size_t band) const { return projections_[band].weight; }

 private:
  std::int64_t width_ = 0;
  std::vector<VocabularyBand> bands_;
  std::vector<at::Tensor> words_;
  std::vector<Linear> projections_;  ///< no biases
};

}  // namespace btm
