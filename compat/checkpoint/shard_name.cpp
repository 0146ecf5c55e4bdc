#include "compat/checkpoint/shard_name.h"

#include <string_view>

#include "compat/base/numbers.h"

namespace compat {

std::optional<ShardName> shard_name(const std::filesystem::path& path) {
  constexpr std::string_view kRank = "-rank-";
  if (path.extension() != ".pt") return std::nullopt;
  const std::string name = path.stem().string();
  const std::size_t at = name.rfind(kRank);
  if (at == std::string::npos) return std::nullopt;
  const auto rank = number_of<std::size_t>(std::string_view(name).substr(at + kRank.size()));
  if (!rank) return std::nullopt;
  return ShardName{name.substr(0, at), *rank};
}

}  // namespace compat
