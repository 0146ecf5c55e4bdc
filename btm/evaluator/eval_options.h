// The options of an evaluation, in the parts that its callers need. Names and defaults are those of
// fairseq-eval-lm's flags.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "btm/data/domain_tokens.h"

namespace btm {

/// How a split is cut into samples, and samples are grouped into batches.
struct BatchingOptions {
  std::string sample_break_mode = "none";  ///< none, eos, complete, complete_doc
  /// 0: the least of the models' positions, at most fairseq's 1024.
  std::int64_t tokens_per_sample = 0;
  bool add_bos_token = false;
  DomainTokenOptions domain_token;  ///< Of multidomain_language_modeling.
  std::int64_t context_window = 0;
  std::int64_t batch_size = 0;      ///< samples in a batch; 0: no limit
  std::int64_t max_tokens = 36000;  ///< tokens in a batch, padding included; 0: no limit
  std::int64_t max_samples = 0;     ///< N > 0: stop after batch N, counted from 0; 0: all
};

/// The data to score.
struct EvalDataOptions {
  std::string folder;  ///< data-bin
  std::string gen_subset = "test";
  std::string task = "language_modeling";  ///< or multidomain_language_modeling
  std::string eval_domains;                ///< comma separated; multidomain only
  bool resample_eval = false;              ///< the release's seeded resampling of every eval set
  std::int64_t seed = 1;                   ///< of the order of samples of equal size
  std::int64_t num_shards = 1, shard_id = 0;
  std::string dataset_impl;  ///< empty: by magic
  BatchingOptions batching;
};

/// The device and the precision.
struct MachineOptions {
  bool fp16 = false, bf16 = false, cpu = false;
  std::string fp32_matmul = "fp32";  ///< or bf16x3: Products::kBf16x3, on a CPU
  std::int64_t device_id = 0;        ///< which GPU
  std::int64_t num_threads = 0;      ///< 0: all cores this process may use
  std::int64_t softmax_batch = std::numeric_limits<std::int64_t>::max();
  bool verbose = false;  ///< Commands say what products_note() returns.
};

/// The words to count and print.
struct WordOptions {
  std::string post_process;  ///< "@@ " or subword_nmt: pieces are joined to words; empty: not
  bool output_word_probs = false, output_word_stats = false;
};

}  // namespace btm
