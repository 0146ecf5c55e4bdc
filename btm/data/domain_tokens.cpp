#include "btm/data/domain_tokens.h"

#include <algorithm>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/text.h"

namespace btm {
namespace {

std::string token_of(const std::string& domain) { return "<" + domain + ">"; }

void append_new(std::vector<std::string>& all, std::span<const std::string> more) {
  for (const std::string& domain : more)
    if (std::ranges::find(all, domain) == all.end()) all.push_back(domain);
}

}  // namespace

void check_domain_tokens(const DomainTokenOptions& options, bool multidomain) {
  if (!options.add && !options.force.empty())
    throw compat::UsageError("--force-domain-token needs --add-domain-token");
  if (options.add && !multidomain)
    throw compat::UsageError("--add-domain-token needs --task multidomain_language_modeling");
}

std::vector<std::string> token_domains(const DomainTokenOptions& options,
                                       std::span<const std::string> train,
                                       std::span<const std::string> eval) {
  std::vector<std::string> domains;
  if (!options.add) return domains;
  if (!options.original_domains.empty()) {
    append_new(domains, compat::split_at(options.original_domains, ','));
  } else {
    append_new(domains, train);
    append_new(domains, eval);
  }
  if (!options.force.empty() && std::ranges::find(domains, options.force) == domains.end())
    throw compat::UsageError("--force-domain-token '" + compat::printable(options.force) +
                             "' is none of the domains that have tokens: " +
                             compat::join(domains, ", ", [](const std::string& name) {
                               return compat::printable(name);
                             }));
  return domains;
}

void add_domain_tokens(compat::Dictionary& dictionary, std::span<const std::string> domains) {
  for (const std::string& domain : domains) dictionary.add_symbol(token_of(domain));
}

std::int64_t domain_token_id(const compat::Dictionary& dictionary,
                             const DomainTokenOptions& options, const std::string& domain) {
  const std::string& named = options.force.empty() ? domain : options.force;
  if (!dictionary.contains(token_of(named)))
    throw compat::UsageError("the domain '" + compat::printable(named) +
                             "' has no token in the model: name one that has "
                             "(--force-domain-token), or all of them (--original-domains)");
  return dictionary.index(token_of(named));
}

}  // namespace btm
