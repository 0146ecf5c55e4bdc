#include <filesystem>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "btm/branch/release_scripts.h"
#include "btm/branch/release_table.h"
#include "btm/cli/commands.h"
#include "btm/run/step.h"
#include "compat/base/error.h"
#include "compat/program/command_line.h"
#include "compat/program/process.h"

namespace btm {
namespace {

using Json = nlohmann::ordered_json;

Json scale_json(const ReleaseScale& scale) {
  return {{"name", scale.name},
          {"architecture", scale.architecture},
          {"gpus", scale.gpus},
          {"branch_gpus", scale.branch_gpus},
          {"num_updates", scale.num_updates},
          {"seed_phase_updates", scale.seed_phase_updates},
          {"update_freq", scale.update_freq},
          {"lr", scale.lr},
          {"save_interval_updates", scale.save_interval_updates},
          {"validate_interval_updates", scale.validate_interval_updates},
          {"precision", scale.precision}};
}

struct DomainList {
  std::string_view name, meaning;
  std::span<const std::string_view> domains;
};

std::vector<DomainList> domain_lists() {
  return {{"training_domains", "each has an expert", release_training_domains()},
          {"evaluation_domains", "never trained on", release_evaluation_domains()},
          {"scaled_domains", "of the 64-domain corpus, as the release lists them",
           release_scaled_domains()}};
}

void print_tables() {
  std::cout << "scale  architecture                GPUs  of a branch  updates  seed phase  update "
               "freq  lr      save every  validate every  precision\n";
  for (const ReleaseScale& s : release_scales())
    std::cout << std::left << std::setw(7) << s.name << std::setw(28) << s.architecture
              << std::setw(6) << s.gpus << std::setw(13) << s.branch_gpus << std::setw(9)
              << s.num_updates << std::setw(12) << s.seed_phase_updates << std::setw(13)
              << s.update_freq << std::setw(8) << s.lr << std::setw(12) << s.save_interval_updates
              << std::setw(16) << s.validate_interval_updates << s.precision << "\n";
  for (const DomainList& list : domain_lists()) {
    std::cout << "\n"
              << list.name << " (" << list.domains.size() << ", " << list.meaning << "):\n ";
    for (const std::string_view domain : list.domains) std::cout << " " << domain;
    std::cout << "\n";
  }
}

/// One value, or one name a line: for scripts.
void print_value(const std::string& scale_name, const std::string& key) {
  for (const DomainList& list : domain_lists())
    if (list.name == key) {
      for (const std::string_view domain : list.domains) std::cout << domain << "\n";
      return;
    }
  const ReleaseScale* const scale = find_release_scale(scale_name);
  if (scale == nullptr)
    throw compat::UsageError(
        "flag --scale: '" + compat::printable(scale_name) +
        "', expected one of the release's scales (125M, ...) or architectures");
  const Json json = scale_json(*scale);
  const auto found = json.find(key);
  if (found == json.end())
    throw compat::UsageError("flag --value: '" + compat::printable(key) +
                             "' is no column of the table (see --json)");
  std::cout << (found->is_string() ? found->get<std::string>() : found->dump()) << "\n";
}

struct ReleaseCommand {
  bool as_json = false;
  std::string scale, value, scripts;

  compat::CommandSpec spec() {
    return {
        "btm release",
        "Prints the settings of BTM's release: GPUs, updates, learning rate of each scale, and the "
        "names of its domains. With --scripts writes scripts with the release's names instead.",
        {},
        {{"Output",
          {compat::flag_switch("json", as_json, "as JSON"),
           compat::flag_text(
               "value", "KEY", value,
               "print only this list of domains or, with --scale, this column of its row"),
           compat::flag_text("scale", "NAME", scale,
                             "125M, 350M, 750M, 1.3B, or the name of an architecture"),
           compat::flag_text(
               "scripts", "DIR", scripts,
               "write DIR/btm_shell_scripts and DIR/btm_utils, which find this program "
               "through the link DIR/btm; DIR is BTM_CODE_PATH")}}},
        {}};
  }

  int run() {
    if (!scripts.empty()) {
      const std::filesystem::path program = compat::own_program();
      copy_release_scripts(release_scripts_of(program), program, scripts);
      const std::string place = std::filesystem::absolute(scripts).lexically_normal().string();
      std::cout << "cd " << shell_text({place})
                << "; export BTM_CODE_PATH=$PWD   # then: bash btm_shell_scripts/btm_train.sh ..."
                << std::endl;
    } else if (!value.empty()) {
      print_value(scale, value);
    } else if (as_json) {
      Json json{{"scales", Json::array()}};
      for (const ReleaseScale& row : release_scales()) json["scales"].push_back(scale_json(row));
      for (const DomainList& list : domain_lists()) json[std::string(list.name)] = list.domains;
      std::cout << json.dump(2) << "\n";
    } else {
      print_tables();
    }
    return 0;
  }
};

}  // namespace

compat::CommandSpec release_spec() { return compat::spec_owning<ReleaseCommand>(); }

int run_release(std::span<const std::string> args) { return compat::run_as<ReleaseCommand>(args); }

}  // namespace btm
