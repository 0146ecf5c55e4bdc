// btm score: how probable texts are.
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <iostream>
#include <stdexcept>
#include <utility>

#include "btm/cli/commands.h"
#include "btm/cli/eval_flags.h"
#include "btm/cli/score_input.h"
#include "btm/cli/score_output.h"
#include "btm/cli/text_input.h"
#include "btm/cli/text_models.h"
#include "btm/evaluator/text_scorer.h"
#include "btm/model/tensor_memory.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

using compat::flag_choice;
using compat::flag_integer;
using compat::flag_switch;
using compat::flag_text;

struct ScoreCommand {
  TextModelOptions models;
  ScoreInputOptions input;
  std::string format;
  std::int64_t max_tokens = 2048, context_window = 0;
  bool tokens = false, score_eos = false, quiet = false;

  compat::CommandSpec spec() {
    compat::FlagGroup texts{
        "Texts",
        {compat::flag_texts("text", "TEXT", input.texts,
                            "score this text, in place of FILE; may be repeated"),
         flag_switch("documents", input.documents, "a text ends at a blank line, not at each line"),
         flag_text("field", "KEY", input.field, "read JSONL: the key of the text"),
         flag_text("context-field", "KEY", input.context_field,
                   "read JSONL: the key of what the text follows; it is fed, but not scored"),
         flag_switch("nbest", input.nbest,
                     "lines are 'ID ||| TEXT': texts in a row with one ID are a list, and each "
                     "gets its rank in it"),
         flag_switch("score-eos", score_eos,
                     "score the </s> that ends a text, too, as fairseq-eval-lm does and fairseq's "
                     "hub interface does not"),
         flag_integer("context-window", "N", context_window,
                      "score texts longer than the model's positions: in windows, of which each "
                      "begins with the last N tokens of the one before; 0: refuse them",
                      0),
         flag_integer("max-tokens", "N", max_tokens, "tokens that the models take at once", 1)}};
    compat::FlagGroup output{
        "Output",
        {flag_choice("format", format, {"table", "tsv", "json", "jsonl"},
                     "table (default on a terminal), rows (default elsewhere), one JSON document, "
                     "or an object a line"),
         flag_switch("tokens", tokens,
                     "every token with its score; with several models, the posterior after it and "
                     "the expert that gives it the highest probability"),
         flag_switch("quiet", quiet, "no summary on standard error")}};
    std::vector<compat::FlagGroup> groups{texts, output};
    for (compat::FlagGroup& group : text_model_flags(models)) groups.push_back(std::move(group));
    return {"btm score",
            std::string("Scores sentences: the log-probability of each text, its perplexity and "
                        "bits per byte; with several models, which of them it belongs to. ") +
                compat::kWhatAModelIs,
            {models_argument(models),
             {.name = "FILE",
              .help = "texts, one a line; - or none: standard input",
              .rest = &input.files,
              .optional = true}},
            groups,
            {}};
  }

  int run();
};

/// Scores what the input gives, as it comes.
class ScoreRun {
 public:
  ScoreRun(Predictor& predictor, compat::TextCodec& codec, ScoreOutput& output,
           const ScoreCommand& command, bool one_by_one)
      : predictor_(predictor),
        codec_(codec),
        output_(output),
        scorer_(predictor, codec.dictionary().eos(), command.max_tokens),
        command_(command),
        one_by_one_(one_by_one) {}

  void run(ScoreInput& input) {
    ScoreItem item;
    for (;;) {
      const auto state = input.next(item, waiting_.empty());
      if (state == ScoreInput::State::kLine) add(std::move(item));
      if (state != ScoreInput::State::kLine || one_by_one_) flush();
      if (state == ScoreInput::State::kEnd) break;
    }
    output_.end();
    std::cout.flush();
  }
  std::int64_t tokens_fed() const noexcept { return scorer_.tokens_fed(); }
  const UnknownWords& unknown() const noexcept { return unknown_; }
  /// Of a text that could not be scored; "" where there was none.
  const std::string& first_error() const noexcept { return first_error_; }

