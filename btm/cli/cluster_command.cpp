#include <algorithm>
#include <array>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "btm/cli/cluster_flags.h"
#include "btm/cli/cluster_listing.h"
#include "btm/cli/commands.h"
#include "btm/cli/eval_flags.h"
#include "btm/cluster/balanced_kmeans.h"
#include "btm/cluster/cluster_model.h"
#include "btm/cluster/corpus.h"
#include "btm/cluster/split.h"
#include "btm/cluster/terms.h"
#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/io/atomic_file.h"
#include "compat/io/json_line.h"
#include "compat/program/command_line.h"
#include "compat/program/reporter.h"

namespace btm {
namespace {

using compat::Flag;
using compat::flag_choice;
using compat::flag_integer;
using compat::flag_switch;
using compat::flag_text;
using compat::Positional;

constexpr const char* kAuto = "auto";

Flag flag_share(std::string name, double& field, std::string help) {
  return {std::move(name), "X", std::move(help), compat::general(field),
          [&field](const std::string& text) {
            const double value = compat::parse_real(text);
            if (!(value > 0 && value <= 1))
              throw compat::UsageError("'" + compat::printable(text) +
                                       "', expected a number above 0 and at most 1");
            field = value;
          }};
}

Positional input(std::string& field) {
  return {"INPUT",
          "text (one document per line), .jsonl, .ndjson or .json (\"text\" of each object), both "
          "also as .gz or .zst, or a data-bin's prefix (FOLDER/train)",
          &field};
}

Flag post_process_flag(std::string& field) {
  return flag_text("post-process", "HOW", field,
                   "how to join a data-bin's pieces to words: sentencepiece, subword_nmt, none "
                   "(pieces are terms), the name of GPT-2's encoder.json for its ids, or auto: as "
                   "its dictionary asks for");
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

/// Documents whose terms are those of the model. UsageError where --post-process says otherwise.
Corpus corpus_for(const ClusterModel& model, const std::string& model_path, const std::string& path,
                  const std::string& post_process) {
  const bool keeps_pieces = post_process == kAuto && model.rule() == TermRule::kPieces &&
                            compat::IndexedDataset::exists(path);
  Corpus documents(path, keeps_pieces ? "none" : post_process);
  if (is_of_words(model.rule()) == is_of_words(documents.rule()) || !documents.dataset())
    return documents;
  throw compat::UsageError(compat::printable(model_path, 4096) +
                           (is_of_words(model.rule())
                                ? " was made of words: --post-process has to join the data's pieces"
                                : " was made of pieces: --post-process none keeps them apart"));
}

/// What a document counts in the balance of the clusters: its tokens, or the bytes of its text.
double weight_of(const Corpus& documents, std::int64_t i) {
  return documents.dataset() ? static_cast<double>(documents.dataset()->sequence(i).size())
                             : static_cast<double>(documents.line(i).size());
}

Flag balance_flag(std::string& field) {
  return flag_choice("balance", field, {"tokens", "documents", "none"},
                     "what all clusters have equally much of: tokens (bytes where the input is "
                     "text), documents as in c-BTM, nothing");
}

/// A uniform sample of at most `most` documents (Vitter's algorithm R).
std::vector<std::int64_t> sample(const Corpus& documents, std::int64_t most, std::uint64_t seed) {
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
  return chosen;
}

struct ClusterTrain {
  ClusterTrainingOptions options;
  std::string path, output, post_process = kAuto, balance = "tokens";
  bool unbalanced = false, pieces = false, quiet = false, overwrite = false;
  std::int64_t seed = 1, max_documents = 50000;

  compat::CommandSpec spec() {
    return {
        "btm cluster train",
        "Trains a cluster model: tf-idf, truncated SVD, balanced k-means, as c-BTM.",
        {input(path)},
        {{"Model",
          {flag_text("output,o", "FILE", output, "file for the model (required)"),
           flag_integer("num-clusters", "K", options.clusters, "clusters", 1),
           balance_flag(balance),
           flag_switch("unbalanced", unbalanced, "the same as --balance none"),
           flag_text("stop-words", "LIST", options.stop_words,
                     "words that are no terms: auto (of the languages that the text is in), none, "
                     "or some of english, french, german, spanish"),
           flag_share("max-document-share", options.max_document_share,
                      "words of a larger share of the documents are no terms"),
           flag_switch("pieces", pieces, "the text is tokenized: white space separates its terms"),
           post_process_flag(post_process),
           flag_integer("dimensions", "N", options.dimensions, "dimensions of the SVD", 1),
           flag_integer("max-terms", "N", options.max_terms,
                        "number of terms to keep: those in most documents", 1),
           flag_integer("max-documents", "N", max_documents,
                        "train on a uniform sample of N documents", 1),
           flag_integer("seed", "N", seed, "seed of the sample, the SVD and the first centres"),
           compat::flag_overwrite(overwrite),
           flag_switch("quiet", quiet, "print only the clusters")}}},
        {}};
  }

  int run() {
    if (output.empty()) throw compat::UsageError("--output is missing, expected a file");
    compat::check_new_output(output, overwrite);
    const Corpus documents(path, post_process);
    options.rule = pieces ? TermRule::kPieces : documents.rule();
    options.balanced = !unbalanced && balance != "none";
    options.weighs_tokens = documents.dataset() != nullptr;
    options.seed = static_cast<std::uint64_t>(seed);
    if (!quiet) options.log = [](const std::string& line) { std::cerr << line << std::endl; };
    std::vector<std::string> texts;
    for (const std::int64_t i : sample(documents, max_documents, options.seed)) {
      texts.push_back(documents.text(i));
      if (balance == "tokens") options.weights.push_back(weight_of(documents, i));
    }
    const ClusterModel model = ClusterModel::train(texts, options);
    model.save(output);
    print_clusters(model, default_cluster_names(model.clusters()), {.samples = 0});
    return 0;
  }
};

/// MODEL, INPUT and what else the commands that apply a model share.
struct Application {
  std::string model_path, input_path, post_process = kAuto;

  std::vector<Positional> positionals() {
    return {{"MODEL", "of btm cluster train, or a folder with c-BTM's tfidf.pkl and kmeans.pkl",
             &model_path},
            input(input_path)};
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

std::vector<std::uint32_t> assignment(const std::vector<float>& distances, const Corpus& documents,
                                      const std::string& balance, std::size_t clusters) {
  const auto count = static_cast<std::size_t>(documents.size());
  if (balance == "documents") return balanced_assignment(distances, count, clusters);
  if (balance == "none") return nearest_assignment(distances, count, clusters);
  std::vector<double> weights;
  for (std::int64_t i = 0; i < documents.size(); ++i) weights.push_back(weight_of(documents, i));
  return weight_balanced_assignment(distances, count, clusters, weights);
}

struct ClusterAssign {
  Application app;
  std::string output_dir, balance = "none";
  bool balanced = false, overwrite = false;

  compat::CommandSpec spec() {
    return {
        "btm cluster assign",
        "Puts each document into its nearest cluster: prints c-BTM's lines {\"sp_id\", "
        "\"cluster\"}, "
        "or splits the corpus.",
        app.positionals(),
        {{"Output",
          {flag_text(
               "output-dir", "DIR", output_dir,
               "split the corpus: DIR/cN/FILE for text, DIR/cN/{train,valid_cN,test_cN} for a "
               "data-bin (valid1_cN of valid1). Another set of the same model joins those that are "
               "there"),
           balance_flag(balance), flag_switch("balanced", balanced, "the same as --balance tokens"),
           compat::flag_overwrite(overwrite), post_process_flag(app.post_process)}}},
        {}};
  }

  int run() {
    if (!output_dir.empty()) compat::check_can_write_in(output_dir);
    const ClusterModel model = ClusterModel::load(app.model_path);
    const Corpus documents = corpus_for(model, app.model_path, app.input_path, app.post_process);
    if (!output_dir.empty())
      check_split(documents, app.input_path, model.clusters(), model.sha256(), output_dir,
                  overwrite);
    std::vector<float> distances;
    Placement placement(model);
    for_each_document(documents, "assign", [&](std::int64_t, const std::string& text) {
      const std::vector<double> here = placement.distances(text);
      distances.insert(distances.end(), here.begin(), here.end());
    });
    placement.check(app.input_path, documents.size());
    const auto count = static_cast<std::size_t>(documents.size());
    const std::vector<std::uint32_t> clusters =
        assignment(distances, documents, balanced ? "tokens" : balance, model.clusters());
    if (!output_dir.empty()) {
      const std::vector<std::uint64_t> counts = split_corpus(
          documents, app.input_path, clusters, model.clusters(), model.sha256(), output_dir);
      const auto names = cluster_names(app.model_path, model.sha256(), model.clusters());
      std::vector<double> weights(counts.size(), 0.0);
      for (std::size_t i = 0; i < count; ++i)
        weights[clusters[i]] += weight_of(documents, static_cast<std::int64_t>(i));
      for (std::size_t j = 0; j < counts.size(); ++j) {
        const std::string folder = "c" + std::to_string(j);
        std::cout << output_dir << "/" << folder << ": " << counts[j] << " documents, "
                  << compat::grouped(std::llround(weights[j]))
                  << (documents.dataset() ? " tokens" : " bytes")
                  << (names[j] == folder ? "" : ", " + compat::printable(names[j])) << "\n";
      }
      return 0;
    }
    for (std::size_t i = 0; i < clusters.size(); ++i)
      std::cout << compat::json_line(
                       nlohmann::ordered_json{{"sp_id", app.input_path + "|" + std::to_string(i)},
                                              {"cluster", clusters[i]}})
                << "\n";
    return 0;
  }
};

struct ClusterPriorCommand {
  Application app;
  double temperature = 0.1;
  std::int64_t top_k = 0;
  std::string output;
  bool overwrite = false;

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
           compat::flag_overwrite(overwrite),
           flag_text("output,o", "FILE", output, "write one line of JSON per document: id, prior"),
           post_process_flag(app.post_process)}}},
        {}};
  }

