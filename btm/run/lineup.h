// Who takes part in a run: the domains that the plan names, those that the finished seed model was
// trained on, and the experts that `btm expert add` brought to the run's forest.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "btm/run/plan.h"

namespace btm {

/// A complete expert of experts/forest.json that no step of the plan makes.
struct BroughtExpert {
  std::string name;
  std::filesystem::path checkpoint;  ///< In the run's folder.
  std::string own_domain;  ///< A folder of the run's data-bin with the split to evaluate, or "".
  std::vector<std::filesystem::path> data_files;  ///< Of that folder, absolute.
};

struct Lineup {
  std::vector<std::string> founders;      ///< Domains of the tokeniser and the dictionary.
  std::vector<std::string> seed_domains;  ///< Domains of the seed model and the dense baseline.
  std::vector<std::string> domains;       ///< What is preprocessed: the plan's and the founders.
  std::vector<std::string> evaluated;     ///< Columns of the matrix.
  std::vector<std::string> trained;       ///< Experts that the run trains.
  std::vector<BroughtExpert> brought;

  /// All experts, which are mixed and averaged: trained, then brought.
  std::vector<std::string> experts() const;
};

/// The plan alone: all of its domains are founders.
Lineup lineup_of(const Plan& plan);

/// The domains that a seed model was trained on, as its run has noted them beside it.
struct Founding {
  struct Domain {
    std::string name;
    bool has_expert = true;
    std::vector<std::string> digests;  ///< SHA-256 of founder_files(), in their order.
  };
  std::string seed_key;  ///< The key of the step seed.
  std::vector<Domain> domains;
};

using DigestOf = std::function<std::string(const std::filesystem::path&)>;

/// The files of a domain outside the run's folder that the steps before the branch read.
std::vector<std::filesystem::path> founder_files(const Plan& plan, const std::string& domain);

/// Nothing for a missing or damaged file.
std::optional<Founding> read_founding(const std::filesystem::path& file);
void write_founding(const std::filesystem::path& file, const Founding& founding);  ///< Atomic.
Founding founding_of(const Plan& plan, const Lineup& lineup, const std::string& seed_key,
                     const DigestOf& digest);

/// The lineup whose founders are those of `founding`. A founder that the plan names no more has
/// been renamed when a domain of the plan has its texts, and else it is preprocessed but gets no
/// expert.
Lineup lineup_of(const Plan& plan, const Founding& founding, const DigestOf& digest);

/// `digest`, or what `founding` says of a file that is no longer there.
DigestOf with_founding(const Plan& plan, const Founding& founding, DigestOf digest);

}  // namespace btm
