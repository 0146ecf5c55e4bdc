#include <filesystem>
#include <iostream>
#include <optional>

#include "btm/cli/commands.h"
#include "btm/cli/eval_flags.h"
#include "btm/merge/merge_options.h"
#include "btm/mix/mix.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/checkpoint/named_models.h"
#include "compat/io/atomic_file.h"
#include "compat/program/command_line.h"

namespace btm {
namespace {

using compat::flag_choice;
using compat::flag_integer;
using compat::flag_text;
using compat::UsageError;

struct MixCommand {
  MixOptions options;
  std::vector<std::string> models;
  compat::ExpertChoice choice;
  std::string output, add, router = "random", routing = "top2", router_from, weights, weights_from;
  std::int64_t seed = 1;
  bool overwrite = false;

  compat::FlagGroup router_flags() {
    RouterData& data = options.data;
    return {
        "Routers",
        {flag_choice("moe-router", routing, {"top1", "top2", "soft"},
                     "the experts of a token: the most probable one, two, or all"),
         flag_choice("router", router, {"random", "domain", "posterior"},
                     "where the routers start: random numbers, the mean of each domain's hidden "
                     "states, or the nearest to the experts' posterior"),
         flag_text("router-from", "MIXTURE", router_from,
                   "take the trained routers of a mixture of these experts, by their names"),
         flag_text("data", "DIR", data.folder,
                   "for domain and posterior: a folder with one folder for each expert's name"),
         flag_text("split", "SPLIT", data.split, "a domain's text is SPLIT_DOMAIN, or SPLIT"),
         flag_integer("router-tokens", "N", data.tokens, "tokens of each domain, at least", 1),
         flag_integer("seed", "N", seed, "of random numbers", 0)}};
  }

  compat::CommandSpec spec() {
    compat::FlagGroup which{
        "Models",
        {flag_text("weights", "X,Y[,Z...]", weights,
                   "one weight per expert for what is averaged (default: equal ones)"),
         flag_text("weights-from", "RESULTS.jsonl", weights_from,
                   "take them from the last exp_avg_posterior of an ensemble's results"),
         flag_text("add", "[NAME=]MODEL[:...]", add,
                   "dense models that become experts of a mixture")}};
    for (compat::Flag& flag : choice_flags(choice)) which.flags.push_back(std::move(flag));
    compat::FlagGroup out{
        "Output",
        {flag_text("output", "DIR", output, "where checkpoint_last.pt is written"),
         compat::flag_overwrite(overwrite)}};
    return {
        "btm mix",
        std::string("Makes one mixture of experts from dense models (Branch-Train-MiX): their "
                    "feed-forward blocks become experts, all else is averaged, and each layer "
                    "gets a router, which btm train trains. Given a mixture, adds experts to it "
                    "or leaves some out. ") +
            compat::kWhatAModelIs,
        {{"[NAME=]MODEL", "the experts, or one mixture", nullptr, &models}},
        {which, router_flags(), out, machine_flags(options.machine)},
        {}};
  }

  static void warn(const std::string& line) {
    std::cerr << "btm mix: warning: " << line << std::endl;
  }

  void resolve() {
    if (output.empty()) throw UsageError("missing --output");
    if (!weights.empty() && !weights_from.empty())
      throw UsageError("--weights and --weights-from exclude each other");
    if (!router_from.empty() && router != "random")
      throw UsageError("--router-from and --router exclude each other");
    options.output = std::filesystem::path(output) / "checkpoint_last.pt";
    options.routing = routing_of(routing).value();
    options.router = router == "domain"      ? RouterStart::kDomain
                     : router == "posterior" ? RouterStart::kPosterior
                                             : RouterStart::kRandom;
    if (options.router == RouterStart::kRandom && !options.data.folder.empty())
      throw UsageError("--data belongs to --router domain and posterior");
    if (options.router != RouterStart::kRandom && options.data.folder.empty())
      throw UsageError("--router " + router + " reads text: --data DIR is missing");
    options.router_from = router_from;
    options.seed = static_cast<std::uint64_t>(seed);
    options.weights = compat::parse_reals(weights);
    if (!weights_from.empty()) options.weights = read_posterior(weights_from);
  }

  /// UsageError for flags that do not go with a mixture.
  RemixOptions remixing(const std::filesystem::path& mixture) const {
    if (!weights.empty() || !weights_from.empty() || !router_from.empty())
      throw UsageError(
          "--weights, --weights-from and --router-from belong to a new mixture, found " +
          compat::printable(mixture.string(), 4096) + ", which is one");
    if (add.empty() && router != "random")
      throw UsageError("--router is for new experts, and --add is missing");
    if (add.empty() && !choice.is_made())
      throw UsageError("a mixture is given: --add, --experts or --without says what to change");
    return {mixture,      compat::resolve_models(add, warn),
            choice,       options.output,
            options.seed, options.router,
            options.data, options.machine};
  }
};

MixReport mix(MixCommand& command) {
  std::vector<compat::NamedModel> models = compat::resolve_models(command.models, MixCommand::warn);
  if (models.empty()) throw UsageError("no models to mix");
  if (is_mixture(models.front().path)) {
    if (models.size() > 1)
      throw UsageError(compat::printable(models.front().path.string(), 4096) +
                       " is a mixture, expected it alone (--add MODEL grows it)");
    return remix(command.remixing(models.front().path));
  }
  if (!command.add.empty())
    throw UsageError("--add grows a mixture, found the dense model " +
                     compat::printable(models.front().path.string(), 4096));
  command.options.experts = compat::chosen_experts(std::move(models), command.choice);
  return mix_experts(command.options);
}

}  // namespace

compat::CommandSpec mix_spec() { return compat::spec_owning<MixCommand>(); }

int run_mix(std::span<const std::string> args) {
  MixCommand command;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(command.spec(), args, std::cout, ignored)) return 0;
  command.resolve();
  compat::check_can_write_in(command.output);
  if (std::filesystem::exists(command.options.output))
    compat::check_new_output(command.options.output, command.overwrite);
  const bool is_new = std::filesystem::create_directories(command.output);
  MixReport report;
  try {
    report = mix(command);
  } catch (...) {
    std::error_code error;
    if (is_new) std::filesystem::remove(command.output, error);
    throw;
  }
  std::cout
      << compat::printable(command.options.output.string(), 4096) << ": " << report.experts
      << " experts in " << report.layers << " layers (" << report.routing << "), "
      << compat::grouped(report.parameters) << " parameters, " << compat::grouped(report.active)
      << " of them for a token; to train it, give btm train the experts' flags and --moe-freq "
         "1 --moe-expert-count "
      << report.experts << " --moe-router " << report.routing << std::endl;
  return 0;
}

}  // namespace btm
