#include <algorithm>
#include <filesystem>
#include <iostream>

#include "btm/cli/commands.h"
#include "btm/cli/eval_flags.h"
#include "btm/mix/routing_shares.h"
#include "btm/report/html_page.h"
#include "btm/report/routing_page.h"
#include "btm/report/table.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/checkpoint/named_models.h"
#include "compat/io/atomic_file.h"
#include "compat/program/command_line.h"
#include "compat/program/console.h"

namespace btm {
namespace {

using compat::flag_integer;
using compat::flag_text;

struct RoutingCommand {
  RoutingOptions options;
  std::string out = "routing";
  bool overwrite = false;

  compat::CommandSpec spec() {
    return {"btm routing",
            std::string("Shows which experts of a mixture the tokens of each domain go to, layer "
                        "by layer: a table, JSON and an HTML report. ") +
                compat::kWhatAModelIs,
            {{"DATA", "folder of domains, with dict.txt", &options.folder},
             {"MODEL", "a mixture of experts (btm mix)", &options.model}},
            {{"Data",
              {flag_text("domains", "LIST", options.domains,
                         "comma-separated folders of DATA (default: all that have the split)"),
               flag_text("split,gen-subset", "SPLIT", options.split,
                         "a domain's set is SPLIT_DOMAIN, or SPLIT"),
               flag_integer("tokens", "N", options.tokens,
                            "stop a domain after the batch with its N-th token; 0: all", 0)}},
             machine_flags(options.machine),
             {"Output",
              {flag_text("out", "FOLDER", out, "for routing.json and report.html"),
               compat::flag_overwrite(overwrite)}}},
            {}};
  }
};

}  // namespace

compat::CommandSpec routing_spec() { return compat::spec_owning<RoutingCommand>(); }

int run_routing(std::span<const std::string> args) {
  RoutingCommand command;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(command.spec(), args, std::cout, ignored)) return 0;
  compat::check_new_outputs(command.out, {"routing.json", "report.html"}, command.overwrite);
  const RoutingShares shares = routing_shares(command.options, [](const std::string& line) {
    std::cerr << "btm routing: warning: " << line << std::endl;
  });
  const RoutingPicture picture{command.options.model, std::string(routing_name(shares.routing)),
                               shares.domains,        shares.experts,
                               shares.layers,         shares.tokens,
                               shares.shares};
  std::cout << to_text(routing_table(picture), compat::table_width())
            << "\nPercent of a domain's tokens, the mean over " << shares.layers.size()
            << " layers." << std::endl;
  write_routing(command.out, picture);
  std::cout << "Also in " << compat::printable(command.out, 4096)
            << "/: routing.json, report.html\n";
  return 0;
}

}  // namespace btm
