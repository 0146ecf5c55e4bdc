// What the routers of a mixture of experts did during an update. No LibTorch here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "btm/trainer/meters.h"

namespace btm {

/// Sums over the tokens of batches. E experts, L layers with a router.
struct RouterStats {
  double tokens = 0;
  double balance = 0, z = 0;  ///< The layers' mean losses, without their weights, times the tokens.
  std::vector<std::vector<double>> loads;  ///< [L][E]: how many tokens went to an expert.

  void add(const RouterStats& other);
  /// Doubles, for the other ranks.
  std::string bytes() const;
  static RouterStats from_bytes(const std::string& bytes);

  /// Logs lb_loss and z_loss per token, and for layer 0, 1, ... load_0, load_1, ...: the share of
  /// its tokens that its busiest expert got. 1 / E is balanced. Logs nothing without tokens.
  void log(MetersDict& meters) const;
};

}  // namespace btm
