// Which experts the tokens of each domain go to. No LibTorch here.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "btm/evaluator/eval_options.h"
#include "btm/model/routing.h"

namespace btm {

struct RoutingOptions {
  std::string folder;           ///< Of domains, with dict.txt.
  std::string model;            ///< A mixture.
  std::string domains;          ///< Comma separated; empty: all that have the split.
  std::string split = "valid";  ///< SPLIT_DOMAIN, or SPLIT.
  std::int64_t tokens = 16384;  ///< Of a domain, at least, where it has as many; 0: all.
  MachineOptions machine;
};

struct RoutingShares {
  std::vector<std::string> domains, experts;
  std::vector<std::size_t> layers;  ///< Those that have a router.
  Routing routing = Routing::kTop2;
  std::vector<std::int64_t> tokens;  ///< By domain.
  /// [domain][layer][expert]: sums to 1 over the experts.
  std::vector<std::vector<std::vector<double>>> shares;
};

/// UsageError for a model without routers. Errors of compat's readers.
RoutingShares routing_shares(const RoutingOptions& options,
                             const std::function<void(const std::string&)>& warn);

}  // namespace btm
