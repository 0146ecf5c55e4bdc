#include <iostream>

#include "btm/branch/branch.h"
#include "btm/cli/commands.h"
#include "compat/base/error.h"
#include "compat/checkpoint/named_models.h"
#include "compat/program/command_line.h"

namespace btm {
namespace {

using compat::flag_text;

struct BranchCommand {
  std::string old_folder, new_folder, subfolder = ".", new_subfolder;
  BranchOptions options;

  compat::CommandSpec spec() {
    return {
        "btm branch",
        std::string(
            "Makes a checkpoint of one run the start of another: writes "
            "NEW/RUN/checkpoint_last.pt, unless that exists. Prints 'src_filename PATH' "
            "for a dense checkpoint, 'expert_path PATH' for a DeMIX expert (merged with its "
            "shared half), 'False' when the branch exists. With --phase-one-update-num -1 "
            "the run may be any one model. ") +
            compat::kWhatAModelIs,
        {},
        {{"Where",
          {flag_text("old-folder", "DIR", old_folder, "the runs to branch from"),
           flag_text("subfolder", "NAME", subfolder, "the run in it"),
           flag_text("new-folder", "DIR", new_folder, "the runs to branch to"),
           flag_text("new-subfolder", "NAME", new_subfolder,
                     "the run in it (default: --subfolder's)")}},
         {"Which checkpoint",
          {{"phase-one-ratio",
            "X",
            "the one nearest to this share of the last one's updates",
            {},
            [this](const std::string& value) { options.share = compat::parse_real(value); }},
           {"phase-one-update-num",
            "N",
            "the one nearest to this update; -1: checkpoint_last",
            {},
            [this](const std::string& value) { options.update = compat::parse_integer(value); }},
           flag_text("domain-id", "N", options.domain_id,
                     "DeMIX: the rank of the expert, or its domain's name")}}},
        {}};
  }

  void resolve() {
    if (old_folder.empty()) throw compat::UsageError("missing --old-folder");
    if (new_folder.empty()) throw compat::UsageError("missing --new-folder");
    options.old_folder = old_folder;
    options.subfolder = subfolder;
    options.new_folder = new_folder;
    options.new_subfolder = new_subfolder;
  }
};

}  // namespace

compat::CommandSpec branch_spec() { return compat::spec_owning<BranchCommand>(); }

int run_branch(std::span<const std::string> args) {
  BranchCommand command;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(command.spec(), args, std::cout, ignored)) return 0;
  command.resolve();
  const BranchReport report = branch_checkpoint(command.options);
  if (report.existed) {
    std::cerr << "btm branch: " << compat::printable(report.target.string(), 4096)
              << " exists; the run resumes from it" << std::endl;
    std::cout << "False" << std::endl;
    return 0;
  }
  std::cout << (report.from_demix ? "expert_path " : "src_filename ") << report.source.string()
            << std::endl;
  return 0;
}

}  // namespace btm
