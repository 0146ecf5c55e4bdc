// Weights of the experts of clusters from the text of a block, as c-BTM has them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "btm/cluster/cluster_model.h"
#include "btm/cluster/cluster_record.h"
#include "btm/cluster/corpus.h"
#include "btm/mixing/prior.h"
#include "compat/fairseq/dictionary.h"

namespace btm {

struct ClusterPriorOptions {
  std::string model;  ///< A file of btm cluster train.
  /// [N] the cluster of each expert, where it is known. Empty, or none known: cluster j is expert
  /// j's.
  std::vector<std::optional<ClusterOrigin>> origins;
  std::string post_process;  ///< For a model of words: sentencepiece or subword_nmt joins the
                             ///< data-bin's pieces.
  double temperature = 0.1;  ///< c-BTM's
};

/// [k] the expert of each cluster of a model with checksum `model_sha256`. `experts` [k]: their
/// names, for messages. UsageError when an expert is of another model or of a cluster that there is
/// not, when two are of one cluster, and when an expert of unknown cluster stands among known ones
/// that are not in the order of clusters.
std::vector<std::size_t> experts_of_clusters(std::span<const std::optional<ClusterOrigin>> origins,
                                             std::span<const std::string> experts,
                                             const std::string& model_sha256);

class ClusterPrior final : public TextPrior {
 public:
  /// `top_k`: how many experts a target keeps; 0: all. Keeps a reference to `dictionary`.
  /// UsageError for a model of another number of clusters than there are `experts` (their paths),
  /// of other clusters than theirs (experts_of_clusters), or of another kind of terms than
  /// `post_process` gives.
  ClusterPrior(const ClusterPriorOptions& options, std::int64_t top_k,
               const compat::Dictionary& dictionary, std::span<const std::string> experts);

  std::size_t experts() const override { return expert_of_.size(); }
  /// The weights rest on the tokens that were read (c-BTM's code leaves out the last of them), and
  /// on words only when they are complete.
  std::unique_ptr<Reader> open() const override;

 private:
  class TermReader;

  ClusterPriorOptions options_;
  std::int64_t top_k_;
  ClusterModel model_;
  std::vector<std::size_t> expert_of_;  ///< [k]
  TokenText tokens_;
};

}  // namespace btm
