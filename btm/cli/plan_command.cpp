#include <iostream>

#include "btm/branch/release_table.h"
#include "btm/cli/commands.h"
#include "btm/report/table.h"
#include "btm/run/estimate.h"
#include "btm/run/plan_example.h"
#include "compat/base/error.h"
#include "compat/program/command_line.h"
#include "compat/program/console.h"

namespace btm {
namespace {

using compat::flag_integer;
using compat::flag_switch;

compat::Flag flag_positive(std::string name, std::string unit, double& field, double scale,
                           std::string help) {
  return {
      std::move(name), std::move(unit), std::move(help),
      field > 0 ? short_number(field / scale) : "", [&field, scale](const std::string& value) {
        const double number = compat::parse_real(value);
        if (number <= 0)
          throw compat::UsageError("'" + compat::printable(value) + "', expected a number above 0");
        field = number * scale;
      }};
}

struct PlanCommand {
  EstimateOptions options;
  bool example = false, estimates = false, fp32_weights = false;
  std::int64_t experts = 64, more_experts = 1024;

  void take_scale(const std::string& name) {
    const ReleaseScale* scale = find_release_scale(name);
    if (scale == nullptr)
      throw compat::UsageError("'" + compat::printable(name) +
                               "', expected 125M, 350M, 750M or 1.3B");
    struct Shape {
      std::string_view name;
      std::int64_t layers, width;
    };
    for (const Shape& shape :
         {Shape{"125M", 12, 768}, {"350M", 24, 1024}, {"750M", 24, 1536}, {"1.3B", 24, 2048}})
      if (shape.name == scale->name) {
        options.layers = shape.layers;
        options.width = shape.width;
      }
    options.gpus = scale->branch_gpus;
    options.updates = scale->num_updates;
    options.seed_updates = scale->seed_phase_updates;
    options.update_freq = scale->update_freq;
    options.memory_efficient = scale->precision == "memory-efficient-fp16";
  }

  compat::CommandSpec spec() {
    EstimateOptions& o = options;
    compat::FlagGroup work{
        "What",
        {flag_switch("example", example, "print a plan to start from, with every key"),
         flag_switch("estimate", estimates, "estimate time, memory, storage and network"),
         {"scale", "NAME", "a scale of the release: its model, updates and GPUs", "1.3B",
          [this](const std::string& value) { take_scale(value); }},
         flag_integer("experts", "N", experts, "number of experts in the first column", 1),
         flag_integer("more-experts", "N", more_experts, "number of experts in the second column",
                      1),
         flag_integer("parallel-experts", "N", o.parallel_experts,
                      "experts trained at once; 0: all", 0)}};
    compat::FlagGroup machines{
        "Machines",
        {flag_integer("gpus", "N", o.gpus, "of an expert", 1),
         flag_positive("tflops", "X", o.flops, 1e12,
                       "TFLOP/s of a GPU in training, as measured (default: --peak-tflops times "
                       "--utilisation)"),
         flag_positive("peak-tflops", "X", o.peak_flops, 1e12,
                       "peak TFLOP/s of a GPU; 312 is that of an A100 in half precision"),
         flag_positive("utilisation", "X", o.utilisation, 1,
                       "share of the peak that training reaches"),
         flag_positive("fabric", "GB/S", o.fabric, 1e9,
                       "bandwidth between the GPUs of an expert, for each GPU"),
         flag_positive("link", "MB/S", o.link, 1e6,
                       "bandwidth between an expert's site and the store"),
         flag_switch(
             "fp32-weights", fp32_weights,
             "with an fp32 copy of the weights (--fp16 instead of --memory-efficient-fp16)")}};
    return {"btm plan",
            "Prints a plan to start from, for btm run (--example). Or estimates what many experts "
            "cost, from the cost of a token, and prints its assumptions, which are flags "
            "(--estimate).",
            {},
            {work, machines},
            {}};
  }
};

}  // namespace

compat::CommandSpec plan_spec() { return compat::spec_owning<PlanCommand>(); }

int run_plan(std::span<const std::string> args) {
  PlanCommand command;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(command.spec(), args, std::cout, ignored)) return 0;
  if (command.example) {
    std::cout << plan_example();
    return 0;
  }
  if (!command.estimates)
    throw compat::UsageError(
        "nothing to do: expected --example or --estimate (to run a plan: btm run PLAN)");
  if (command.fp32_weights) command.options.memory_efficient = false;
  std::vector<Estimate> estimates{estimate(command.options, command.experts)};
  if (command.more_experts != command.experts)
    estimates.push_back(estimate(command.options, command.more_experts));
  std::cout << to_text(estimate_table(estimates), compat::table_width()) << "\n"
            << to_text(assumption_table(command.options), compat::table_width());
  return 0;
}

}  // namespace btm
