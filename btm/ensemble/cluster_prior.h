// Weights of the experts of clusters from the text of a block, as c-BTM has them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "btm/cluster/cluster_model.h"
#include "btm/cluster/documents.h"
#include "btm/data/batches.h"
#include "compat/dictionary.h"

namespace btm {

struct ClusterPriorOptions {
  std::string model;            ///< A file of btm cluster train; its clusters are the experts, in order.
  std::string post_process;     ///< For a model of words: sentencepiece or subword_nmt joins the data-bin's pieces.
  double temperature = 0.1;     ///< c-BTM's
};

class ClusterPrior {
 public:
  /// `top_k`: how many experts a target keeps; 0: all. Keeps a reference to `dictionary`. UsageError for a model of another
  /// number of clusters than `experts` or of another kind of terms than `post_process` gives.
  ClusterPrior(const ClusterPriorOptions& options, std::int64_t top_k, const compat::Dictionary& dictionary, std::size_t experts);

  /// [L * N] logs of the weights of the row's `length` scored targets. A target's weights rest on the tokens of the row
  /// before it (c-BTM's code leaves out the last of them), and on words only when they are complete.
  std::vector<double> log_prior(const Batch& batch, std::int64_t row, std::size_t length) const;

 private:
  ClusterPriorOptions options_;
  std::int64_t top_k_;
  ClusterModel model_;
  TokenText tokens_;
};

}  // namespace btm
