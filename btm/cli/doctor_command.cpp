#include <iostream>
#include <nlohmann/json.hpp>

#include "btm/cli/commands.h"
#include "btm/ensemble/cache_folder.h"
#include "btm/ensemble/score_cache.h"
#include "btm/machine/examination.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/version.h"

namespace btm {
namespace {

constexpr std::string_view name_of(Fitness fitness) {
  return fitness == Fitness::kGood ? "ok" : fitness == Fitness::kNotice ? "note" : "unfit";
}

Finding examine_caches() {
  const std::filesystem::path folder = default_score_cache();
  if (folder.empty())
    return {"caches", Fitness::kNotice, "no home folder", "ensemble-eval needs --score-cache"};
  std::uint64_t bytes = 0;
  const std::vector<CachedFile> files = cached_files(folder);
  for (const CachedFile& file : files) bytes += file.bytes;
  return {
      "caches", Fitness::kGood,
      compat::concat(files.size(), " files, ", compat::decimal(static_cast<double>(bytes) / 1e6, 1),
                     " MB in ", compat::printable(folder.string(), 4096)),
      ""};
}

struct DoctorCommand {
  bool json = false;

  compat::CommandSpec spec() {
    return {"btm doctor",
            "Says in ten lines whether this machine is fit, and what to do where it is not: the "
            "processor, threads, memory, disk of this folder, GPU, NCCL, Slurm, caches. Status 1 "
            "when something is unfit.",
            {},
            {{"Output", {compat::flag_switch("json", json, "as JSON")}}},
            {}};
  }

  int run() {
    std::vector<Finding> findings = examine_machine(std::filesystem::current_path());
    findings.insert(findings.begin(),
                    {"btm", Fitness::kGood, std::string(compat::program_version()), ""});
    findings.push_back(examine_caches());
    bool fit = true;
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const Finding& finding : findings) {
      fit = fit && finding.fitness != Fitness::kUnfit;
      if (json)
        rows.push_back({{"name", finding.name},
                        {"state", name_of(finding.fitness)},
                        {"found", finding.found},
                        {"advice", finding.advice}});
      else
        print(finding);
    }
    if (json)
      std::cout << nlohmann::ordered_json{{"fit", fit}, {"findings", rows}}.dump(
                       2, ' ', false, nlohmann::json::error_handler_t::replace)
                << "\n";
    return fit ? 0 : 1;
  }

  static void print(const Finding& finding) {
    const std::string_view state = name_of(finding.fitness);
    std::cout << state << std::string(7 - state.size(), ' ') << finding.name
              << std::string(11 - finding.name.size(), ' ') << finding.found
              << (finding.advice.empty() ? "" : ": " + finding.advice) << "\n";
  }
};

}  // namespace

compat::CommandSpec doctor_spec() { return compat::spec_owning<DoctorCommand>(); }

int run_doctor(std::span<const std::string> args) { return compat::run_as<DoctorCommand>(args); }

}  // namespace btm
