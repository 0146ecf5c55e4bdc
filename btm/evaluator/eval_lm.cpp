#include "btm/evaluator/eval_lm.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "btm/data/batches.h"
#include "btm/data/context_window.h"
#include "btm/data/multidomain.h"
#include "btm/data/numpy_sort.h"
#include "btm/data/token_blocks.h"
#include "btm/evaluator/scorer.h"
#include "btm/evaluator/word_scores.h"
#include "btm/model/weights.h"
#include "compat/error.h"

namespace btm {
namespace {

using Batches = std::vector<std::vector<std::int64_t>>;

constexpr std::string_view kMultidomain = "multidomain_language_modeling";

template <class... Args>
std::string formatted(const char* format, Args... args) {
  std::array<char, 512> text{};
  std::snprintf(text.data(), text.size(), format, args...);
  return text.data();
}

std::string grouped(std::int64_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::vector<std::string> split_paths(const std::string& paths) {
  std::vector<std::string> parts;
  for (std::size_t from = 0; from <= paths.size();) {
    const std::size_t colon = std::min(paths.find(':', from), paths.size());
    if (colon > from) parts.push_back(paths.substr(from, colon - from));
    from = colon + 1;
  }
  return parts;
}

void check_options(const EvalLmOptions& options) {
  const auto require = [](bool ok, const std::string& problem) {
    if (!ok) throw compat::UsageError(problem);
  };
  require(!options.path.empty(), "--path is missing, expected a checkpoint");
  require(options.task == "language_modeling" || options.task == kMultidomain,
          "--task '" + compat::printable(options.task) + "' is not supported (supported: language_modeling, multidomain_language_modeling)");
  require(options.task == kMultidomain || (options.eval_domains.empty() && !options.resample_eval),
          "--eval-domains and --resample-eval need --task multidomain_language_modeling");
  require(options.num_shards >= 1, "--num-shards " + std::to_string(options.num_shards) + ", expected at least 1");
  require(options.shard_id >= 0 && options.shard_id < options.num_shards,
          "--shard-id " + std::to_string(options.shard_id) + ", expected 0 to " + std::to_string(options.num_shards - 1));
  require(options.context_window >= 0, "--context-window " + std::to_string(options.context_window) + ", expected 0 or more");
  require(options.tokens_per_sample > options.context_window,
          "--tokens-per-sample " + std::to_string(options.tokens_per_sample) + " leaves nothing beside --context-window " +
              std::to_string(options.context_window));
  require(!(options.fp16 && options.bf16), "--fp16 and --bf16 exclude each other");
}

Precision precision_for(const EvalLmOptions& options) {
  const at::ScalarType half = options.fp16 ? at::kHalf : options.bf16 ? at::kBFloat16 : at::kFloat;
  Precision precision;
  precision.rounding = half;
  if (!options.cpu && at::hasCUDA()) {
    precision.device = at::kCUDA;
    precision.compute = half;
  }
  return precision;
}

struct Ensemble {
  std::unique_ptr<Scorer> scorer;
  std::int64_t max_positions = 0, num_parameters = 0;
};

Ensemble load_ensemble(const EvalLmOptions& options, const compat::Dictionary& dictionary, const std::string& dictionary_file) {
  const compat::ConfigValue overrides = compat::parse_python_literal(options.model_overrides);
  const Precision precision = precision_for(options);
  std::vector<std::unique_ptr<Scorer>> scorers;
  Ensemble ensemble;
  for (const std::string& path : split_paths(options.path)) {
    compat::Checkpoint checkpoint = compat::Checkpoint::open(path);
    checkpoint.override_config(overrides);
    auto model = load_model(checkpoint, dictionary, dictionary_file, precision);
    const std::int64_t positions = model->config().max_target_positions;
    ensemble.max_positions = scorers.empty() ? positions : std::min(ensemble.max_positions, positions);
    if (scorers.empty()) ensemble.num_parameters = model->num_parameters();
    scorers.push_back(std::make_unique<ModelScorer>(std::move(model), precision.device, options.softmax_batch));
  }
  ensemble.scorer = std::make_unique<AverageScorer>(std::move(scorers));
  return ensemble;
}

/// The data set of the task, its samples in the order fairseq evaluates them in.
struct EvalData {
  std::unique_ptr<LmDataset> dataset;
  std::vector<std::int64_t> order;
};

std::unique_ptr<LmDataset> open_blocks(const EvalLmOptions& options, const std::filesystem::path& folder,
                                       const compat::Dictionary& dictionary, std::int64_t block_size) {
  return std::make_unique<TokenBlockDataset>(open_split(folder, options.gen_subset, dictionary, options.dataset_impl),
                                             parse_sample_break_mode(options.sample_break_mode), block_size, dictionary.bos(),
                                             dictionary.eos(), options.add_bos_token);
}

EvalData open_data(const EvalLmOptions& options, const std::filesystem::path& folder, const compat::Dictionary& dictionary) {
  const std::int64_t block_size = options.tokens_per_sample - options.context_window;
  EvalData data;
  if (options.task != kMultidomain) {
    data.dataset = open_blocks(options, folder, dictionary, block_size);
    data.order = ordered_by_size(*data.dataset, options.seed);
  } else {
    std::vector<std::unique_ptr<LmDataset>> parts;
    for (const std::string& domain : eval_domains(folder, options.eval_domains)) {
      // Without --eval-domains every folder is tried, and those without the split are passed over, as the release does.
      if (options.eval_domains.empty() && !compat::IndexedDataset::exists(folder / domain / options.gen_subset)) continue;
      auto part = open_blocks(options, folder / domain, dictionary, block_size);
      if (options.resample_eval) part = std::make_unique<ResamplingDataset>(std::move(part), options.seed, /*epoch=*/1);
      parts.push_back(std::move(part));
    }
    if (parts.empty())
      throw compat::IoError(folder.string(), "no domain has the split '" + compat::printable(options.gen_subset) + "'");
    data.dataset = std::make_unique<ConcatDataset>(std::move(parts));
    std::vector<std::int64_t> sizes;
    for (std::int64_t i = 0; i < data.dataset->size(); ++i) sizes.push_back(data.dataset->num_tokens(i));
    data.order = numpy_argsort(sizes);
  }
  if (options.context_window > 0) {  // each sample needs the one before it
    data.order.resize(static_cast<std::size_t>(data.dataset->size()));
    std::iota(data.order.begin(), data.order.end(), 0);
  }
  return data;
}

/// Adds up scores as fairseq's eval_lm does.
class Accumulator {
 public:
  Accumulator(const EvalLmOptions& options, const compat::Dictionary& dictionary, const EvalLmObserver& observer)
      : options_(options), observer_(observer), words_(dictionary, options.post_process) {}

  void add(const Batch& batch, const at::Tensor& scores, EvalLmReport& report);
  std::vector<WordStat> word_stats() const { return words_.sorted_stats(); }

 private:
  void add_row(std::int64_t id, std::span<const std::int64_t> tokens, std::vector<double>& scores, EvalLmReport& report);

  const EvalLmOptions& options_;
  const EvalLmObserver& observer_;
  WordScores words_;
  std::vector<std::int64_t> row_tokens_;
  std::vector<double> row_scores_;
};

void Accumulator::add(const Batch& batch, const at::Tensor& scores, EvalLmReport& report) {
  const float* const values = scores.const_data_ptr<float>();
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    row_tokens_.clear();
    row_scores_.clear();
    for (std::int64_t column = batch.first_scored[static_cast<std::size_t>(row)]; column < batch.columns; ++column) {
      const std::int64_t at = row * batch.columns + column;
      const std::int64_t target = batch.targets[static_cast<std::size_t>(at)];
      if (target == TransformerLM::kPaddingIdx) continue;
      row_tokens_.push_back(target);
      row_scores_.push_back(values[at]);
    }
    add_row(batch.ids[static_cast<std::size_t>(row)], row_tokens_, row_scores_, report);
  }
  report.evaluated_tokens += batch.num_tokens;
  report.samples += batch.rows;
  ++report.batches;
}

void Accumulator::add_row(std::int64_t id, std::span<const std::int64_t> tokens, std::vector<double>& scores,
                          EvalLmReport& report) {
  const std::int64_t joined = words_.join_pieces(tokens, scores);
  std::int64_t infinite = 0;
  for (const double score : scores) {
    if (std::isinf(score))
      ++infinite;
    else
      report.loss_sum -= score;
  }
  if (infinite > 0) observer_.warn("sample " + std::to_string(id) + ": " + std::to_string(infinite) + " tokens of probability 0 are left out");
  report.tokens += static_cast<std::int64_t>(scores.size()) - infinite - joined;
  if (options_.output_word_stats) words_.gather(tokens, scores);
  if (!options_.output_word_probs) return;
  std::string line = std::to_string(id);
  line += " ";
  bool first = true;
  for (const auto& [word, score] : words_.words(tokens, scores)) {
    line += (first ? "" : "\t") + compat::printable(word, word.size() * 4 + 1) + formatted(" [%f]", score);
    first = false;
  }
  observer_.log(line);
}

void update_loss(EvalLmReport& report) {
  report.loss_base2 = report.tokens > 0 ? report.loss_sum / static_cast<double>(report.tokens) / std::log(2.0) : 0;
  report.perplexity = std::exp2(report.loss_base2);
}

void run_batches(const EvalLmOptions& options, const EvalLmObserver& observer, const EvalData& data, const Batches& batches,
                 const compat::Dictionary& dictionary, Scorer& scorer, EvalLmReport& report) {
  Accumulator accumulator(options, dictionary, observer);
  ContextWindow context(options.context_window, options.tokens_per_sample - options.context_window, dictionary.pad());
  std::size_t count = batches.size();
  if (options.max_samples > 0) count = std::min(count, static_cast<std::size_t>(options.max_samples) + 1);
  for (std::size_t i = 0; i < count; ++i) {
    Batch batch = collate(*data.dataset, batches[i], dictionary.pad());
    if (options.context_window > 0) context.extend(batch);
    const auto start = std::chrono::steady_clock::now();
    const at::Tensor scores = scorer.score(batch);
    report.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    accumulator.add(batch, scores, report);
    update_loss(report);
    observer.progress(static_cast<std::int64_t>(i) + 1, static_cast<std::int64_t>(count), report);
  }
  report.word_stats = accumulator.word_stats();
}

void log_results(const EvalLmReport& report, const EvalLmObserver& observer) {
  observer.log("Evaluated " + grouped(report.evaluated_tokens) +
               formatted(" tokens in %.1fs (%.2f tokens/s)", report.seconds,
                         report.seconds > 0 ? static_cast<double>(report.evaluated_tokens) / report.seconds : 0.0));
  for (const WordStat& stat : report.word_stats)
    observer.log(compat::printable(stat.word, stat.word.size() * 4 + 1) + "\t" + std::to_string(stat.count) + "\t" +
                 formatted("%.6f\t%s\t%.6f\t", stat.log_prob, stat.is_bpe ? "True" : "False", stat.next_word_prob) +
                 std::to_string(stat.count - stat.missing_next_words));
  observer.log(formatted("Loss (base 2): %.4f, Perplexity: %.2f", report.loss_base2, report.perplexity));
}

}  // namespace

EvalLmReport eval_lm(const EvalLmOptions& options, const EvalLmObserver& observer) {
  check_options(options);
  if (options.num_threads > 0) at::set_num_threads(static_cast<int>(options.num_threads));
  const std::vector<std::string> folders = split_paths(options.data);
  if (folders.empty()) throw compat::UsageError("the data folder is missing");
  const std::filesystem::path folder = folders.front();  // fairseq evaluates the first of several shards
  const std::string dictionary_file = (folder / "dict.txt").string();
  if (!std::filesystem::is_directory(folder)) throw compat::IoError(folder.string(), "is not a folder, expected a data-bin");
  const compat::Dictionary dictionary = compat::Dictionary::load(dictionary_file);

  const EvalData data = open_data(options, folder, dictionary);
  observer.log("loading model(s) from " + options.path);
  const Ensemble ensemble = load_ensemble(options, dictionary, dictionary_file);
  observer.log("num. model params: " + grouped(ensemble.num_parameters));
  observer.log(options.data + " " + options.gen_subset + " " + grouped(data.dataset->size()) + " examples");

  EvalLmReport report;
  report.num_parameters = ensemble.num_parameters;
  std::vector<std::int64_t> order = data.order;
  report.skipped_samples = drop_longer_than(*data.dataset, ensemble.max_positions, order);
  if (report.skipped_samples > 0)
    observer.warn(grouped(report.skipped_samples) + " samples are left out, longer than the model's " +
                  std::to_string(ensemble.max_positions) + " positions");
  const Batches batches = shard_of(batch_by_size(order, *data.dataset, options.max_tokens, options.batch_size, 1),
                                   options.num_shards, options.shard_id);
  run_batches(options, observer, data, batches, dictionary, *ensemble.scorer, report);
  log_results(report, observer);
  return report;
}

}  // namespace btm
