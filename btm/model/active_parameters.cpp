#include "btm/model/active_parameters.h"

#include "btm/model/routing.h"

namespace btm {

std::int64_t active_parameters(const TransformerLM& model) {
  const TransformerConfig& config = model.config();
  std::int64_t active = model.num_parameters();
  if (config.moe_freq == 0) return active;
  const std::int64_t width = config.decoder_embed_dim, inner = config.decoder_ffn_embed_dim,
                     block = 2 * width * inner + width + inner,
                     idle = config.moe_expert_count -
                            experts_per_token(config.routing, config.moe_expert_count);
  for (std::int64_t i = 0; i < config.decoder_layers; ++i)
    if (config.is_mixture(i)) active -= idle * block;
  return active;
}

}  // namespace btm
