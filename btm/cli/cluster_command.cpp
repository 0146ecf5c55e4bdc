#include <algorithm>
#include <array>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "btm/cli/cluster_flags.h"
#include "btm/cli/commands.h"
#include "btm/cluster/balanced_kmeans.h"
#include "btm/cluster/cluster_model.h"
#include "btm/cluster/corpus.h"
#include "btm/cluster/split.h"
#include "btm/cluster/terms.h"
#include "compat/base/error.h"
#include "compat/io/atomic_file.h"
#include "compat/program/command_line.h"
#include "compat/program/reporter.h"

namespace btm {
namespace {

using compat::Flag;
using compat::flag_integer;
using compat::flag_switch;
using compat::flag_text;
using compat::Positional;

Positional input(std::string& field) {
  return {"INPUT",
          "text (one document per line), .jsonl (\"text\" of each object), or a data-bin's prefix "
          "(FOLDER/train)",
          &field};
}

Flag post_process_flag(std::string& field) {
  return flag_text("post-process", "HOW", field,
                   "how to join a data-bin's pieces to words: sentencepiece or subword_nmt");
}

/// Calls `visit` with every document, its place and a progress bar.
template <class Visit>
void for_each_document(const Corpus& documents, const char* name, Visit&& visit) {
  compat::Reporter reporter("btm cluster", name, {.log_format = "", .log_interval = 10000});
  for (std::int64_t i = 0; i < documents.size(); ++i) {
    visit(i, documents.text(i));
    reporter.progress(i + 1, documents.size());
  }
  reporter.end_progress();
}

void check_rule(const ClusterModel& model, const Corpus& documents, const std::string& path) {
  if (model.rule() == documents.rule() || !documents.dataset()) return;
  throw compat::UsageError(
      path +
      (model.rule() == TermRule::kWords
           ? " was made of words: a data-bin needs --post-process to join its pieces to words"
           : " was made of pieces, without --post-process"));
}

/// A uniform sample of at most `most` documents (Vitter's algorithm R).
std::vector<std::string> sample(const Corpus& documents, std::int64_t most, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < documents.size(); ++i) {
    if (i < most) {
      chosen.push_back(i);
      continue;
    }
    const std::uint64_t place = random() % (static_cast<std::uint64_t>(i) + 1);
    if (place < static_cast<std::uint64_t>(most)) chosen[place] = i;
  }
  std::ranges::sort(chosen);
  std::vector<std::string> texts;
  for (const std::int64_t i : chosen) texts.push_back(documents.text(i));
  return texts;
}

void print_clusters(const ClusterModel& model) {
  for (std::size_t j = 0; j < model.clusters(); ++j) {
    std::cout << "cluster " << j << ": " << model.sizes()[j] << " documents:";
    for (const std::string& term : model.top_terms(j, 10))
      std::cout << " " << compat::printable(term);
    std::cout << "\n";
  }
}

struct ClusterTrain {
  ClusterTrainingOptions options;
  std::string path, output, post_process;
  bool unbalanced = false, pieces = false, quiet = false;
  std::int64_t seed = 1, max_documents = 50000;

  compat::CommandSpec spec() {
    return {
        "btm cluster train",
        "Trains a cluster model: tf-idf, truncated SVD, balanced k-means, as c-BTM.",
        {input(path)},
        {{"Model",
          {flag_text("output,o", "FILE", output, "file for the model (required)"),
           flag_integer("num-clusters", "K", options.clusters, "clusters", 1),
           flag_switch("unbalanced", unbalanced, "plain k-means: clusters may be of any size"),
           flag_switch("pieces", pieces, "the text is tokenized: white space separates its terms"),
           post_process_flag(post_process),
           flag_integer("dimensions", "N", options.dimensions, "dimensions of the SVD", 1),
           flag_integer("max-terms", "N", options.max_terms,
                        "number of terms to keep: those in most documents", 1),
           flag_integer("max-documents", "N", max_documents,
                        "train on a uniform sample of N documents", 1),
           flag_integer("seed", "N", seed, "seed of the sample, the SVD and the first centres"),
           flag_switch("quiet", quiet, "print only the clusters")}}},
        {}};
  }

  int run() {
    if (output.empty()) throw compat::UsageError("--output is missing, expected a file");
    compat::check_can_write(output);
    const Corpus documents(path, post_process);
    options.rule = pieces ? TermRule::kPieces : documents.rule();
    options.balanced = !unbalanced;
    options.seed = static_cast<std::uint64_t>(seed);
    if (!quiet) options.log = [](const std::string& line) { std::cerr << line << std::endl; };
    const ClusterModel model =
        ClusterModel::train(sample(documents, max_documents, options.seed), options);
    model.save(output);
    print_clusters(model);
    return 0;
  }
};

/// MODEL, INPUT and what else the commands that apply a model share.
struct Application {
  std::string model_path, input_path, post_process;

  std::vector<Positional> positionals() {
    return {{"MODEL", "of btm cluster train", &model_path}, input(input_path)};
  }
};

/// The distances of documents to a model's centres. Counts the documents without a term of the
/// model, which are treated as the origin.
class Placement {
 public:
  explicit Placement(const ClusterModel& model) : model_(model) {}

  std::vector<double> distances(const std::string& text) {
    ClusterModel::Context context(model_);
    for_each_term(text, model_.rule(), [&](std::string_view term) { context.add(term); });
    unplaced_ += context.placed() ? 0 : 1;
    return context.distances();
  }

