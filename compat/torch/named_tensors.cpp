#include "compat/torch/named_tensors.h"

#include <algorithm>
#include <string_view>

#include "compat/base/error.h"

namespace compat {

NamedTensors named_tensors(const PickleNode& dict, const std::string& file,
                           const std::string& section) {
  const auto* tensors = dict.get_if<PickleDict>();
  if (tensors == nullptr)
    throw FormatError({file, section, {}},
                      "is " + dict.describe() + ", expected a dict of tensors");
  NamedTensors out;
  for (const auto& [key, value] : tensors->items) {
    const auto* name = key->get_if<std::string>();
    const auto* tensor = value->get_if<PickleTensor>();
    if (name == nullptr)
      throw FormatError({file, section, {}},
                        "has the key " + key->describe() + ", expected a string");
    if (tensor == nullptr)
      throw FormatError({file, section, {}}, "'" + printable(*name) + "' is " + value->describe() +
                                                 ", expected a plain tensor");
    out.emplace_back(*name, tensor->view);
  }
  return out;
}

std::string wrapper_prefix(const NamedTensors& tensors) {
  for (const std::string_view prefix : {"module.", "_orig_mod."})
    if (!tensors.empty() && std::ranges::all_of(tensors, [&](const auto& item) {
          return item.first.starts_with(prefix);
        }))
      return std::string(prefix);
  return {};
}

}  // namespace compat
