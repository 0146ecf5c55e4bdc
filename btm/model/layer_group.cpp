#include "btm/model/layer_group.h"

#include <algorithm>
#include <charconv>

namespace btm {

std::optional<std::int64_t> layer_of(std::string_view tensor) {
  constexpr std::string_view kLayers = "decoder.layers.";
  if (!tensor.starts_with(kLayers)) return std::nullopt;
  std::int64_t layer = 0;
  const std::string_view rest = tensor.substr(kLayers.size());
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
  if (error != std::errc{} || layer < 0) return std::nullopt;
  return layer;
}

std::size_t layer_group(std::string_view tensor, std::int64_t layers, std::size_t groups,
                        bool tied_output) {
  if (const auto layer = layer_of(tensor); layer && layers > 0)
    return static_cast<std::size_t>(std::min(*layer, layers - 1)) * groups /
           static_cast<std::size_t>(layers);
  if (tied_output && tensor.starts_with("decoder.output_projection.")) return 0;
  for (const std::string_view last :
       {"decoder.layer_norm.", "decoder.output_projection.", "decoder.project_out_dim."})
    if (tensor.starts_with(last)) return groups - 1;
  return 0;
}

}  // namespace btm
