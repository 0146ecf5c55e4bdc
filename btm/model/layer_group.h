// Groups of neighbouring layers, for averages with weights of their own in each group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace btm {

/// The layer, counted from 0, in the name of a decoder's tensor; none outside the layers.
std::optional<std::int64_t> layer_of(std::string_view tensor);

/// The group, counted from 0, of a tensor of a decoder. Layer i of `layers` is in group
/// i * groups / layers, rounded down. The embeddings are in the first group. The final layer norm
/// and an output projection are in the last one. `tied_output`: the output projection is the
/// embedding, even where a file holds it as a tensor of its own, so it is in the first group.
std::size_t layer_group(std::string_view tensor, std::int64_t layers, std::size_t groups,
                        bool tied_output);

}  // namespace btm
