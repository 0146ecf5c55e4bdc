// The plan of `btm run`. Its grammar and every key: btm/run/plan.md
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "btm/mixing/ensemble_type.h"

namespace btm {

/// Stands for all domains of a plan.
inline constexpr const char* kAllDomains = "all";

/// Whether a text can name a domain, its folder and its model on a command line. Letters, digits,
/// '_', '-' and '.' can, but not '.' or '-' at the start; separators, blanks and controls cannot.
bool is_domain_name(std::string_view name);

/// Paths are absolute. plan.md describes every key; the defaults are here.
struct Plan {
  std::filesystem::path file;
  std::filesystem::path output;

  std::vector<std::string> domains;
  std::filesystem::path train, valid,
      test;                  ///< Text, one document a line; {domain} stands for a domain's name.
  double text_held_out = 0;  ///< Share of each `train` for valid, and as much for test, where
                             ///< these have no files.
  bool has_text_held_out() const { return text_held_out > 0; }
  std::filesystem::path data_bin;  ///< Instead of text: a folder of domains with dict.txt.
  std::filesystem::path corpus;    ///< Instead of both: text without labels, which is clustered.
  bool has_corpus() const { return !corpus.empty(); }

  std::int64_t clusters = 0;  ///< Of the corpus; they are the domains c0, c1, ...
  bool clusters_balanced = true;
  std::vector<std::string> cluster_names;  ///< In place of c0, c1, ...
  bool has_own_cluster_names = false;      ///< They stand in the plan.
  double held_out = 0.05;  ///< Share of each cluster for valid, and as much for test.
  std::vector<std::string> cluster_flags;  ///< For btm cluster train.

  std::filesystem::path tokenizer_model;  ///< sentencepiece's; empty: trained on the domains' text.
  std::int64_t vocab_size = 2000;

  std::string arch = "transformer_lm_gpt3_small";
  std::int64_t tokens_per_sample = 1024;
  std::vector<std::string> model_flags;

  std::int64_t updates = 0;  ///< Of every expert, the seed phase included.
  double seed_share = 0.5;
  std::int64_t batch_size = 2, update_freq = 1;
  double lr = 5e-4, warmup_share = 0.08;
  std::int64_t log_interval = 0;  ///< 0: by the updates, see shown_log_interval().
  std::int64_t seed = 1;
  std::vector<std::string> train_flags;
  /// Domains of the tokeniser, the seed model and the dense baseline; {kAllDomains}: all. Empty:
  /// those of the seed model that is there, or else all.
  std::vector<std::string> seed_domains;

  std::vector<std::string> experts;  ///< Domains that get one; default: all.
  bool dense = true,
       average = true;         ///< The baseline of equal compute; the experts' uniform average.
  std::int64_t along_run = 0;  ///< Checkpoints at the end of the baseline's run to average, or 0.
  std::int64_t tune = 0;       ///< Evaluations of the search for the average's weights, or 0.
  std::vector<std::string> tune_flags;  ///< For btm average.

  struct Mix {
    std::int64_t updates = 0;  ///< Of the mixture; 0: none is made.
    bool wanted() const { return updates > 0; }
    std::string router = "posterior", moe_router = "top2", train = "routers";  ///< As the flags.
    std::optional<double> lr;                     ///< Nothing: `lr` of the others.
    std::vector<std::string> flags, train_flags;  ///< For btm mix and btm train.
  };
  Mix mix;

  std::vector<EnsembleType> ensembles{kUsualEnsembles.begin(), kUsualEnsembles.end()};
  std::string split = "test";
  std::int64_t prior_batches = 100;
  std::vector<std::string> eval_flags;

  std::filesystem::path prompts;  ///< A prompt a line, which models continue at the end; or empty.
  std::vector<std::string> generate_flags;

  std::int64_t gpus = 0;  ///< Of an expert; the seed and the dense baseline get this times the
                          ///< number of experts. 0: one process each.
  std::vector<std::string> slurm_flags;  ///< For sbatch.

  /// `pattern` with the domain's name in place of {domain}.
  static std::filesystem::path of_domain(const std::filesystem::path& pattern,
                                         const std::string& domain);
  /// Updates of the seed phase: seed_share of `updates`, rounded to the nearest.
  std::int64_t seed_updates() const;
  std::int64_t save_interval() const;  ///< Updates between two checkpoints of a training.
  /// The log's interval, or one that gives each training's curve 20 points or more; at most 50.
  std::int64_t shown_log_interval() const;
};

/// Whether the table of the plan's results has a row of that name that is no expert's.
bool is_row_of_run(const Plan& plan, std::string_view name);

/// FormatError that names the line for an unknown section or key (with the nearest known one), a
/// wrong type, a value out of range, and a missing key. IoError when the file cannot be read. Does
/// not open the files that the plan names. Clusters that have no names in the plan get
/// `cluster_names`, or where these are empty, those that named_clusters() finds in the output.
Plan load_plan(const std::filesystem::path& file,
               const std::vector<std::string>& cluster_names = {});

/// The same for a text. `file` is for messages, and relative paths start at its folder.
Plan parse_plan(std::string_view text, const std::filesystem::path& file,
                const std::vector<std::string>& cluster_names = {});

/// The names that `btm cluster name` gave the clusters of a run's folder, or of one that is laid
/// out like it; empty when they are not as many as `clusters`.
std::vector<std::string> named_clusters(const std::filesystem::path& output, std::int64_t clusters);

}  // namespace btm
