#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>

#include "btm/cli/commands.h"
#include "btm/cli/eval_flags.h"
#include "btm/cli/mixture_flags.h"
#include "btm/ensemble/ensemble_eval.h"
#include "btm/ensemble/eval_matrix.h"
#include "btm/model/tensor_memory.h"
#include "btm/report/html_page.h"
#include "btm/report/matrix_page.h"
#include "btm/report/table.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/checkpoint/named_models.h"
#include "compat/io/atomic_file.h"
#include "compat/program/console.h"
#include "compat/program/reporter.h"

namespace btm {
namespace {

using compat::flag_choice;
using compat::flag_integer;
using compat::flag_switch;
using compat::flag_text;

std::string joined_names(const std::vector<std::string>& names) {
  return compat::join(names, ",", [](const std::string& name) { return compat::printable(name); });
}

/// The domain and its bytes in an entry of --bytes.
std::pair<std::string, std::int64_t> domain_bytes(const std::string& entry) {
  const std::size_t equals = std::min(entry.find('='), entry.size());
  const auto bytes = compat::number_of<std::int64_t>(
      std::string_view(entry).substr(std::min(equals + 1, entry.size())));
  if (equals == 0 || !bytes || *bytes < 1)
    throw compat::UsageError("flag --bytes: '" + compat::printable(entry) + "', expected DOMAIN=N");
  return {entry.substr(0, equals), *bytes};
}

struct EvalMatrixCommand {
  EvalMatrixOptions options;
  LogOptions log;
  std::vector<std::string> models;
  compat::ExpertChoice choice;
  std::string domains, ensembles = joined_names(kUsualEnsembles),
                       posterior = std::string(name_of(PosteriorRule::kLast)), bytes,
                       out = "eval-matrix";

  EvalMatrixCommand() { options.batching.batch_size = kEnsembleBatchSize; }

  compat::FlagGroup mixture() {
    return {
        "Ensemble",
        {flag_choice(
             "posterior", posterior, {"last", "full"},
             "weights from the last token (the release) or from the whole sample so far (Bayes)"),
         flag_text("prior-split", "SPLIT", options.prior_split,
                   "where cached_prior's prior comes from"),
         flag_integer("prior-batches", "N", options.prior_batches,
                      "after batch N of it, counted from 0", 1)}};
  }

  compat::FlagGroup statistics() {
    return {
        "Statistics",
        {flag_integer("resamples", "N", options.resamples, "draws of the block bootstrap", 1),
         flag_integer("block-tokens", "N", options.block_tokens,
                      "tokens of text drawn together, at least", 1),
         flag_text("bytes", "D=N,...", bytes,
                   "bytes of the domains' text (default: counted from the symbols of dict.txt)"),
         flag_text("gpt2-encoder-json", "FILE", options.gpt2_encoder_json,
                   "counts the bytes of a dictionary of GPT-2's ids")}};
  }

  compat::FlagGroup rows() {
    return {
        "Rows and columns",
        {flag_text("domains", "LIST", domains,
                   "comma-separated folders of DATA (default: all that have the split)"),
         flag_text("split,gen-subset", "SPLIT", options.split,
                   "a domain's set is SPLIT_DOMAIN, or SPLIT"),
         flag_text(
             "experts", "LIST", choice.experts,
             "models to mix to ensembles, comma separated, or 'all': all but the one named seed"),
         flag_text("without", "LIST", choice.without,
                   "experts that are not mixed, comma separated; they keep their rows"),
         flag_text("ensembles", "LIST", ensembles,
                   "a row for each: cached_prior, updating_prior, uniform_prior, simple_average, "
                   "cluster_prior, clustering, product_of_experts, bayes; '' for none"),
         skip_diverged_flag(options.skip_diverged),
         flag_switch("average", options.average,
                     "a row for the uniform average of the experts' parameters"),
         flag_text("baseline", "NAME", options.baseline,
                   "the row that all are compared with (default: the first)")}};
  }

  compat::CommandSpec spec() {
    BatchingOptions& batching = options.batching;
    compat::FlagGroup data{
        "Data",
        {flag_text("sample-break-mode", "MODE", batching.sample_break_mode,
                   "none, eos, complete or complete_doc"),
         tokens_per_sample_flag(batching),
         flag_integer("context-window", "N", batching.context_window,
                      "tokens of earlier samples that a sample sees", 0),
         batch_size_flag(batching), max_tokens_flag(batching),
         flag_integer("max-samples", "N", batching.max_samples,
                      "stop after batch N of each set, counted from 0; 0: all", 0),
         flag_integer("seed", "N", options.seed, "of the bootstrap")}};
    for (compat::Flag& flag : domain_token_flags(batching.domain_token))
      data.flags.push_back(std::move(flag));
    compat::FlagGroup model{"Model",
                            {flag_text("model-overrides", "DICT", options.model_overrides,
                                       "a Python dict of cfg values to replace")}};
    compat::FlagGroup results = log_flags(log);
    results.flags.push_back(flag_text(
        "out", "FOLDER", out,
        "for matrix.json, matrix.csv, report.html and the scores that a later run takes up"));
    return {"btm eval-matrix",
            std::string("Evaluates models on domains, with ensembles and the average of the "
                        "experts: a table, JSON, CSV and an HTML report. ") +
                compat::kWhatAModelIs,
            {{"DATA", "folder of domains, with dict.txt", &options.folder},
             {"[NAME=]MODEL", "the models, each with its row's name", nullptr, &models}},
            {rows(), data, mixture(), cluster_prior_flags(options.cluster_prior.cluster),
             statistics(), model, machine_flags(options.machine), results},
            {}};
  }