 private:
  void add(ScoreItem item) {
    TextToScore ids;
    if (item.error.empty())
      item.error = encode_text(codec_, item.context, item.text, command_.score_eos, ids);
    const std::int64_t positions = predictor_.max_positions();
    if (item.error.empty() && ids.fed() > positions && command_.context_window == 0)
      item.error = compat::concat("has ", compat::grouped(ids.fed()), " tokens, and the model ",
                                  compat::grouped(positions),
                                  " positions (--context-window scores it in windows)");
    if (!item.error.empty()) ids = {};
    unknown_.note(codec_, item.where);
    if (fed_ > 0 && fed_ + ids.fed() > command_.max_tokens) flush();
    fed_ += ids.fed();
    if (!item.error.empty() && first_error_.empty()) first_error_ = item.where + ": " + item.error;
    ScoredItem& scored = waiting_.emplace_back();
    scored.item = std::move(item);
    if (!scored.item.error.empty()) return;
    scored.tokens = ids.tokens;
    if (!command_.score_eos) scored.tokens.push_back(codec_.dictionary().eos());
    if (command_.tokens) scored.pieces = compat::pieces_of(codec_, scored.tokens, ids.context);
    texts_.push_back(std::move(ids));
  }

  void flush() {
    std::vector<TextScore> scores = scorer_.score(texts_);
    std::size_t next = 0;
    for (ScoredItem& item : waiting_) {
      if (item.item.error.empty()) item.score = std::move(scores[next++]);
      if (one_by_one_ && item.score && !item.score->weights.empty())
        predictor_.update_prior(item.score->weights.back());
      output_.add(std::move(item));
    }
    if (!waiting_.empty()) std::cout.flush();
    waiting_.clear();
    texts_.clear();
    fed_ = 0;
  }

  Predictor& predictor_;
  compat::TextCodec& codec_;
  ScoreOutput& output_;
  TextScorer scorer_;
  const ScoreCommand& command_;
  std::int64_t fed_ = 0;
  bool one_by_one_;
  std::vector<ScoredItem> waiting_;
  std::vector<TextToScore> texts_;  ///< Of those that can be scored.
  UnknownWords unknown_;
  std::string first_error_;
};

void print_summary(const ScoreTotals& totals, std::int64_t fed, double seconds,
                   const std::string& mixture) {
  const auto scored = totals.texts - totals.failed;
  std::cerr << "btm score: " << compat::grouped(scored) << (scored == 1 ? " text, " : " texts, ")
            << compat::grouped(totals.tokens) << " tokens";
  if (totals.tokens > 0)
    std::cerr << ", perplexity "
              << compat::decimal(std::exp(-totals.log_prob / static_cast<double>(totals.tokens)),
                                 4);
  std::cerr << ", " << compat::decimal(seconds, 2) << " s, "
            << compat::grouped(static_cast<std::int64_t>(static_cast<double>(fed) / seconds))
            << " tokens/s\n";
  if (!mixture.empty()) std::cerr << "btm score: " << mixture << "\n";
}

int ScoreCommand::run() {
  ScoreInput texts(input);
  const auto warn = [](const std::string& line) {
    std::cerr << "btm score: warning: " << line << std::endl;
  };
  use_page_arena(MemoryUse::kEvaluation);
  say_products("btm score", models.machine);
  const FoundModels found = find_models(models, warn);
  compat::TextCodec codec = codec_of(models, found);
  const MixtureOptions mixture = mixture_of(models, found);
  PredictorRoom room{2 * max_tokens, {}};
  if (context_window > 0) room.kept = context_window;
  const auto predictor = predictor_of(models, found, mixture, room);
  ScoreOutputOptions shown{text_format_of(format, ::isatty(STDOUT_FILENO) == 1), tokens,
                           input.nbest, !input.context_field.empty(), found.names()};
  const auto start = std::chrono::steady_clock::now();
  ScoreOutput output(std::cout, std::move(shown));
  ScoreRun run(*predictor, codec, output, *this,
               mixture.ensemble_type == EnsembleType::kUpdatingPrior);
  run.run(texts);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (const std::string line = run.unknown().summary(); !line.empty()) warn(line);
  const ScoreTotals& totals = output.totals();
  if (totals.failed > 0)
    throw std::runtime_error(compat::concat(run.first_error(), " (", totals.failed, " of ",
                                            totals.texts, " texts could not be scored)"));
  if (!quiet) print_summary(totals, run.tokens_fed(), seconds, mixture_note(models, found));
  return 0;
}

}  // namespace

int run_score(std::span<const std::string> args) { return compat::run_as<ScoreCommand>(args); }

compat::CommandSpec score_spec() { return compat::spec_owning<ScoreCommand>(); }

}  // namespace btm
