// btm weigh: which experts a few documents want.
#include <cmath>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "btm/cli/commands.h"
#include "btm/cli/score_input.h"
#include "btm/cli/text_input.h"
#include "btm/cli/text_models.h"
#include "btm/ensemble/weigh_experts.h"
#include "btm/evaluator/load_scorer.h"
#include "btm/model/tensor_memory.h"
#include "btm/report/html_page.h"
#include "btm/report/table.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/io/atomic_file.h"

namespace btm {
namespace {

using compat::concat;
using compat::flag_choice;
using compat::flag_integer;
using compat::flag_real;
using compat::flag_switch;
using compat::flag_text;
using Json = nlohmann::ordered_json;

constexpr std::int64_t kMaxTokens = 2048;

struct WeighCommand {
  TextModelOptions models;
  ScoreInputOptions input;
  WeighOptions options;
  std::string format = "table", out;
  bool overwrite = false;

  compat::CommandSpec spec() {
    compat::FlagGroup texts{
        "Documents",
        {compat::flag_texts("text", "TEXT", input.texts,
                            "weigh by this document, in place of FILE; may be repeated"),
         flag_switch("documents", input.documents,
                     "a document ends at a blank line, not at each line"),
         flag_text("field", "KEY", input.field, "read JSONL: the key of the document")}};
    compat::FlagGroup output{
        "Output",
        {flag_choice("format", format, {"table", "json"}, "what is printed"),
         flag_text("out", "FOLDER", out,
                   "for weigh.json, which --precomputed-prior takes, and weigh.html"),
         compat::flag_overwrite(overwrite),
         flag_real("tolerance", "F", options.tolerance,
                   "the share of perplexity that the experts worth keeping may lose", 0, 1e6),
         flag_integer("resamples", "N", options.resamples, "draws of documents, for intervals", 1),
         flag_integer("seed", "N", options.seed, "seed of these draws")}};
    std::vector<compat::FlagGroup> groups{texts, output};
    for (compat::FlagGroup& group : text_model_flags(models))
      if (group.title != "Ensemble" && !group.title.starts_with("Cluster"))
        groups.push_back(std::move(group));
    return {"btm weigh",
            std::string("Weighs experts by a few documents: the posterior over experts with its "
                        "interval, and the experts worth keeping. ") +
                compat::kWhatAModelIs,
            {models_argument(models),
             {.name = "FILE",
              .help = "documents, one a line; - or none: standard input",
              .rest = &input.files,
              .optional = true}},
            groups,
            {}};
  }

