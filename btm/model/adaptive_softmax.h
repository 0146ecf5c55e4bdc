// fairseq's adaptive softmax (Grave et al., 2017): the head's softmax is over the words of the
// first band and one class for each further band; a tail's softmax is over the words of its band.
// The probability of a word of a tail is that of the class times that of the word within it. N
// tokens, C decoder_output_dim, V vocabulary.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "btm/model/adaptive_input.h"

namespace btm {

/// fairseq's further names for shared tensors in the state dict: {name, name of the parameter}. Of
/// the input's bands, and of a plain shared output layer.
std::vector<std::pair<std::string, std::string>> tied_names(const TransformerConfig& config,
                                                            std::size_t input_bands);
/// Whether this is the name of the embeddings of a band of adaptive inputs.
bool is_adaptive_embedding(std::string_view name);

class AdaptiveSoftmax {
 public:
  AdaptiveSoftmax() = default;  ///< Of a model that has none.
  /// Parameters are undefined until they are assigned. UnsupportedError as vocabulary_bands().
  AdaptiveSoftmax(const TransformerConfig& config, std::int64_t vocabulary);
  /// Lists the parameters of its own, not those that it shares with the input.
  void list(const ListParameter& add);
  /// A copy that computes with the tensors that it shares with `input`.
  AdaptiveSoftmax tied_to(const AdaptiveInput& input) const;

  const std::vector<VocabularyBand>& bands() const noexcept { return bands_; }
  std::size_t num_tails() const noexcept { return bands_.size() - 1; }
  std::int64_t vocabulary() const noexcept { return bands_.back().end; }

  at::Device device() const { return head_.weight.device(); }

  /// Logits of the head, [N, C] -> [N, first band + tails].
  at::Tensor head_logits(const at::Tensor& features) const;
  /// Logits within a tail, [N, C] -> [N, its band]. `dropout`: between its two products.
  at::Tensor tail_logits(std::size_t tail, const at::Tensor& features, double dropout = 0) const;

  /// Natural logs of the probabilities of all words, [N, C] -> [N, V] fp32.
  at::Tensor log_probs(const at::Tensor& features) const;
  /// Those of one word each: targets [N] int64 -> [N] fp32. Computes only the tails in use.
  at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& targets) const;

 private:
  struct Tail {
    Linear projection, words;  ///< no biases
  };
  bool tied_ = false, tied_projections_ = false;
  std::int64_t width_ = 0;  ///< C
  std::vector<VocabularyBand> bands_;
  Linear head_;   ///< [first band + tails, C]; tied: only the classes, [tails, C]
  Linear words_;  ///< tied: the input's first band, [first band, C]
  std::vector<Tail> tails_;
};

}  // namespace btm
