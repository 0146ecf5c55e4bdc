// Groups of neighbouring layers, for averages with weights of their own in each group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace btm {

/// The group, counted from 0, of a tensor of a decoder. Layer i of `layers` is in group
/// i * groups / layers, rounded down. The embeddings are in the first group. The final layer norm
/// and an output projection that is not tied are in the last one.
std::size_t layer_group(std::string_view tensor, std::int64_t layers, std::size_t groups);

}  // namespace btm