  int run() {
    if (!output.empty()) compat::check_new_output(output, overwrite);
    const ClusterModel model = ClusterModel::load(app.model_path);
    const Corpus documents = corpus_for(model, app.model_path, app.input_path, app.post_process);
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
  std::string path, html;
  bool json = false, overwrite = false;
  std::int64_t terms = 10, samples = 3;

  compat::CommandSpec spec() {
    return {"btm cluster show",
            "Shows each cluster: its name, its size in documents and tokens, its terms of largest "
            "weight, and the training documents nearest to its centre.",
            {{"MODEL", "of btm cluster train, or a folder with c-BTM's tfidf.pkl and kmeans.pkl",
              &path}},
            {{"Output",
              {flag_integer("terms", "N", terms, "terms of a cluster", 0),
               flag_integer("samples", "N", samples, "documents of a cluster, at most 3", 0),
               flag_switch("json", json, "as JSON"),
               flag_text("html", "FILE", html, "write a page with the clusters in the plane"),
               compat::flag_overwrite(overwrite)}}},
            {}};
  }

  int run() {
    if (!html.empty()) compat::check_new_output(html, overwrite);
    const ClusterModel model = ClusterModel::load(path);
    const auto names = cluster_names(path, model.sha256(), model.clusters());
    const ClusterListing listing{static_cast<std::size_t>(terms),
                                 static_cast<std::size_t>(samples)};
    json ? print_clusters_json(model, names, listing) : print_clusters(model, names, listing);
    if (!html.empty()) cluster_page(model, names, listing).write(html);
    return 0;
  }
};

struct ClusterName {
  std::string path;
  std::vector<std::string> given;

