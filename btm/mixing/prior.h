// What a mixture believes of its experts before they have scored a text. E experts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "btm/mixing/ensemble_type.h"

namespace btm {

/// Logs of weights. log(0) = -inf leaves an expert out.
std::vector<double> log_of(std::span<const double> weights);

/// Keeps the `k` largest of `weights` (among equal ones the later, as the release's sort has it),
/// sets the others to 0 and scales to a sum of 1. Returns them unchanged when k is 0 or there are
/// no more than k.
std::vector<double> top_k_prior(std::vector<double> weights, std::int64_t k);

/// Reads --precomputed-prior, `experts` numbers joined by commas. UsageError for another count, a
/// number that is none, negative or infinite, and a sum that is not 1 (to 0.001).
std::vector<double> parse_prior(std::string_view text, std::size_t experts);

/// The exponentially weighted mean of all vectors added so far (pandas' ewm with adjust=False): m =
/// a x + (1 - a) m, and the first x as start.
class ExponentialMean {
 public:
  explicit ExponentialMean(double alpha = 0.3) : alpha_(alpha) {}
  void add(std::span<const double> values);
  const std::vector<double>& value() const noexcept { return mean_; }  ///< Empty before the first.

 private:
  double alpha_;
  std::vector<double> mean_;
};

/// A prior that the text itself gives, before each of its tokens: c-BTM's, for example.
class TextPrior {
 public:
  /// A text that grows token by token.
  class Reader {
   public:
    virtual ~Reader() = default;
    virtual std::unique_ptr<Reader> clone() const = 0;
    virtual void read(std::int64_t token) = 0;
    /// [E] logs of the weights for the token that comes next.
    virtual std::vector<double> log_prior() const = 0;
  };

  virtual ~TextPrior() = default;
  virtual std::size_t experts() const = 0;
  /// A reader of an empty text. It refers to this prior.
  virtual std::unique_ptr<Reader> open() const = 0;
};

/// The prior of every text: given, learnt from the texts before it, or by the text itself.
class Prior {
 public:
  /// `weights` [E] for every text. They need not sum to 1.
  static Prior given(std::vector<double> weights);
  static Prior uniform(std::size_t experts);
  /// The mean of all that update() was told, uniform before that.
  static Prior updating(std::size_t experts);
  static Prior of_text(std::shared_ptr<const TextPrior> text);
  /// That of a type for which the experts suffice; `weights` [E] are read for cached_prior alone.
  static Prior of_type(EnsembleType type, std::size_t experts, std::vector<double> weights);

  std::size_t experts() const noexcept { return weights_.size(); }
  /// [E] as they are now. Uniform, and without a meaning, where the text gives the prior.
  const std::vector<double>& weights() const noexcept { return weights_; }
  /// Null unless the text gives the prior.
  const TextPrior* text() const noexcept { return text_.get(); }

  /// Ends a batch of texts, `posterior` [E] being the mean of theirs.
  void update(std::span<const double> posterior);
  /// [E] the exponentially weighted mean of all that update() was told; empty before the first.
  const std::vector<double>& mean_posterior() const noexcept { return mean_.value(); }

  /// Experts that take part: all of them at first. One that does not has no weight in any text, and
  /// no score of it is read.
  bool takes_part(std::size_t expert) const { return takes_part_.at(expert); }
  std::vector<std::size_t> active() const;  ///< Those that take part, ascending.
  /// Takes an expert out that the prior gives no weight.
  void exclude(std::size_t expert) { takes_part_.at(expert) = false; }
  /// Takes experts out, and gives the others their weight in proportion. std::runtime_error when
  /// no weight is left.
  void leave_out(std::span<const std::size_t> experts);

 private:
  explicit Prior(std::vector<double> weights);

  std::vector<double> weights_;
  std::vector<bool> takes_part_;
  bool updating_ = false;
  ExponentialMean mean_;
  std::shared_ptr<const TextPrior> text_;
};

/// Sets the weights of `experts` to 0 and scales the others to a sum of 1. std::runtime_error when
/// that is 0.
void remove_weights(std::vector<double>& weights, std::span<const std::size_t> experts);

}  // namespace btm