  void complete() {
    const auto warn = [](const std::string& line) {
      std::cerr << "btm eval-matrix: warning: " << line << std::endl;
    };
    for (const compat::NamedModel& model : compat::resolve_models(models, warn))
      options.models.emplace_back(model.name, model.path.string());
    options.domains = compat::split_at(domains, ',');
    if (choice.is_made()) {
      std::vector<std::string> names;
      for (const auto& [name, path] : options.models) names.push_back(name);
      if (choice.experts.empty()) choice.experts = "all";
      options.experts = compat::chosen_experts(names, choice);
      if (choice.experts == "all" && choice.without.empty() &&
          options.experts.size() < options.models.size())
        std::cerr << "btm eval-matrix: --experts all leaves out the model named seed (name it to "
                     "mix it): "
                  << joined_names(options.experts) << std::endl;
    }
    if (!options.experts.empty())
      for (const std::string& name : compat::split_at(ensembles, ',')) {
        const auto type = ensemble_type_of(name);
        if (!type)
          throw compat::UsageError("--ensembles names '" + compat::printable(name) +
                                   "', expected " + ensemble_types());
        options.ensembles.push_back(*type);
      }
    options.posterior = posterior_rule_of(posterior).value();
    if (std::ranges::any_of(options.ensembles, depends_on_text)) {
      std::vector<compat::NamedModel> mixed;
      for (const std::string& name : options.experts)
        for (const auto& [model, path] : options.models)
          if (model == name) mixed.push_back({name, path});
      set_cluster_origins(options.cluster_prior, mixed);
    }
    for (const std::string& entry : compat::split_at(bytes, ',')) {
      const auto [domain, count] = domain_bytes(entry);
      options.bytes[domain] = count;
    }
    options.cache = (std::filesystem::path(out) / "scores").string();
  }
};

/// One line for each cell.
Table cell_table(const EvalMatrix& matrix) {
  Table table{{{"model"},
               {"domain"},
               {"ppl"},
               {"ppl_low"},
               {"ppl_high"},
               {"loss_sum"},
               {"tokens"},
               {"bytes"},
               {"bits_per_byte"},
               {"ratio"},
               {"ratio_low"},
               {"ratio_high"}},
              {}};
  const auto add = [&](const std::string& model, const std::string& domain,
                       const MatrixCell& cell) {
    const auto text = [](double value) {
      return std::isfinite(value) ? fixed(value, 6) : std::string();
    };
    table.rows.push_back({model, domain, text(cell.perplexity), text(cell.perplexity_interval.low),
                          text(cell.perplexity_interval.high), text(cell.loss_sum),
                          std::to_string(cell.tokens), std::to_string(cell.bytes),
                          text(cell.bits_per_byte), text(cell.ratio), text(cell.ratio_interval.low),
                          text(cell.ratio_interval.high)});
  };
  for (const MatrixRow& row : matrix.rows) {
    for (std::size_t d = 0; d < matrix.domains.size(); ++d)
      add(row.name, matrix.domains[d], row.cells[d]);
    add(row.name, "mean", row.mean);
  }
  return table;
}

void write_results(const std::filesystem::path& out, const EvalMatrix& matrix) {
  write_matrix(out / "matrix.json", matrix);
  compat::write_file_atomically(out / "matrix.csv", to_csv(cell_table(matrix)));
  HtmlPage page(compat::concat("Evaluation of ", matrix.rows.size(), " models on ",
                               matrix.domains.size(), " domains"));
  if (const std::string verdict = matrix_verdict(matrix); !verdict.empty())
    page.add_paragraph(verdict);
  page.add_paragraph(compat::concat("Split ", matrix.split, " of each domain, ",
                                    matrix.tokens_per_sample, " tokens per sample."));
  add_matrix(page, matrix);
  page.write(out / "report.html");
}

}  // namespace

compat::CommandSpec eval_matrix_spec() { return compat::spec_owning<EvalMatrixCommand>(); }

int run_eval_matrix(std::span<const std::string> args) {
  EvalMatrixCommand command;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(command.spec(), args, std::cout, ignored)) return 0;
  use_page_arena(MemoryUse::kEvaluation);
  command.complete();
  compat::check_can_write_in(command.out);
  say_products("btm eval-matrix", command.options.machine);

  compat::Reporter reporter("btm eval-matrix", "eval-matrix", command.log);
  EvalMatrixObserver observer;
  observer.warn = [&](const std::string& line) { reporter.warn(line); };
  observer.progress = [&](std::int64_t done, std::int64_t of, const std::string& model,
                          const std::string& domain) {
    reporter.progress(done, of, [&] {
      return compat::ProgressBar::Stats{{"model", model}, {"domain", domain}};
    });
  };
  ScoredMatrix matrix;
  or_hint_at_skipping([&] { matrix = eval_matrix(command.options, observer); });
  reporter.end_progress();
  // The results are printed before files are written, so that a full disk does not lose them.
  for (const std::string& name : matrix.left_out)
    std::cout << "left out, diverged: " << compat::printable(name) << "\n";
  std::cout << to_text(perplexity_table(matrix), compat::table_width())
            << "\n* best of its column. " << interval_note(matrix) << matrix.computed
            << " evaluations computed, " << matrix.reused << " reused." << std::endl;
  write_results(command.out, matrix);
  std::cout << "Also in " << command.out << "/: matrix.json, matrix.csv, report.html\n";
  return 0;
}

}  // namespace btm
