#include <array>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <optional>

#include "btm/cli/commands.h"
#include "btm/cli/eval_flags.h"
#include "btm/merge/merge_options.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/checkpoint/named_models.h"
#include "compat/io/atomic_file.h"
#include "compat/program/command_line.h"
#include "compat/program/reporter.h"

namespace btm {
namespace {

using compat::flag_choice;
using compat::flag_integer;
using compat::flag_switch;
using compat::flag_text;
using compat::UsageError;

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t end = std::min(text.find_first_of(separators, from), text.size());
    if (end > from) parts.push_back(text.substr(from, end - from));
    from = end + 1;
  }
  return parts;
}

struct AverageCommand {
  MergeOptions options;
  LogOptions log;
  std::string output_dir, model_files, weights_from, base_model, method = "linear",
                                                                 ties_trim = "model", dtype;
  std::optional<double> density, scale;
  std::int64_t seed = 1, num_threads = 0;

  compat::CommandSpec spec() {
    compat::FlagGroup models{
        "Models",
        {flag_text("model-files", "A:B[:C...]", model_files,
                   "the models, separated by ':' or ','; a DeMIX rank brings its shared half"),
         {"weights",
          "X,Y[,Z...]",
          "one weight per model (default: equal ones that sum to 1; 1 each for methods with a base "
          "model)",
          {},
          [this](const std::string& value) {
            for (const std::string_view weight : split(value, ","))
              options.weights.push_back(compat::parse_real(weight));
          }},
         flag_text("weights-from", "RESULTS.jsonl", weights_from,
                   "take the weights from the last exp_avg_posterior of an ensemble's results"),
         flag_switch("normalize", options.normalize, "divide the weights by their sum"),
         flag_switch("allow-unnormalized", options.allow_unnormalized,
                     "accept weights that do not sum to 1")}};
    compat::FlagGroup method_flags{
        "Method",
        {flag_choice("method", method, {"linear", "slerp", "task-arithmetic", "ties", "dare"},
                     "how to merge; the last three work on differences to a base model"),
         flag_text("base-model", "MODEL", base_model,
                   "the model that the others were branched from"),
         {"density", "X", "share of the differences that ties (see --ties-trim) and dare keep",
          "0.2 for ties, 0.1 for dare",
          [this](const std::string& value) { density = compat::parse_real(value); }},
         flag_choice("ties-trim", ties_trim, {"model", "tensor"},
                     "whether ties keeps the largest differences of the whole model (the paper) or "
                     "of each tensor (mergekit)"),
         {"scale,lambda", "X", "factor of the merged difference", "1",
          [this](const std::string& value) { scale = compat::parse_real(value); }},
         flag_integer("seed", "N", seed, "seed of dare's choice of elements", 0)}};
    compat::FlagGroup output{
        "Output",
        {flag_text("output-dir", "DIR", output_dir, "where checkpoint_last.pt is written"),
         flag_choice("dtype", dtype, {"float32", "float16", "bfloat16"},
                     "dtype of the tensors (default: that of the first model)"),
         flag_integer("num-threads", "N", num_threads, "threads; 0: all cores", 0)}};
    return {"btm average",
            std::string("Merges the parameters of models into one checkpoint. Everything else "
                        "comes from the first model. Memory does not grow with the size and number "
                        "of the models. ") +
                compat::kWhatAModelIs,
            {},
            {models, method_flags, output, log_flags(log)},
            {}};
  }

  /// The flags as options. UsageError for missing and contradicting flags.
  void resolve() {
    const auto warn = [](const std::string& line) {
      std::cerr << "btm average: warning: " << line << std::endl;
    };
    if (output_dir.empty()) throw UsageError("missing --output-dir");
    if (model_files.empty()) throw UsageError("missing --model-files");
    if (!options.weights.empty() && !weights_from.empty())
      throw UsageError("--weights and --weights-from exclude each other");
    for (compat::NamedModel& model : compat::resolve_models(model_files, warn, ":,"))
      options.model_files.push_back(std::move(model.path));
    if (!weights_from.empty()) options.weights = read_posterior(weights_from);
    options.base_model = base_model;
    options.output = std::filesystem::path(output_dir) / "checkpoint_last.pt";
    for (const MergeMethod candidate :
         {MergeMethod::kLinear, MergeMethod::kSlerp, MergeMethod::kTaskArithmetic,
          MergeMethod::kTies, MergeMethod::kDare})
      if (merge_method_name(candidate) == method) options.method = candidate;
    constexpr std::array kTypes{compat::DType::kFloat32, compat::DType::kFloat16,
                                compat::DType::kBFloat16};
    for (const compat::DType candidate : kTypes)
      if (compat::dtype_name(candidate) == dtype) options.dtype = candidate;
    resolve_parameters();
    options.seed = static_cast<std::uint64_t>(seed);
    options.num_threads = static_cast<int>(std::min<std::int64_t>(num_threads, 1024));
  }

  void resolve_parameters() {
    if (density) {
      if (options.method != MergeMethod::kTies && options.method != MergeMethod::kDare)
        throw UsageError("--density belongs to ties and dare, found --method " + method);
      if (!(*density > 0 && *density <= 1))
        throw UsageError("flag --density: " + std::to_string(*density) +
                         ", expected above 0 and at most 1");
      options.density = *density;
    }
    options.trims_tensors = ties_trim == "tensor";
    if (options.trims_tensors && options.method != MergeMethod::kTies)
      throw UsageError("--ties-trim belongs to ties, found --method " + method);
    if (scale) {
      if (!needs_base_model(options.method))
        throw UsageError("--scale belongs to methods with a base model, found --method " + method);
      options.scale = *scale;
    }
  }
};

std::string weights_text(const std::vector<double>& weights) {
  return compat::join(weights, ",", [](double weight) { return compat::general(weight); });
}

}  // namespace

compat::CommandSpec average_spec() { return compat::spec_owning<AverageCommand>(); }

int run_average(std::span<const std::string> args) {
  AverageCommand command;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(command.spec(), args, std::cout, ignored)) return 0;
  command.resolve();
  compat::check_can_write_in(command.output_dir);
  const bool is_new = std::filesystem::create_directories(command.output_dir);
  compat::Reporter reporter("btm average", "average (million parameters)", command.log);
  const MergeProgress progress = [&, shown = std::int64_t{0}](std::int64_t done,
                                                              std::int64_t total) mutable {
    constexpr std::int64_t kMillion = 1'000'000;
    if (done / kMillion == shown) return;
    shown = done / kMillion;
    reporter.progress(shown, total / kMillion);
  };
  const auto start = std::chrono::steady_clock::now();
  const MergeReport report = [&] {
    try {
      return merge_checkpoints(command.options, progress);
    } catch (...) {
      std::error_code error;
      if (is_new) std::filesystem::remove(command.output_dir, error);
      throw;
    }
  }();
  reporter.end_progress();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const auto megabytes = [](std::uint64_t bytes) {
    return compat::decimal(static_cast<double>(bytes) / 1e6, 1);
  };
  std::cout << command.options.output.string() << ": " << command.method << ", weights "
            << weights_text(report.weights) << "; " << report.models << " models, "
            << report.tensors << " tensors, " << megabytes(report.bytes_read) << " MB read, "
            << megabytes(report.bytes_written) << " MB written, "
            << compat::decimal(seconds.count(), 2) << " s" << std::endl;
  return 0;
}

}  // namespace btm
