// The error for a model that gives no probability.
#pragma once

#include <stdexcept>
#include <string>

namespace btm {

/// The score of a target is NaN or +inf. what() names the model and the first such target.
class DivergedModel : public std::runtime_error {
 public:
  DivergedModel(std::string model, const std::string& target);
  const std::string& model() const noexcept { return model_; }
  const std::string& target() const noexcept { return target_; }

 private:
  std::string model_, target_;
};

}  // namespace btm