  /// Warns of documents without a place; FormatError when none of `path` has one.
  void check(const std::string& path, std::int64_t documents) const {
    if (unplaced_ == documents)
      throw compat::FormatError({path, {}, {}}, "no document holds a term of the model");
    if (unplaced_ > 0)
      std::cerr << "btm cluster: warning: " << compat::printable(path) << ": " << unplaced_
                << " of " << documents
                << " documents hold no term of the model: they count as equally far from all terms"
                << std::endl;
  }

 private:
  const ClusterModel& model_;
  std::int64_t unplaced_ = 0;
};

struct ClusterAssign {
  Application app;
  std::string output_dir;
  bool balanced = false;

  compat::CommandSpec spec() {
    return {"btm cluster assign",
            "Puts each document into its nearest cluster: prints c-BTM's lines {\"sp_id\", "
            "\"cluster\"}, "
            "or splits the corpus.",
            app.positionals(),
            {{"Output",
              {flag_text(
                   "output-dir", "DIR", output_dir,
                   "split the corpus: DIR/cN/FILE for text, DIR/cN/{train,valid_cN,test_cN} for a "
                   "data-bin. Removes what another model's split left there"),
               flag_switch("balanced", balanced, "clusters of equal size, as in training"),
               post_process_flag(app.post_process)}}},
            {}};
  }

  int run() {
    if (!output_dir.empty()) compat::check_can_write_in(output_dir);
    const ClusterModel model = ClusterModel::load(app.model_path);
    const Corpus documents(app.input_path, app.post_process);
    check_rule(model, documents, app.model_path);
    std::vector<float> distances;
    Placement placement(model);
    for_each_document(documents, "assign", [&](std::int64_t, const std::string& text) {
      const std::vector<double> here = placement.distances(text);
      distances.insert(distances.end(), here.begin(), here.end());
    });
    placement.check(app.input_path, documents.size());
    const auto count = static_cast<std::size_t>(documents.size());
    const std::vector<std::uint32_t> clusters =
        balanced ? balanced_assignment(distances, count, model.clusters())
                 : nearest_assignment(distances, count, model.clusters());
    if (!output_dir.empty()) {
      const std::vector<std::uint64_t> counts = split_corpus(
          documents, app.input_path, clusters, model.clusters(), model.sha256(), output_dir);
      for (std::size_t j = 0; j < counts.size(); ++j)
        std::cout << output_dir << "/c" << j << ": " << counts[j] << " documents\n";
      return 0;
    }
    for (std::size_t i = 0; i < clusters.size(); ++i)
      std::cout << nlohmann::ordered_json{{"sp_id", app.input_path + "|" + std::to_string(i)},
                                          {"cluster", clusters[i]}}
                       .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
                << "\n";
    return 0;
  }
};

struct ClusterPrior {
  Application app;
  double temperature = 0.1;
  std::int64_t top_k = 0;
  std::string output;

  compat::CommandSpec spec() {
    return {
        "btm cluster prior",
        "Computes the weights that documents give the experts of the clusters. Prints their mean, "
        "for ensemble-eval --precomputed-prior.",
        app.positionals(),
        {{"Weights",
          {temperature_flag(temperature),
           flag_integer("topk", "K", top_k, "keep the K largest weights of each document; 0: all",
                        0),
           flag_text("output,o", "FILE", output, "write one line of JSON per document: id, prior"),
           post_process_flag(app.post_process)}}},
        {}};
  }

  int run() {
    if (!output.empty()) compat::check_can_write(output);
    const ClusterModel model = ClusterModel::load(app.model_path);
    const Corpus documents(app.input_path, app.post_process);
    check_rule(model, documents, app.model_path);
    std::vector<double> mean(model.clusters(), 0.0);
    std::string lines;
    Placement placement(model);
    for_each_document(documents, "prior", [&](std::int64_t i, const std::string& text) {
      const std::vector<double> weights =
          cluster_weights(placement.distances(text), temperature, top_k);
      for (std::size_t j = 0; j < mean.size(); ++j)
        mean[j] += weights[j] / static_cast<double>(documents.size());
      if (!output.empty())
        lines += nlohmann::ordered_json{{"id", i}, {"prior", weights}}.dump() + "\n";
    });
    placement.check(app.input_path, documents.size());
    if (!output.empty()) compat::write_file_atomically(output, lines);
    for (std::size_t j = 0; j < mean.size(); ++j)
      std::cout << (j > 0 ? "," : "") << nlohmann::json(mean[j]).dump();
    std::cout << std::endl;
    return 0;
  }
};

struct ClusterShow {
  std::string path;

  compat::CommandSpec spec() {
    return {"btm cluster show",
            "Prints each cluster's size and its terms of largest weight.",
            {{"MODEL", "of btm cluster train", &path}},
            {},
            {}};
  }

  int run() {
    print_clusters(ClusterModel::load(path));
    return 0;
  }
};

constexpr std::array kClusterCommands{
    compat::command_of<ClusterTrain>("train", "make a cluster model of a corpus"),
    compat::command_of<ClusterAssign>("assign", "put documents into clusters, or split a corpus"),
    compat::command_of<ClusterPrior>("prior",
                                     "weights that documents give the experts of the clusters"),
    compat::command_of<ClusterShow>("show", "print the clusters of a model"),
};

}  // namespace

std::span<const compat::Command> cluster_commands() { return kClusterCommands; }

}  // namespace btm
