#include "btm/merge/method_table.h"

namespace btm {
namespace {

enum class BaseModel : std::uint8_t { kNone, kOptional, kNeeded };
enum class Weights : std::uint8_t { kNone, kSumToOne, kAny };

struct Traits {
  std::string_view name;
  BaseModel base;
  Weights weights;
  std::optional<SparseMethod> sparse = std::nullopt;
};

/// In the order of MergeMethod.
constexpr Traits kTraits[] = {
    {"linear", BaseModel::kNone, Weights::kSumToOne},
    {"slerp", BaseModel::kNone, Weights::kSumToOne},
    {"task-arithmetic", BaseModel::kNeeded, Weights::kAny},
    {"ties", BaseModel::kNeeded, Weights::kAny},
    {"dare", BaseModel::kNeeded, Weights::kAny},
    {"nuslerp", BaseModel::kOptional, Weights::kSumToOne},
    {"multislerp", BaseModel::kOptional, Weights::kSumToOne},
    {"karcher", BaseModel::kNone, Weights::kNone},
    {"model_stock", BaseModel::kNeeded, Weights::kNone},
    {"dare_linear", BaseModel::kNeeded, Weights::kAny,
     SparseMethod{.sparsifier = Sparsifier::kRandom, .rescales = true}},
    {"dare_ties", BaseModel::kNeeded, Weights::kAny,
     SparseMethod{.sparsifier = Sparsifier::kRandom, .elects = true, .rescales = true}},
    {"breadcrumbs", BaseModel::kNeeded, Weights::kAny,
     SparseMethod{.sparsifier = Sparsifier::kOutliers}},
    {"breadcrumbs_ties", BaseModel::kNeeded, Weights::kAny,
     SparseMethod{.sparsifier = Sparsifier::kOutliers, .elects = true}},
    {"della", BaseModel::kNeeded, Weights::kAny,
     SparseMethod{
         .sparsifier = Sparsifier::kRanks, .elects = true, .normalizes = true, .rescales = true}},
    {"della_linear", BaseModel::kNeeded, Weights::kAny,
     SparseMethod{.sparsifier = Sparsifier::kRanks, .rescales = true}},
    {"sce", BaseModel::kNeeded, Weights::kNone},
};
static_assert(std::size(kTraits) == kMergeMethods.size());

const Traits& traits(MergeMethod method) noexcept {
  return kTraits[static_cast<std::size_t>(method)];
}

}  // namespace

std::string_view merge_method_name(MergeMethod method) noexcept { return traits(method).name; }

std::optional<MergeMethod> merge_method(std::string_view name) noexcept {
  for (const MergeMethod method : kMergeMethods)
    if (merge_method_name(method) == name) return method;
  return std::nullopt;
}

bool needs_base_model(MergeMethod method) noexcept {
  return traits(method).base == BaseModel::kNeeded;
}

bool takes_base_model(MergeMethod method) noexcept {
  return traits(method).base != BaseModel::kNone;
}

bool takes_weights(MergeMethod method) noexcept { return traits(method).weights != Weights::kNone; }

bool weights_sum_to_one(MergeMethod method) noexcept {
  return traits(method).weights == Weights::kSumToOne;
}

bool is_arc(MergeMethod method) noexcept {
  return method == MergeMethod::kSlerp || method == MergeMethod::kNuslerp;
}

bool is_gram_method(MergeMethod method) noexcept {
  return method == MergeMethod::kNuslerp || method == MergeMethod::kMultislerp ||
         method == MergeMethod::kKarcher || method == MergeMethod::kModelStock;
}

std::optional<SparseMethod> sparse_method(MergeMethod method, bool trims_tensors) noexcept {
  if (method == MergeMethod::kTies && trims_tensors)
    return SparseMethod{.sparsifier = Sparsifier::kLargest, .elects = true, .normalizes = true};
  return traits(method).sparse;
}

}  // namespace btm
