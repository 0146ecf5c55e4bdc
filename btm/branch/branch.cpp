#include "btm/branch/branch.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <regex>
#include <vector>

#include "btm/branch/expert_cluster.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/checkpoint/named_models.h"
#include "compat/io/atomic_file.h"
#include "compat/torch/finite.h"

namespace btm {
namespace {

namespace fs = std::filesystem;
using compat::UsageError;

std::string shown(const fs::path& path) { return compat::printable(path.string(), 4096); }

/// checkpoint_EPOCH_UPDATE[-rank-N].pt of a folder; `rank` is empty for a dense one.
struct Candidate {
  std::string stem;  ///< "checkpoint_3_4000"
  std::int64_t epoch = 0, update = 0;
  bool demix = false;
};

std::vector<Candidate> numbered_checkpoints(const fs::path& folder) {
  // At most as many digits as an int64 holds. Other names, with any number of underscores, are
  // ignored.
  static const std::regex kName("^(checkpoint_([0-9]{1,18})_([0-9]{1,18}))(-rank-[0-9]+)?\\.pt$");
  std::vector<Candidate> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::smatch match;
    if (name.size() > 255 || !std::regex_match(name, match, kName) ||
        !entry->is_regular_file(error))
      continue;
    found.push_back({match[1], std::stoll(match[2]), std::stoll(match[3]), match[4].matched});
  }
  if (error) throw compat::IoError(folder.string(), "cannot list", error.value());
  return found;
}

std::string nearest(std::vector<Candidate> candidates, const BranchOptions& options,
                    const fs::path& folder) {
  if (candidates.empty())
    throw compat::IoError(folder.string(),
                          "holds no checkpoint_EPOCH_UPDATE.pt to branch from "
                          "(--phase-one-update-num -1 takes checkpoint_last.pt)");
  const auto by_update = [](const Candidate& a, const Candidate& b) {
    return std::pair(a.update, a.epoch) < std::pair(b.update, b.epoch);
  };
  std::ranges::sort(candidates, by_update);
  std::int64_t wanted = options.update.value_or(0);
  bool later_wins = false;
  if (options.share) {
    wanted =
        static_cast<std::int64_t>(*options.share * static_cast<double>(candidates.back().update));
    later_wins = *options.share > 0.5;
  }
  const auto distance = [&](const Candidate& candidate) {
    return std::abs(candidate.update - wanted);
  };
  const Candidate* best = &candidates.front();
  for (const Candidate& candidate : candidates)
    if (distance(candidate) < distance(*best) ||
        (later_wins && distance(candidate) == distance(*best)))
      best = &candidate;
  return best->stem;
}

/// The rank that `domain_id` means: a number, or the position of a domain's name among those that a
/// shard was trained on.
std::string rank_of(const std::string& domain_id, const fs::path& folder, const std::string& stem) {
  if (domain_id.empty())
    throw UsageError(
        shown(folder) +
        " holds DeMIX experts: which of them? (--domain-id with a rank or a domain's name)");
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (domain_id.size() <= 9 && std::ranges::all_of(domain_id, is_digit)) return domain_id;
  const compat::Checkpoint shard = compat::Checkpoint::open(folder / (stem + "-rank-0.pt"));
  const std::vector<std::string> domains = trained_domains(shard.config());
  if (const auto found = std::ranges::find(domains, domain_id); found != domains.end())
    return std::to_string(found - domains.begin());
  const std::string names = compat::join(domains, ",");
  throw UsageError("flag --domain-id: '" + compat::printable(domain_id) +
                   "', expected a rank or one of the domains that " +
                   shown(folder / (stem + "-rank-0.pt")) + " was trained on (" +
                   (names.empty() ? "it names none" : compat::printable(names, 400)) + ")");
}

void check_options(const BranchOptions& options) {
  if (options.share.has_value() == options.update.has_value())
    throw UsageError("exactly one of --phase-one-ratio and --phase-one-update-num is needed");
  if (options.share && !(*options.share >= 0 && *options.share <= 1))
    throw UsageError(compat::concat("flag --phase-one-ratio: ", compat::general(*options.share),
                                    ", expected 0 to 1"));
  if (options.update && *options.update < -1)
    throw UsageError(compat::concat("flag --phase-one-update-num: ", *options.update,
                                    ", expected -1 or an update"));
}

/// A run that starts from NaN cannot train. Reads every byte of the weights.
void check_weights_are_finite(const compat::Checkpoint& source) {
  std::vector<std::byte> scratch;
  for (const auto& [name, view] : source.model()) {
    if (compat::is_unset_buffer(name)) continue;
    compat::check_finite(view.contiguous_bytes(scratch), view.dtype(), source.path(), name);
    view.storage->release_pages();
  }
}

/// Where a branch starts.
struct Source {
  enum Kind { kDense, kDemix, kOther };
  fs::path path;
  Kind kind = kDense;
};

/// The checkpoint of the run in `folder`; of what is no run (a Hugging Face folder, a safetensors
/// file, ...) the model, where the last checkpoint is asked for.
Source chosen_source(const BranchOptions& options, const fs::path& folder) {
  const bool is_last = options.update == -1;
  if (is_last && fs::is_regular_file(folder))
    return {compat::resolve_model(folder).path, Source::kOther};
  if (!fs::is_directory(folder))
    throw compat::IoError(folder.string(), "is not a folder, expected one with checkpoints");
  std::vector<Candidate> candidates = numbered_checkpoints(folder);
  const bool has_last = fs::exists(folder / "checkpoint_last.pt");
  const bool dense =
      has_last || std::ranges::any_of(candidates, [](const Candidate& c) { return !c.demix; });
  if (!dense && candidates.empty() && !fs::exists(folder / "checkpoint_last-rank-0.pt")) {
    if (is_last) return {compat::resolve_model(folder).path, Source::kOther};
    throw compat::IoError(folder.string(),
                          "holds no checkpoint to branch from, expected checkpoint_last.pt, "
                          "checkpoint_EPOCH_UPDATE.pt, or DeMIX's -rank-N.pt");
  }
  if (dense && is_last && !has_last)
    throw compat::IoError(folder.string(),
                          "holds no checkpoint_last.pt, only checkpoints of updates: "
                          "--phase-one-update-num N takes the nearest one");
  std::erase_if(candidates, [&](const Candidate& candidate) { return candidate.demix == dense; });
  const std::string stem =
      is_last ? "checkpoint_last" : nearest(std::move(candidates), options, folder);
  if (dense) return {folder / (stem + ".pt"), Source::kDense};
  return {folder / (stem + "-rank-" + rank_of(options.domain_id, folder, stem) + ".pt"),
          Source::kDemix};
}

/// Writes a model of another program's format as a checkpoint that fairseq reads.
void save_as_trained(const compat::Checkpoint& model, const fs::path& path) {
  compat::PickleArena arena;
  compat::save_checkpoint(path, *compat::with_history(arena, model.root()));
}

}  // namespace

BranchReport branch_checkpoint(const BranchOptions& options) {
  check_options(options);
  const fs::path folder = options.old_folder / options.subfolder;
  const fs::path target_folder =
      options.new_folder /
      (options.new_subfolder.empty() ? options.subfolder : options.new_subfolder);
  BranchReport report;
  report.target = target_folder / "checkpoint_last.pt";
  report.existed = fs::exists(report.target);
  if (report.existed) return report;
  const Source chosen = chosen_source(options, folder);
  report.source = chosen.path;
  report.from_demix = chosen.kind == Source::kDemix;

  const compat::Checkpoint source =
      compat::Checkpoint::open(report.source);  // for a dense one too, to find a wrong file here
  check_weights_are_finite(source);
  fs::create_directories(target_folder);
  if (chosen.kind == Source::kDense)
    compat::copy_file_atomically(report.source, report.target);
  else if (chosen.kind == Source::kDemix)
    compat::save_checkpoint(report.target, source.root());
  else
    save_as_trained(source, report.target);
  return report;
}

}  // namespace btm
