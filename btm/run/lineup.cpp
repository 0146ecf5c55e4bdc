#include "btm/run/lineup.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/io/atomic_file.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"
#include "compat/io/sha256.h"

namespace btm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

bool has(const std::vector<std::string>& list, const std::string& name) {
  return std::ranges::find(list, name) != list.end();
}

/// The plan's domain whose files have the digests of `founder`; "" for none. Domains that are
/// founders under their own names are passed over.
std::string renamed(const Plan& plan, const Founding& founding, const Founding::Domain& founder,
                    const std::vector<std::string>& taken, const DigestOf& digest) {
  for (const std::string& domain : plan.domains) {
    if (has(taken, domain)) continue;
    if (std::ranges::find(founding.domains, domain, &Founding::Domain::name) !=
        founding.domains.end())
      continue;
    const std::vector<fs::path> files = founder_files(plan, domain);
    if (std::ranges::equal(
            files, founder.digests,
            [&](const fs::path& file, const std::string& known) { return digest(file) == known; }))
      return domain;
  }
  return {};
}

std::optional<Founding::Domain> read_domain(const json& entry) {
  if (!entry.is_object() || !entry.contains("name") || !entry["name"].is_string() ||
      !entry.contains("digests") || !entry["digests"].is_array())
    return std::nullopt;
  Founding::Domain domain{entry["name"], entry.value("expert", json(true)) == json(true), {}};
  if (!is_domain_name(domain.name)) return std::nullopt;
  for (const json& digest : entry["digests"]) {
    if (!digest.is_string() || !compat::is_sha256_hex(digest.get_ref<const std::string&>()))
      return std::nullopt;
    domain.digests.push_back(digest);
  }
  return domain;
}

}  // namespace

std::vector<std::string> Lineup::experts() const {
  std::vector<std::string> names = trained;
  for (const BroughtExpert& expert : brought) names.push_back(expert.name);
  return names;
}

Lineup lineup_of(const Plan& plan) {
  Lineup lineup{plan.domains, plan.experts, plan.domains, plan.domains, plan.experts, {}};
  if (plan.seed_domains.empty() || plan.seed_domains == std::vector<std::string>{kAllDomains})
    return lineup;
  lineup.founders = plan.seed_domains;
  lineup.seed_domains = plan.seed_domains;
  return lineup;
}

std::vector<fs::path> founder_files(const Plan& plan, const std::string& domain) {
  if (plan.has_corpus()) return {};
  if (!plan.data_bin.empty())
    return {plan.data_bin / domain / "train.bin", plan.data_bin / domain / "train.idx"};
  if (plan.has_text_held_out()) return {Plan::of_domain(plan.train, domain)};
  return {Plan::of_domain(plan.train, domain), Plan::of_domain(plan.valid, domain),
          Plan::of_domain(plan.test, domain)};
}

std::optional<Founding> read_founding(const fs::path& file) {
  std::error_code missing;
  if (!fs::is_regular_file(file, missing)) return std::nullopt;
  const auto mapped = compat::MappedFile::open(file);
  const json record = compat::parse_json(compat::as_chars(mapped->bytes()));
  if (!record.is_object() || !record.contains("seed_key") || !record["seed_key"].is_string() ||
      !record.contains("domains") || !record["domains"].is_array())
    return std::nullopt;
  Founding founding{record["seed_key"], {}};
  for (const json& entry : record["domains"]) {
    auto domain = read_domain(entry);
    if (!domain) return std::nullopt;
    founding.domains.push_back(std::move(*domain));
  }
  return founding;
}

void write_founding(const fs::path& file, const Founding& founding) {
  json domains = json::array();
  for (const Founding::Domain& domain : founding.domains)
    domains.push_back(
        {{"name", domain.name}, {"expert", domain.has_expert}, {"digests", domain.digests}});
  compat::write_file_atomically(
      file, json{{"seed_key", founding.seed_key}, {"domains", domains}}.dump(1) + "\n");
}

Founding founding_of(const Plan& plan, const Lineup& lineup, const std::string& seed_key,
                     const DigestOf& digest) {
  Founding founding{seed_key, {}};
  for (const std::string& name : lineup.founders) {
    Founding::Domain domain{name, has(lineup.seed_domains, name), {}};
    for (const fs::path& file : founder_files(plan, name)) domain.digests.push_back(digest(file));
    founding.domains.push_back(std::move(domain));
  }
  return founding;
}

Lineup lineup_of(const Plan& plan, const Founding& founding, const DigestOf& digest) {
  Lineup lineup = lineup_of(plan);
  if (plan.has_corpus()) return lineup;  // its clusters are one partition: none comes later
  lineup.founders.clear();
  lineup.seed_domains.clear();
  for (const Founding::Domain& founder : founding.domains) {
    std::string name = founder.name;
    if (!has(plan.domains, name))
      if (const std::string now = renamed(plan, founding, founder, lineup.founders, digest);
          !now.empty())
        name = now;
    lineup.founders.push_back(name);
    if (founder.has_expert) lineup.seed_domains.push_back(name);
    if (!has(lineup.domains, name)) lineup.domains.push_back(name);
  }
  return lineup;
}

DigestOf with_founding(const Plan& plan, const Founding& founding, DigestOf digest) {
  std::map<std::string, std::string> known;
  for (const Founding::Domain& founder : founding.domains) {
    const std::vector<fs::path> files = founder_files(plan, founder.name);
    for (std::size_t i = 0; i < std::min(files.size(), founder.digests.size()); ++i)
      known[files[i].string()] = founder.digests[i];
  }
  return [known = std::move(known), digest = std::move(digest)](const fs::path& file) {
    std::error_code missing;
    const auto found = known.find(file.string());
    return found != known.end() && !fs::exists(file, missing) ? found->second : digest(file);
  };
}

}  // namespace btm
