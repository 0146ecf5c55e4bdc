// The predictor of LibTorch models.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "btm/mixing/posterior.h"
#include "btm/mixing/predictor.h"

namespace btm {

class TransformerLM;

/// An expert of a mixture. On a CPU its matrices are packed or in fp32: a model that was loaded
/// with Precision::as_stored is slow here.
struct NamedExpert {
  std::string name;  ///< For messages.
  std::shared_ptr<const TransformerLM> model;
};

/// Predicts with `experts`, mixed by `posterior`, which has as many. One expert alone costs nothing
/// more than its model, and the posterior is not asked. `capacity`: the tokens of all rows together
/// whose keys and values are kept (for each expert).
///
/// A place of a text is computed from a window of it. With P positions the window is the first P
/// tokens, then the tokens from P - K on, and so on by P - K: a text that was fed at once and one
/// that grew token by token give the same. P is the smallest number of the models. `kept` is K,
/// below P; nothing: P/2.
///
/// An expert that nothing asks for at a row is not run. It catches up when it is asked for: with
/// the rules kLast and kFull by the row's next readout of the mixture, because the earlier tokens
/// are evidence for it; with kNone where it has a weight again.
///
/// Padding is a token like any other in a readout: its probability is what the model gives. It
/// cannot be fed (std::invalid_argument). After an exception in advance_each() its rows can only be
/// closed, but for std::invalid_argument and for a lack of room, which change nothing.
///
/// std::invalid_argument for experts with different dictionaries, for no expert, and for a `kept`
/// of P or more.
std::unique_ptr<Predictor> make_predictor(std::vector<NamedExpert> experts, Posterior posterior,
                                          std::int64_t capacity,
                                          std::optional<std::int64_t> kept = {});

}  // namespace btm
