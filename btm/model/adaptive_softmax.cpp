#include "btm/model/adaptive_softmax.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/where.h>

#include <utility>

#include "compat/base/concat.h"

namespace btm {
namespace {

constexpr const char* kHead = "decoder.adaptive_softmax.head.";

std::string tail_prefix(std::size_t tail) {
  return compat::concat("decoder.adaptive_softmax.tail.", tail, '.');
}

at::Tensor in_fp32(const at::Tensor& logits) { return at::log_softmax(logits, -1, at::kFloat); }

}  // namespace

AdaptiveSoftmax::AdaptiveSoftmax(const TransformerConfig& config, std::int64_t vocabulary)
    : tied_(config.tie_adaptive_weights),
      tied_projections_(tied_ && config.tie_adaptive_proj),
      width_(config.decoder_output_dim),
      bands_(vocabulary_bands(config.adaptive_softmax_cutoff, vocabulary, width_,
                              config.adaptive_softmax_factor)),
      tails_(bands_.size() - 1) {}

void AdaptiveSoftmax::list(const ListParameter& add) {
  const auto classes = static_cast<std::int64_t>(num_tails());
  if (tied_)
    add(std::string(kHead) + "class_proj.weight", {classes, width_}, head_.weight);
  else
    add(std::string(kHead) + "weight", {bands_[0].size() + classes, width_}, head_.weight);
  for (std::size_t i = 0; i < tails_.size(); ++i) {
    const VocabularyBand& band = bands_[i + 1];
    if (!tied_projections_)
      add(tail_prefix(i) + "0.weight", {band.width, width_}, tails_[i].projection.weight);
    if (!tied_) add(tail_prefix(i) + "2.weight", {band.size(), band.width}, tails_[i].words.weight);
  }
}

std::vector<std::pair<std::string, std::string>> tied_names(const TransformerConfig& config,
                                                            std::size_t input_bands) {
  // As in fairseq, adaptive softmax takes the place of a shared output layer.
  if (!config.has_adaptive_softmax() && config.share_decoder_input_output_embed)
    return {{"decoder.output_projection.weight", "decoder.embed_tokens.weight"}};
  std::vector<std::pair<std::string, std::string>> names;
  if (!config.has_adaptive_softmax() || !config.tie_adaptive_weights) return names;
  const auto original = [](std::size_t band, int part) {
    return compat::concat("decoder.embed_tokens.embeddings.", band, '.', part, ".weight");
  };
  names.emplace_back(std::string(kHead) + "word_proj.weight", original(0, 0));
  for (std::size_t band = 1; band < input_bands; ++band) {
    if (config.tie_adaptive_proj)
      names.emplace_back(tail_prefix(band - 1) + "0.weight", original(band, 1));
    names.emplace_back(tail_prefix(band - 1) + "2.weight", original(band, 0));
  }
  return names;
}

bool is_adaptive_embedding(std::string_view name) {
  return name.starts_with("decoder.embed_tokens.embeddings.") && name.ends_with(".0.weight");
}

AdaptiveSoftmax AdaptiveSoftmax::tied_to(const AdaptiveInput& input) const {
  AdaptiveSoftmax copy = *this;
  if (!tied_) return copy;
  copy.words_.weight = input.words(0);
  for (std::size_t i = 0; i < tails_.size(); ++i) {
    copy.tails_[i].words.weight = input.words(i + 1);
    if (tied_projections_) copy.tails_[i].projection.weight = input.projection(i + 1).t();
  }
  return copy;
}

at::Tensor AdaptiveSoftmax::head_logits(const at::Tensor& features) const {
  const at::Tensor logits = product(features, head_);
  return tied_ ? at::cat({product(features, words_), logits}, -1) : logits;
}

at::Tensor AdaptiveSoftmax::tail_logits(std::size_t tail, const at::Tensor& features,
                                        double dropout) const {
  at::Tensor narrow = product(features, tails_[tail].projection);
  if (dropout > 0) narrow = at::dropout(narrow, dropout, /*train=*/true);
  return product(narrow, tails_[tail].words);
}

at::Tensor AdaptiveSoftmax::log_probs(const at::Tensor& features) const {
  const at::Tensor head = in_fp32(head_logits(features));
  const std::int64_t first = bands_[0].end;
  at::Tensor all = at::empty({features.size(0), vocabulary()}, head.options());
  all.narrow(1, 0, first).copy_(head.narrow(1, 0, first));
  for (std::size_t i = 0; i < tails_.size(); ++i) {
    const VocabularyBand& band = bands_[i + 1];
    const at::Tensor of_class = head.narrow(1, first + static_cast<std::int64_t>(i), 1);
    all.narrow(1, band.first, band.size()).copy_(in_fp32(tail_logits(i, features)).add_(of_class));
  }
  return all;
}

at::Tensor AdaptiveSoftmax::target_log_probs(const at::Tensor& features,
                                             const at::Tensor& targets) const {
  at::Tensor in_head = targets;
  for (std::size_t i = 0; i < tails_.size(); ++i) {
    const at::Tensor inside =
        targets.ge(bands_[i + 1].first).logical_and(targets.lt(bands_[i + 1].end));
    in_head = at::where(inside, bands_[0].end + static_cast<std::int64_t>(i), in_head);
  }
  at::Tensor out =
      in_fp32(head_logits(features)).gather(1, in_head.unsqueeze(1)).squeeze(1).clone();
  for (std::size_t i = 0; i < tails_.size(); ++i) {
    const at::Tensor rows =
        in_head.eq(bands_[0].end + static_cast<std::int64_t>(i)).nonzero().squeeze(1);
    if (rows.numel() == 0) continue;
    const at::Tensor words = targets.index_select(0, rows) - bands_[i + 1].first;
    const at::Tensor found = in_fp32(tail_logits(i, features.index_select(0, rows)))
                                 .gather(1, words.unsqueeze(1))
                                 .squeeze(1);
    out.index_add_(0, rows, found);
  }
  return out;
}

}  // namespace btm
