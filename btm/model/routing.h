// How a router picks and weighs the experts of a token. No LibTorch here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace btm {

enum class Routing : std::uint8_t {
  kTop1,  ///< The most probable expert, weighted by its probability among all (Fedus et al. 2021).
  kTop2,  ///< The two most probable, weighted by their softmax (Sukhbaatar et al. 2024; fairseq).
  kSoft,  ///< All experts, weighted by their probabilities.
};

inline constexpr std::array<std::string_view, 3> kRoutingNames{"top1", "top2", "soft"};

constexpr std::string_view routing_name(Routing routing) noexcept {
  return kRoutingNames[static_cast<std::size_t>(routing)];
}

constexpr std::optional<Routing> routing_of(std::string_view name) noexcept {
  for (std::size_t i = 0; i < kRoutingNames.size(); ++i)
    if (kRoutingNames[i] == name) return static_cast<Routing>(i);
  return std::nullopt;
}

/// Choices of experts, and those of them that met an expert at its capacity (FairseqGating).
struct ChoiceCount {
  std::int64_t choices = 0, over_capacity = 0;
};

/// How many of `experts` a token goes to.
constexpr std::int64_t experts_per_token(Routing routing, std::int64_t experts) noexcept {
  if (routing == Routing::kSoft) return experts;
  const std::int64_t most = routing == Routing::kTop1 ? 1 : 2;
  return experts < most ? experts : most;
}

}  // namespace btm
