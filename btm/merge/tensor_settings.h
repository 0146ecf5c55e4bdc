// What the merge of one tensor needs beside the tensors. N models.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "btm/merge/gram_merge.h"
#include "btm/merge/sparse_tasks.h"

namespace btm {

struct TensorSettings {
  std::vector<double> weights;                ///< [N]; slerp and nuslerp: 1 - t and t.
  std::vector<SparseParameters> sparse;       ///< [N]
  bool normalizes = false, rescales = false;  ///< Of the methods of sparse_tasks.h.
  double scale = 1;                           ///< mergekit's lambda.
  double select_topk = 1;  ///< SCE: the share of the elements that vary, which is kept.
  double straight = 1;     ///< Slerp: the cosine beyond which tensors count as parallel.
  KarcherOptions karcher;
};

/// The settings of a tensor of a model with so many layers.
using SettingsOf = std::function<TensorSettings(std::string_view tensor, std::int64_t layers)>;

}  // namespace btm
