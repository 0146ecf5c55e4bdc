#include <unistd.h>

#include <chrono>
#include <cmath>
#include <deque>
#include <iostream>
#include <memory>
#include <sstream>

#include "btm/cli/commands.h"
#include "btm/cli/eval_flags.h"
#include "btm/cli/fitting_experts.h"
#include "btm/cli/generate_output.h"
#include "btm/cli/prompt_run.h"
#include "btm/cli/text_models.h"
#include "btm/model/tensor_memory.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/io/atomic_file.h"
#include "compat/io/line_source.h"

namespace btm {
namespace {

using compat::flag_choice;
using compat::flag_integer;
using compat::flag_real;
using compat::flag_switch;
using compat::flag_text;
using compat::flag_texts;

constexpr double kAny = 1e30;

struct GenerateCommand {
  TextModelOptions models;
  PromptOptions prompts;
  SamplingOptions sampling;
  std::vector<std::string> arguments;
  std::string file, format, results_path, memory, ngram_rule = "fairseq";
  bool overwrite = false;
  std::int64_t no_repeat_ngram_size = 0, num_samples = 0, seed = 1;
  bool samples = false, quiet = false;

  compat::CommandSpec spec();
  compat::FlagGroup input_flags();
  compat::FlagGroup search_flags();
  compat::FlagGroup sampling_flags();
  compat::FlagGroup output_flags();
  void settle();
  TextFormat text_format() const {
    return text_format_of(format, results_path.empty() && ::isatty(STDOUT_FILENO) == 1);
  }
};

compat::FlagGroup GenerateCommand::input_flags() {
  return {"Prompts",
          {flag_text("file,input", "FILE", file,
                     "a prompt a line; without it and without PROMPT, standard input is read"),
           flag_integer("prefix-size", "N", prompts.prefix_size,
                        "use the first N tokens of a prompt; 0: all", 0),
           flag_integer("batch-size", "N", prompts.batch, "texts that grow at once", 1),
           flag_text("memory", "SIZE", memory,
                     "for models, such as 8G: where not all experts fit, those that the posterior "
                     "after the first prompts wants most are loaded, once")}};
}

compat::FlagGroup GenerateCommand::search_flags() {
  GenerateOptions& options = prompts.generate;
  return {
      "Search, as in fairseq",
      {flag_integer("beam", "N", options.beam, "hypotheses that are kept; 1: greedy", 1),
       flag_integer("nbest", "N", prompts.nbest, "hypotheses that are printed", 1),
       flag_real("lenpen", "X", options.lenpen,
                 "a hypothesis' score is its log-probability divided by length^X", -kAny, kAny),
       flag_switch("unnormalized", options.unnormalized, "the score is the log-probability"),
       flag_integer("min-len", "N", options.min_len,
                    "tokens before an end of sentence may come, the prompt's too", 0),
       flag_real("max-len-a", "X", options.max_len_a,
                 "a text has at most X * (tokens of the prompt + 1) + N tokens, the prompt's "
                 "too; a longer prompt is cut",
                 0, kAny),
       flag_integer("max-len-b", "N", options.max_len_b, "N of --max-len-a", 0),
       flag_real("temperature", "X", options.temperature, "divides the logits", 0, kAny),
       flag_real("unkpen", "X", options.unkpen, "subtracted from the score of <unk>", -kAny, kAny),
       flag_integer("no-repeat-ngram-size", "N", no_repeat_ngram_size,
                    "with --ngram-rule exact, no N tokens come twice", 0),
       flag_choice("ngram-rule", ngram_rule, {"fairseq", "exact"},
                   "fairseq 0.12.2 on a CPU blocks nothing with --no-repeat-ngram-size; exact "
                   "does, but for what the prompt repeats")}};
}

compat::FlagGroup GenerateCommand::sampling_flags() {
  return {
      "Sampling",
      {flag_switch("sampling", samples, "draw tokens"),
       flag_integer("sampling-topk", "K", sampling.topk,
                    "from the K most probable tokens; with --sampling"),
       flag_real("sampling-topp", "P", sampling.topp,
                 "from the fewest tokens whose probabilities sum to P; with --sampling", -kAny, 1),
       flag_integer("seed", "N", seed,
                    "the same seed and prompt give the same text, whatever else is read", 0),
       flag_integer("num-samples", "N", num_samples, "texts of each prompt; with --sampling", 1,
                    "--beam"),
       flag_switch("one-expert-per-token", sampling.one_expert_per_token,
                   "draw an expert by the weights, then a token from it alone: the mixture's "
                   "distribution, while others read nothing; needs weights that no text moves "
                   "(simple_average, or --posterior none)")}};
}

compat::FlagGroup GenerateCommand::output_flags() {
  return {"Output",
          {flag_texts("stop", "TEXT", prompts.stops,
                      "end a text before TEXT; may be repeated; with --beam 1 or --sampling"),
           flag_choice("format", format, {"table", "tsv", "json", "jsonl"},
                       "how results are printed (default: table on a terminal, else tsv)"),
           flag_text("results-path", "FILE", results_path, "write them to a file instead"),
           compat::flag_overwrite(overwrite),
           flag_switch("quiet", quiet, "no line with counts and speed at the end")}};
}

compat::CommandSpec GenerateCommand::spec() {
  compat::Positional prompt{"PROMPT", "texts to continue, each one argument; '-': standard input",
                            nullptr, &arguments, true};
  std::vector<compat::FlagGroup> groups{input_flags(), search_flags(), sampling_flags(),
                                        output_flags()};
  for (compat::FlagGroup& group : text_model_flags(models)) groups.push_back(std::move(group));
  return {"btm generate",
          std::string("Continues prompts with a model, or an ensemble's weighted distribution. A "
                      "text may be longer than a model's positions: it then goes on with their "
                      "last half, which is computed again. ") +
              compat::kWhatAModelIs,
          {models_argument(models), prompt},
          std::move(groups),
          {}};
}

/// Brings the flags together.
void GenerateCommand::settle() {
  GenerateOptions& options = prompts.generate;
  if (!samples &&
      (sampling.topk > 0 || sampling.topp > 0 || num_samples > 0 || sampling.one_expert_per_token))
    throw compat::UsageError(
        "--sampling-topk, --sampling-topp, --num-samples and --one-expert-per-token need "
        "--sampling");
  if (samples) {
    sampling.seed = static_cast<std::uint64_t>(seed);
    options.sampling = sampling;
    if (num_samples > 0) options.beam = num_samples;
    prompts.nbest = std::max(prompts.nbest, num_samples);
  }
  if (options.beam > 1 && !samples && !prompts.stops.empty())
    throw compat::UsageError("--stop needs --beam 1 or --sampling: hypotheses of a beam compete");
  for (const std::string& stop : prompts.stops)
    if (stop.empty()) throw compat::UsageError("--stop: expected a text, found none");
  if (prompts.batch > kMostTexts) throw compat::UsageError("--batch-size: expected 1 to 65536");
  if (prompts.nbest > options.beam)
    throw compat::UsageError("--nbest is above --beam: there are no more hypotheses");
  if (ngram_rule == "exact") options.block_ngrams = no_repeat_ngram_size;
  if (options.max_len_a == 0 && options.min_len > options.max_len_b)
    throw compat::UsageError("--min-len is above --max-len-b");
  if (!file.empty() && !arguments.empty())
    throw compat::UsageError("found PROMPT and --file, expected one of them");
  try {
    check_options(options);
  } catch (const std::invalid_argument& error) {
    throw compat::UsageError(error.what());
  }
}

/// One expert per token needs weights that the text does not move.
void check_one_expert(const MixtureOptions& mixture, std::size_t experts) {
  if (experts < 2)
    throw compat::UsageError("--one-expert-per-token needs several models, found one");
  if (mixture.combination == Combination::kProduct)
    throw compat::UsageError(
        "--one-expert-per-token draws from the experts' mean: it does not go with --combine "
        "product, in which every expert changes every probability");
  if (depends_on_text(mixture.ensemble_type))
    throw compat::UsageError(
        "--one-expert-per-token: with a cluster model the weights depend on the text, expected "
        "simple_average, or another type with --posterior none");
  if (rule_of(mixture) != PosteriorRule::kNone)
    throw compat::UsageError(
        "--one-expert-per-token: with a posterior the weights depend on what every expert says of "
        "the text, expected --ensemble-type simple_average or --posterior none");
}

/// Tokens of all rows together. No memory is taken before it is used.
std::int64_t capacity_of(const PromptOptions& prompts) {
  constexpr std::int64_t kMost = std::int64_t{1} << 22;
  constexpr double kBlocks = 32;
  const std::int64_t rows = std::max(prompts.batch, prompts.generate.beam);
  const double length = prompts.generate.max_len_a > 0
                            ? static_cast<double>(kMost)
                            : static_cast<double>(prompts.generate.max_len_b) + 1 + kBlocks;
  return static_cast<std::int64_t>(
      std::fmin(static_cast<double>(rows) * length, static_cast<double>(kMost)));
}

/// Prompts of a source or of the command line, in their order.
class Prompts {
 public:
  using State = compat::LineSource::State;
  explicit Prompts(const GenerateCommand& command) {
    if (!command.arguments.empty() && command.arguments.front() != "-") {
      first_.assign(command.arguments.begin(), command.arguments.end());
      return;
    }
    source_ = compat::LineSource::open(command.file.empty() ? "-" : command.file);
  }

