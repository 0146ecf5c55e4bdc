// DeMIX's domain tokens: every sample begins with a symbol of its domain, which the fork adds to
// the dictionary behind the words of dict.txt.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compat/fairseq/dictionary.h"

namespace btm {

/// The DeMIX fork's flags of the task multidomain_language_modeling.
struct DomainTokenOptions {
  bool add = false;              ///< --add-domain-token
  std::string force;             ///< --force-domain-token: the domain whose token all samples get.
  std::string original_domains;  ///< --original-domains: the domains that have tokens; "": those of
                                 ///< the task.
};

/// UsageError for flags that contradict each other. `multidomain` says whether that is the task.
void check_domain_tokens(const DomainTokenOptions& options, bool multidomain);

/// The domains that have tokens, in the order of the tokens: those of --original-domains as they
/// stand, else the task's `train` domains and then the `eval` domains. None without
/// --add-domain-token. UsageError where --force-domain-token is none of them.
std::vector<std::string> token_domains(const DomainTokenOptions& options,
                                       std::span<const std::string> train,
                                       std::span<const std::string> eval);

/// Adds the symbols "<DOMAIN>" to the end of a dictionary, as the fork does: one that is there
/// already, such as "<s>", stays where it is.
void add_domain_tokens(compat::Dictionary& dictionary, std::span<const std::string> domains);

/// The id of the token that samples of `domain` begin with. UsageError where the dictionary has
/// none; the fork takes <unk>.
std::int64_t domain_token_id(const compat::Dictionary& dictionary,
                             const DomainTokenOptions& options, const std::string& domain);

}  // namespace btm