  int run();
};

/// The scores of all documents that can be scored.
struct Documents {
  std::vector<TextScore> scores;
  std::int64_t failed = 0;
  std::string first_error;  ///< Of one that was left out.
  UnknownWords unknown;
};

/// `source`: where they come from, printable.
Documents score_documents(ScoreInput& input, const std::string& source, compat::TextCodec& codec,
                          Predictor& predictor) {
  Documents documents;
  std::vector<TextToScore> texts;
  ScoreItem item;
  while (input.next(item, true) == ScoreInput::State::kLine) {
    TextToScore ids;
    if (item.error.empty()) item.error = encode_text(codec, {}, item.text, true, ids);
    documents.unknown.note(codec, item.where);
    if (item.error.empty()) {
      texts.push_back(std::move(ids));
    } else {
      if (documents.failed++ == 0) documents.first_error = item.where + ": " + item.error;
    }
  }
  if (texts.empty())
    throw std::runtime_error(documents.failed > 0 ? documents.first_error
                                                  : source + ": is empty, expected documents");
  documents.scores = TextScorer(predictor, codec.dictionary().eos(), kMaxTokens).score(texts);
  return documents;
}

Json interval_lists(const std::vector<Interval>& intervals) {
  Json lists = Json::array();
  for (const Interval& interval : intervals) lists.push_back({interval.low, interval.high});
  return lists;
}

Json json_of(const Weighing& result, const std::vector<std::string>& names, double tolerance,
             const std::string& precision) {
  const auto names_of = [&](const std::vector<std::size_t>& experts) {
    Json list = Json::array();
    for (const std::size_t e : experts) list.push_back(names[e]);
    return list;
  };
  Json growth = Json::array(), mixtures = Json::array();
  for (const Weighing::Growth& row : result.growth)
    growth.push_back({{"documents", row.documents}, {"interval", interval_lists(row.interval)}});
  for (const Weighing::Mixture& row : result.mixtures)
    mixtures.push_back({{"k", row.experts.size()},
                        {"experts", names_of(row.experts)},
                        {"perplexity", row.perplexity},
                        {"lost", row.lost}});
  return {{"experts", names},
          {"posterior", result.posterior},
          {"interval", interval_lists(result.growth.back().interval)},
          {"documents", result.documents},
          {"tokens", result.tokens},
          {"perplexity", result.perplexity},
          {"precision", precision},
          {"tolerance", tolerance},
          {"keep", names_of(result.mixtures[result.keep - 1].experts)},
          {"mixtures", std::move(mixtures)},
          {"by_documents", std::move(growth)}};
}

/// The experts, the largest posterior first.
Table expert_table(const Weighing& result, const std::vector<std::string>& names) {
  Table table{{{"expert"},
               {"posterior", true},
               {"low", true},
               {"high", true},
               {"perplexity alone", true},
               {"k", true},
               {"perplexity of k", true},
               {"lost", true},
               {"keep"}},
              {}};
  for (const Weighing::Mixture& mixture : result.mixtures) {
    const std::size_t e = mixture.experts.back(), k = mixture.experts.size();
    const Interval& interval = result.growth.back().interval[e];
    constexpr double kLeastShown = 0.00005;  // less is 0, without a sign
    const double lost = std::abs(mixture.lost) < kLeastShown ? 0 : mixture.lost * 100;
    table.rows.push_back({names[e], fixed(result.posterior[e], 4), fixed(interval.low, 4),
                          fixed(interval.high, 4), fixed(result.perplexity[e], 2),
                          std::to_string(k), fixed(mixture.perplexity, 2), fixed(lost, 2) + "%",
                          k <= result.keep ? "yes" : ""});
  }
  return table;
}

std::string said(const Weighing& result, double tolerance) {
  return concat(compat::grouped(result.documents),
                result.documents == 1 ? " document, " : " documents, ",
                compat::grouped(result.tokens), " tokens. ",
                result.keep == 1 ? std::string("The first expert alone loses")
                                 : concat("The first ", result.keep, " experts together lose"),
                " no more than ", compat::general(tolerance * 100), "% of the perplexity of all ",
                result.posterior.size(), ".");
}

void write_page(const std::filesystem::path& file, const Weighing& result,
                const std::vector<std::string>& names, double tolerance,
                const std::string& precision) {
  constexpr std::size_t kMostShown = 4;
  HtmlPage page(concat(names.size(), " experts, weighed by ", result.documents,
                       result.documents == 1 ? " document" : " documents"));
  page.add_paragraph(said(result, tolerance) + " Computed in " + precision + ".");
  GroupedBars bars{"posterior", {}, {{"posterior", {}, {}, {}}}};
  for (const Weighing::Mixture& mixture : result.mixtures) {
    const std::size_t e = mixture.experts.back();
    bars.groups.push_back(names[e]);
    bars.bars[0].values.push_back(result.posterior[e]);
    bars.bars[0].low.push_back(result.growth.back().interval[e].low);
    bars.bars[0].high.push_back(result.growth.back().interval[e].high);
  }
  page.add_chart(bars,
                 "The posterior over experts: the mean over the documents, with its 95% "
                 "interval.");
  LineChart growth{"documents", "posterior", {}, true, false};
  for (std::size_t i = 0; i < std::min(kMostShown, names.size()); ++i) {
    const std::size_t e = result.mixtures[i].experts.back();
    Series low{names[e] + ", low", {}, {}}, high{names[e] + ", high", {}, {}};
    for (const Weighing::Growth& row : result.growth) {
      low.x.push_back(static_cast<double>(row.documents));
      high.x.push_back(static_cast<double>(row.documents));
      low.y.push_back(row.interval[e].low);
      high.y.push_back(row.interval[e].high);
    }
    growth.series.push_back(std::move(low));
    growth.series.push_back(std::move(high));
  }
  page.add_chart(growth, "The interval against the number of documents.");
  LineChart kept{"experts", "perplexity", {{"perplexity", {}, {}}}, false, false};
  for (const Weighing::Mixture& mixture : result.mixtures) {
    kept.series[0].x.push_back(static_cast<double>(mixture.experts.size()));
    kept.series[0].y.push_back(mixture.perplexity);
  }
  page.add_chart(kept, "The perplexity of these documents with the k best experts.");
  page.add_table(expert_table(result, names));
  page.write(file);
}

int WeighCommand::run() {
  ScoreInput texts(input);
  if (!out.empty()) compat::check_new_outputs(out, {"weigh.json", "weigh.html"}, overwrite);
  const auto warn = [](const std::string& line) {
    std::cerr << "btm weigh: warning: " << line << std::endl;
  };
  use_page_arena(MemoryUse::kEvaluation);
  say_products("btm weigh", models.machine);
  const FoundModels found = find_models(models, warn);
  const std::vector<std::string> names = found.names();
  if (names.size() < 2) throw compat::UsageError("MODELS is one model, expected several to weigh");
  compat::TextCodec codec = codec_of(models, found);
  MixtureOptions mixture;
  mixture.ensemble_type = EnsembleType::kUniformPrior;
  mixture.posterior = PosteriorRule::kFull;
  const auto predictor = predictor_of(models, found, mixture, {2 * kMaxTokens, {}});
  const std::string source = input.files.empty()
                                 ? "standard input"
                                 : compat::printable(compat::join(input.files, ", "), 4096);
  const Documents documents = score_documents(texts, source, codec, *predictor);
  const Weighing result = weigh_experts(documents.scores, options);
  const std::string precision = precision_name(models.machine);
  const std::string json = json_of(result, names, options.tolerance, precision)
                               .dump(2, ' ', false, Json::error_handler_t::replace) +
                           "\n";
  std::cout << (format == "json" ? json
                                 : to_text(expert_table(result, names)) +
                                       said(result, options.tolerance) + "\n");
  if (!out.empty()) {
    std::filesystem::create_directories(out);
    compat::write_file_atomically(std::filesystem::path(out) / "weigh.json", json);
    write_page(std::filesystem::path(out) / "weigh.html", result, names, options.tolerance,
               precision);
  }
  if (const std::string line = documents.unknown.summary(); !line.empty()) warn(line);
  if (documents.failed == 0 && result.documents < kFewestBlocks)
    warn(concat("an interval from fewer than ", kFewestBlocks, " documents says little"));
  if (documents.failed == 0) return 0;
  throw std::runtime_error(concat(documents.first_error, " (", documents.failed,
                                  documents.failed == 1 ? " document is" : " documents are",
                                  " left out)"));
}

}  // namespace

int run_weigh(std::span<const std::string> args) { return compat::run_as<WeighCommand>(args); }

compat::CommandSpec weigh_spec() { return compat::spec_owning<WeighCommand>(); }

}  // namespace btm