  compat::CommandSpec spec() {
    return {"btm cluster name",
            "Names the clusters of a model, in FILE.names beside it. Shows and reports use the "
            "names; the folders stay c0, c1, ...",
            {{"MODEL", "of btm cluster train, or a folder with c-BTM's tfidf.pkl and kmeans.pkl",
              &path},
             {"N=NAME", "a cluster's number and its name", nullptr, &given}},
            {},
            {}};
  }

  int run() {
    const ClusterModel model = ClusterModel::load(path);
    std::vector<std::string> names = cluster_names(path, model.sha256(), model.clusters());
    for (const std::string& word : given) {
      const std::size_t equals = std::min(word.find('='), word.size());
      const auto number = compat::number_of<std::size_t>(word.substr(0, equals));
      if (!number || *number >= names.size() || equals + 1 >= word.size() ||
          compat::first_invalid_utf8(word) < word.size())
        throw compat::UsageError("'" + compat::printable(word) +
                                 "', expected N=NAME with N below " + std::to_string(names.size()));
      names[*number] = word.substr(equals + 1);
    }
    for (const std::string& name : names)
      if (std::ranges::count(names, name) > 1)
        throw compat::UsageError("two clusters are named '" + compat::printable(name) + "'");
    write_cluster_names(path, model.sha256(), names);
    print_clusters(model, names, {.samples = 0});
    return 0;
  }
};

constexpr std::array kClusterCommands{
    compat::command_of<ClusterTrain>("train", "make a cluster model of a corpus"),
    compat::command_of<ClusterAssign>("assign", "put documents into clusters, or split a corpus"),
    compat::command_of<ClusterPriorCommand>(
        "prior", "weights that documents give the experts of the clusters"),
    compat::command_of<ClusterShow>("show", "clusters with terms, sizes and documents; a page"),
    compat::command_of<ClusterName>("name", "give the clusters names"),
};

}  // namespace

std::span<const compat::Command> cluster_commands() { return kClusterCommands; }

}  // namespace btm