  bool typed() const { return source_ && source_->terminal(); }

  /// Those that are there now, or the first one; at most `most`. next() gives them again.
  std::vector<std::string> peek(std::size_t most) {
    std::string line;
    while (source_ && first_.size() < most && source_->next(line, first_.empty()) == State::kLine)
      first_.push_back(line);
    return {first_.begin(),
            first_.begin() + static_cast<std::ptrdiff_t>(std::min(most, first_.size()))};
  }

  /// As LineSource::next(). `where` names the prompt.
  State next(std::string& prompt, std::string& where, bool wait) {
    if (first_.empty()) {
      const State state = source_ ? source_->next(prompt, wait) : State::kEnd;
      if (state != State::kLine) return state;
    } else {
      prompt = std::move(first_.front());
      first_.pop_front();
    }
    where = (source_ ? source_->name() + ", line " : "prompt ") + std::to_string(++number_);
    return State::kLine;
  }

 private:
  std::deque<std::string> first_;
  std::unique_ptr<compat::LineSource> source_;
  std::int64_t number_ = 0;
};

/// Answers each prompt as soon as it can. `sign`: asks for each.
void run_prompts(Prompts& prompts, PromptRun& run, bool sign) {
  std::string prompt, where;
  bool ended = false;
  for (;;) {
    while (!ended && run.hungry()) {
      if (sign) std::cerr << "> " << std::flush;
      const auto state = prompts.next(prompt, where, !run.busy());
      if (state == Prompts::State::kNotYet) break;
      ended = state == Prompts::State::kEnd;
      if (!ended) run.add(prompt, where);
    }
    if (run.busy())
      run.advance();
    else if (ended)
      return;
  }
}

/// Leaves out experts for which --memory is too small.
void fit_memory(GenerateCommand& command, FoundModels& found, compat::TextCodec& codec,
                Prompts& prompts, const PromptRun::Warn& warn) {
  constexpr std::size_t kFirst = 16;
  if (command.memory.empty()) return;
  const std::int64_t memory = parse_memory(command.memory);
  const std::size_t count =
      experts_that_fit(command.models, found, memory, capacity_of(command.prompts));
  if (count == 0)
    throw compat::UsageError("--memory " + command.memory +
                             " is too small for one model with its "
                             "keys and values, expected more, or a smaller --batch-size");
  if (count == found.experts.size()) return;
  std::vector<std::vector<std::int64_t>> tokens;
  for (const std::string& prompt : prompts.peek(kFirst)) {
    try {
      tokens.push_back(codec.encode(prompt));
    } catch (const compat::FormatError&) {  // its result will say so
    }
  }
  if (tokens.empty()) tokens.emplace_back();
  keep_experts(command.models, found, tokens, count, warn);
}

void print_counts(const GenerateCounts& counts, double seconds, const GenerateCommand& command,
                  std::size_t experts) {
  std::cerr << "| " << compat::grouped(counts.new_tokens) << " new tokens in "
            << compat::decimal(seconds, 1) << " s ("
            << compat::decimal(static_cast<double>(counts.new_tokens) / std::fmax(seconds, 1e-9), 1)
            << " tokens/s)";
  if (command.sampling.one_expert_per_token && counts.new_tokens > 0)
    std::cerr << "; "
              << compat::decimal(static_cast<double>(counts.expert_reads) /
                                     static_cast<double>(counts.new_tokens),
                                 2)
              << " experts' weights read per token, "
              << compat::decimal(static_cast<double>(experts) * static_cast<double>(counts.steps) /
                                     static_cast<double>(counts.new_tokens),
                                 2)
              << " with full mixing";
  std::cerr << std::endl;
}

/// What a user might not know of the defaults. The second hint is for terminals alone.
void print_hints(const GenerateCommand& command, const FoundModels& found, const PromptRun& run) {
  if (const std::string line = mixture_note(command.models, found); !line.empty())
    std::cerr << "btm generate: " << line << std::endl;
  if (run.looped() && !command.samples && ::isatty(STDERR_FILENO) == 1)
    std::cerr << "btm generate: the most probable text of a small model often repeats itself; "
                 "--sampling --sampling-topp 0.9 draws tokens instead, and --temperature makes "
                 "them more or less daring"
              << std::endl;
}

/// Everything but the flags: loads the models and continues all prompts to `out`.
int generate(GenerateCommand& command, std::ostream& out, bool shows) {
  const auto warn = [](const std::string& line) {
    std::cerr << "btm generate: " << line << std::endl;
  };
  use_page_arena(MemoryUse::kEvaluation);
  say_products("btm generate", command.models.machine);
  FoundModels found = find_models(command.models, warn);
  if (command.sampling.one_expert_per_token)
    check_one_expert(mixture_of(command.models, found), found.experts.size());
  compat::TextCodec codec = codec_of(command.models, found);
  Prompts prompts(command);
  fit_memory(command, found, codec, prompts, warn);
  if (command.models.machine.verbose || !command.memory.empty())
    warn(memory_note(command.models, found, capacity_of(command.prompts)));
  const std::unique_ptr<Predictor> predictor = predictor_of(
      command.models, found, mixture_of(command.models, found), {capacity_of(command.prompts), {}});

  GenerateOutput output(out, command.text_format(),
                        found.experts.size() > 1 ? found.names() : std::vector<std::string>{});
  PromptRun::Show show;
  if (shows) show = [&](const std::string& text) { out << text << std::flush; };
  PromptRun run(*predictor, codec, command.prompts, output, warn, show);
  const auto start = std::chrono::steady_clock::now();
  run_prompts(prompts, run, shows && prompts.typed());
  output.end();
  if (shows && prompts.typed()) std::cerr << std::endl;
  if (run.failed() && run.counts().new_tokens == 0) return 1;  // the errors say all
  if (const std::string line = run.unknown().summary(); !line.empty()) warn(line);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (!command.quiet && !shows)
    print_counts(run.counts(), seconds.count(), command, found.experts.size());
  if (!command.quiet) print_hints(command, found, run);
  return run.failed() ? 1 : 0;
}

}  // namespace

compat::CommandSpec generate_spec() { return compat::spec_owning<GenerateCommand>(); }

int run_generate(std::span<const std::string> args) {
  GenerateCommand command;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(command.spec(), args, std::cout, ignored)) return 0;
  command.settle();
  if (command.no_repeat_ngram_size > 0 && command.ngram_rule == "fairseq")
    std::cerr << "btm generate: --no-repeat-ngram-size blocks nothing, as in fairseq 0.12.2 on a "
                 "CPU; --ngram-rule exact blocks"
              << std::endl;
  if (command.results_path.empty()) {
    const bool one_text = command.prompts.generate.beam == 1;
    return generate(
        command, std::cout,
        command.text_format() == TextFormat::kTable && one_text && ::isatty(STDOUT_FILENO) == 1);
  }
  compat::check_new_output(command.results_path, command.overwrite);
  std::ostringstream text;
  const int status = generate(command, text, false);
  compat::write_file_atomically(command.results_path, text.str());
  return status;
}

}  // namespace btm
