// Clusters of documents as c-BTM (Gururangan et al. 2023) makes them: tf-idf, a truncated SVD to
// 100 dimensions, unit length, balanced k-means; and the weights that a document gives the experts
// of the clusters.
//
// File: "BTMCLUS2"; u32 rule, dimensions r, clusters k; u64 terms m; per term u32 length and its
// bytes, by rising id; float32 idf [m]; float32 components [m, r]; float32 centres [k, r]; u64
// documents per cluster [k]; u64 length and JSON notes
// (cluster_notes.h; "BTMCLUS1" has none); SHA-256 of all before in hexadecimal (64 bytes).
// Little-endian.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "btm/cluster/cluster_notes.h"
#include "btm/cluster/terms.h"

namespace btm {

struct ClusterTrainingOptions {
  TermRule rule = TermRule::kWords;
  std::int64_t clusters = 8;
  bool balanced = true;
  std::int64_t dimensions = 100;   ///< c-BTM's
  std::int64_t max_terms = 50000;  ///< The terms of most documents; c-BTM keeps all.
  /// A term of a larger share of the documents is dropped, and so are the stop words (stop_words.h)
  /// of words. c-BTM drops scikit-learn's English ones.
  double max_document_share = 0.5;
  std::string stop_words = "auto";
  /// A document's tokens or bytes, by which clusters are balanced; empty: by numbers of documents.
  std::vector<double> weights = {};
  bool weighs_tokens = false;  ///< `weights` are tokens; else bytes.
  std::uint64_t seed = 1;
  std::function<void(const std::string& line)> log = [](const std::string&) {};
};

inline constexpr std::uint32_t kMostDimensions = 4096, kMostClusters = 65536;

/// What a model of another program gives: m terms, r dimensions, k clusters.
struct ClusterParts {
  TermRule rule = TermRule::kWords;
  std::size_t dimensions = 0;
  std::vector<std::string> terms;    ///< [m] by rising id, each once
  std::vector<float> idf;            ///< [m]; 0 for a term that does not count
  std::vector<float> components;     ///< [m, r]
  std::vector<float> centers;        ///< [k, r]
  std::vector<std::uint64_t> sizes;  ///< [k] documents; all 0 where they are unknown
  std::string sha256;                ///< of its files
};

class ClusterModel {
 public:
  /// UsageError when there are fewer documents with a known term than clusters.
  static ClusterModel train(std::span<const std::string> documents,
                            const ClusterTrainingOptions& options);

  /// `path` is a file of btm cluster train, or a folder with c-BTM's tfidf.pkl and kmeans.pkl
  /// (cbtm_clusterer.h). FormatError for a damaged file.
  static ClusterModel load(const std::filesystem::path& path);
  static ClusterModel of_parts(ClusterParts parts);
  void save(const std::filesystem::path& path) const;  ///< Atomic.

  /// The checksum of the file that the model was loaded from. Empty for a new model.
  const std::string& sha256() const noexcept { return sha256_; }
  TermRule rule() const noexcept { return rule_; }
  std::size_t clusters() const noexcept { return sizes_.size(); }
  std::size_t dimensions() const noexcept { return dimensions_; }
  std::size_t terms() const noexcept { return terms_.size(); }
  const ClusterNotes& notes() const noexcept { return notes_; }
  /// Training documents of each cluster.
  const std::vector<std::uint64_t>& sizes() const noexcept { return sizes_; }

  /// A text that grows term by term. Each term costs `dimensions` operations.
  class Context {
   public:
    explicit Context(const ClusterModel& model) : model_(model), sum_(model.dimensions_, 0.0) {}
    void add(std::string_view term);
    /// [k] squared Euclidean distances of the text so far, scaled to unit length, to the centres. A
    /// text without a known term is the origin.
    std::vector<double> distances() const;
    /// Whether the text has a known term.
    bool placed() const noexcept { return placed_; }

   private:
    const ClusterModel& model_;
    bool placed_ = false;
    std::vector<double> sum_;
  };

  std::vector<double> distances(std::string_view document) const;
  std::uint32_t nearest(std::string_view document) const;

  /// The terms of a cluster's centre with the largest weights, in descending order.
  std::vector<std::string> top_terms(std::size_t cluster, std::size_t count) const;

 private:
  ClusterModel() = default;
  void index_terms();
  /// k-means of the documents with a known term, and the notes about them.
  void place_centers(std::span<const float> points, std::span<const double> weights,
                     const std::vector<std::string_view>& texts,
                     const ClusterTrainingOptions& options);
  std::vector<float> embedding(std::span<const std::pair<std::uint32_t, float>> counts) const;

  std::string sha256_;
  TermRule rule_ = TermRule::kWords;
  std::size_t dimensions_ = 0;
  std::vector<std::string> terms_;
  std::vector<float> idf_, components_, centers_;
  std::vector<std::uint64_t> sizes_;
  ClusterNotes notes_;
  std::unordered_map<std::string_view, std::uint32_t> ids_;

 public:
  ClusterModel(ClusterModel&&) = default;
  ClusterModel& operator=(ClusterModel&&) = default;
};

/// How distances become weights: exp(-d²/T), c-BTM's formula (4), or exp(-d⁴/T), what c-BTM's code
/// computes. It squares distances that are squares already.
enum class WeightRule : std::uint8_t { kPaper, kCode };

/// [k] weights by a rule, with squared `distances`. All but the `top_k` largest are 0 (0: all
/// stay).
std::vector<double> cluster_weights(std::span<const double> distances, double temperature,
                                    std::int64_t top_k, WeightRule rule = WeightRule::kPaper);

}  // namespace btm
