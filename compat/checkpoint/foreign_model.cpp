#include "compat/checkpoint/foreign_model.h"

#include <algorithm>
#include <string_view>

#include "compat/base/error.h"

namespace compat {

std::string foreign_form(const NamedTensors& model) {
  const auto first_with = [&](std::string_view part) -> const std::string* {
    const auto found = std::ranges::find_if(
        model, [&](const auto& item) { return item.first.find(part) != std::string::npos; });
    return found == model.end() ? nullptr : &found->first;
  };
  const auto quoted = [](const std::string& name) { return "('" + printable(name) + "')"; };
  if (const std::string* name = first_with("flat_param"))
    return "holds parameters that FSDP flattened " + quoted(*name) +
           ", expected a model that its program has consolidated";
  if (const std::string* name = first_with(".qkv_proj."))
    return "holds fused projections " + quoted(*name) +
           " in an unknown order, as its settings are not metaseq's: expected q_proj, k_proj and "
           "v_proj";
  if (const std::string prefix = wrapper_prefix(model); !prefix.empty())
    return "its tensors' names begin with '" + prefix +
           "', a prefix that a wrapper of the model adds: expected names without it";
  return {};
}

}  // namespace compat
