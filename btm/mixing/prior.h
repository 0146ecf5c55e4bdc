// The weights of a mixture's experts before they have scored a text. E experts.
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

/// Keeps the `k` largest of `weights`, sets the others to 0 and scales to a sum of 1. Among equal
/// weights it keeps the later ones, as the release's sort does. Returns `weights` unchanged when k
/// is 0 or not less than their number.
std::vector<double> top_k_prior(std::vector<double> weights, std::int64_t k);

/// Reads --precomputed-prior: `experts` numbers, separated by commas. UsageError for another count,
/// for text that is no number, for a negative or infinite number, and for a sum that differs from 1
/// by more than 0.001.
std::vector<double> parse_prior(std::string_view text, std::size_t experts);

/// The exponentially weighted mean of all vectors added so far, as pandas' ewm with adjust=False:
/// m = a x + (1 - a) m. The first x is the first m.
class ExponentialMean {
 public:
  explicit ExponentialMean(double alpha = 0.3) : alpha_(alpha) {}
  void add(std::span<const double> values);
  const std::vector<double>& value() const noexcept { return mean_; }  ///< Empty before the first.

 private:
  double alpha_;
  std::vector<double> mean_;
};

/// A prior that depends on the text before each token, such as c-BTM's.
class TextPrior {
 public:
  /// A text that grows token by token.
  class Reader {
   public:
    virtual ~Reader() = default;
    virtual std::unique_ptr<Reader> clone() const = 0;
    virtual void read(std::int64_t token) = 0;
    /// [E] the logs of the weights for the next token.
    virtual std::vector<double> log_prior() const = 0;
  };

  virtual ~TextPrior() = default;
  virtual std::size_t experts() const = 0;
  /// A reader of an empty text. It refers to this prior.
  virtual std::unique_ptr<Reader> open() const = 0;
};

/// The prior of every text: given, the mean posterior of the texts before it, or a TextPrior.
class Prior {
 public:
  /// `weights` [E] for every text. They need not sum to 1.
  static Prior given(std::vector<double> weights);
  static Prior uniform(std::size_t experts);
  /// The mean of all posteriors given to update(), uniform before the first.
  static Prior updating(std::size_t experts);
  static Prior of_text(std::shared_ptr<const TextPrior> text);
  /// The prior of a type that does not depend on the text. `weights` [E] are read only for
  /// cached_prior.
  static Prior of_type(EnsembleType type, std::size_t experts, std::vector<double> weights);

  std::size_t experts() const noexcept { return weights_.size(); }
  /// [E] the current weights. Uniform, and without a meaning, with a TextPrior.
  const std::vector<double>& weights() const noexcept { return weights_; }
  /// Null for a prior that does not depend on the text.
  const TextPrior* text() const noexcept { return text_.get(); }

  /// Ends a batch of texts. `posterior` [E] is the mean of their posteriors.
  void update(std::span<const double> posterior);
  /// [E] the exponentially weighted mean of all posteriors given to update(). Empty before the
  /// first.
  const std::vector<double>& mean_posterior() const noexcept { return mean_.value(); }

  /// Whether an expert takes part. At first all do. An expert that does not has no weight in any
  /// text, and its scores are not read.
  bool takes_part(std::size_t expert) const { return takes_part_.at(expert); }
  std::vector<std::size_t> active() const;  ///< The experts that take part, ascending.
  /// Takes out an expert whose weight in the prior is 0.
  void exclude(std::size_t expert) { takes_part_.at(expert) = false; }
  /// Takes out experts, and scales the weights of the others to a sum of 1. std::runtime_error when
  /// that sum is 0.
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
