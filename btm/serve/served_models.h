// The models that a server offers by name: the ensemble, and each expert alone.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "btm/mixing/posterior.h"
#include "btm/serve/request_reader.h"

namespace btm {

class ServedModels {
 public:
  /// `experts` [E]: one of them alone is the model, and `ensemble` is then not used. `mixture` is
  /// what requests get that choose nothing.
  ServedModels(std::string ensemble, std::vector<std::string> experts, Posterior mixture);

  /// The names in the order of /v1/models, that of the whole first.
  const std::vector<std::string>& names() const noexcept { return names_; }
  const std::vector<std::string>& experts() const noexcept { return experts_; }
  bool has(const std::string& name) const;

  /// Who answers a request.
  struct Choice {
    std::string name;
    std::optional<std::size_t> expert;         ///< Alone, instead of the mixture.
    std::shared_ptr<const Posterior> mixture;  ///< The same object for equal requests.
  };
  /// ProtocolError 404 for a model that there is not, 400 for experts that cannot be mixed so.
  Choice choose(const CompletionRequest& request);

 private:
  std::size_t expert_named(const std::string& name, const std::string& field) const;
  std::shared_ptr<const Posterior> mixture_of(const MixtureRequest& request);
  Posterior made(const MixtureRequest& request) const;
  std::string key_of(const MixtureRequest& request) const;

  std::vector<std::string> names_, experts_;
  std::shared_ptr<const Posterior> mixture_;
  std::map<std::string, std::shared_ptr<const Posterior>> made_;  ///< By what was asked for.
};

}  // namespace btm
