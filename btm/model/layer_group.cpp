#include "btm/model/layer_group.h"

#include <algorithm>
#include <charconv>

namespace btm {

std::size_t layer_group(std::string_view tensor, std::int64_t layers, std::size_t groups) {
  constexpr std::string_view kLayers = "decoder.layers.";
  if (tensor.starts_with(kLayers)) {
    std::int64_t layer = 0;
    const std::string_view rest = tensor.substr(kLayers.size());
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
    if (error != std::errc{} || layer < 0 || layers < 1) return 0;
    const auto at = static_cast<std::size_t>(std::min(layer, layers - 1));
    return at * groups / static_cast<std::size_t>(layers);
  }
  for (const std::string_view last :
       {"decoder.layer_norm.", "decoder.output_projection.", "decoder.project_out_dim."})
    if (tensor.starts_with(last)) return groups - 1;
  return 0;
}

}  // namespace btm
