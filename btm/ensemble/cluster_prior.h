// The weights of clusters' experts from the text of a block, as in c-BTM.
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
  /// [N] the cluster of each expert, where it is known. When none is known, cluster j is that of
  /// expert j.
  std::vector<std::optional<ClusterOrigin>> origins;
  std::string post_process;  ///< For a model of words: sentencepiece or subword_nmt joins the
                             ///< data-bin's pieces.
  std::string encoder_json;  ///< GPT-2's, of the texts' tokenizer: where `post_process` is empty.
  double temperature = 0.1;  ///< c-BTM's
  /// As c-BTM's code has it (clustering, product_of_experts): its rule of weights, and a word
  /// counts before it is complete.
  bool as_code = false;
  /// The last tokens that are not read yet: 1 for clustering, 2 for product_of_experts, whose
  /// weight is that of the previous token.
  std::size_t lag = 0;
};

/// [k] the expert of each cluster of a model with checksum `model_sha256`. `experts` [k] are the
/// names of the experts, for messages. UsageError when an expert belongs to another model or to a
/// cluster that does not exist, or when two experts have the same cluster. UsageError, too, when
/// only some clusters are known and those experts are not in the order of clusters.
std::vector<std::size_t> experts_of_clusters(std::span<const std::optional<ClusterOrigin>> origins,
                                             std::span<const std::string> experts,
                                             const std::string& model_sha256);

class ClusterPrior final : public TextPrior {
 public:
  /// `top_k` is the number of experts that a target keeps, 0 for all. `experts` are their paths.
  /// Keeps a reference to `dictionary`. UsageError when the model has not as many clusters as there
  /// are experts, when experts_of_clusters() refuses them, or when `post_process` gives another
  /// kind of terms than the model's.
  ClusterPrior(const ClusterPriorOptions& options, std::int64_t top_k,
               const compat::Dictionary& dictionary, std::span<const std::string> experts);

  std::size_t experts() const override { return expert_of_.size(); }
  /// The weights depend on all tokens that were read, but for the last ones that options leave out.
  /// A word counts when it is complete, or at once as in c-BTM's code.
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
