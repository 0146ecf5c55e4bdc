#include "btm/cluster/cbtm_clusterer.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_set>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/io/sha256.h"
#include "compat/torch/numpy_value.h"
#include "compat/torch/torch_file.h"
#include "compat/torch/unpickler.h"

namespace btm {
namespace {

namespace fs = std::filesystem;
using compat::FormatError;
using compat::PickleNode;

constexpr std::size_t kMostValues = std::size_t{1} << 25, kBytesOfAValue = 16;

/// A pickle, and the errors about it.
class Pickle {
 public:
  explicit Pickle(const std::shared_ptr<const compat::MappedFile>& file) : name_(file->path()) {
    compat::ByteReader in(file->bytes(), {name_, {}, {}});
    // A vocabulary of millions has several values for each word, but no value without bytes.
    const std::size_t most =
        std::clamp(file->bytes().size() / kBytesOfAValue, compat::kMostPickleValues, kMostValues);
    tree_ = compat::unpickle(in, {}, compat::storage_of_bytes, most);
    if (!in.at_end()) in.fail("bytes behind the pickle, expected its end");
  }

  const PickleNode& root() const { return *tree_.root; }
  compat::Location where(std::string_view part) const { return {name_, std::string(part), {}}; }
  [[noreturn]] void fail(std::string_view part, const std::string& problem) const {
    throw FormatError(where(part), problem);
  }
  [[noreturn]] void refuse(const std::string& what) const {
    throw compat::UnsupportedError(compat::printable(name_, 4096) + ": " + what +
                                   ", which c-BTM's train_clusterer.py does not make");
  }
  /// The attribute of an object, or the entry of a dict.
  const PickleNode& member(const PickleNode& object, std::string_view key) const {
    const PickleNode* const found = object.find(key);
    if (found == nullptr) fail(key, "is missing in " + object.describe());
    return *found;
  }

 private:
  std::string name_;
  compat::PickleTree tree_;
};

/// The three steps of the pipeline: the vectoriser, the SVD, the normaliser.
std::vector<const PickleNode*> steps_of(const Pickle& pickle) {
  if (compat::class_of(pickle.root()) != "sklearn.pipeline.Pipeline")
    pickle.fail({}, "holds " + pickle.root().describe() + ", expected scikit-learn's Pipeline");
  const auto* list = pickle.member(pickle.root(), "steps").get_if<compat::PickleList>();
  if (list == nullptr || list->items.size() != 3) pickle.fail("steps", "are not three");
  std::vector<const PickleNode*> steps;
  for (const PickleNode* item : list->items) {
    const auto* pair = item->get_if<compat::PickleTuple>();
    if (pair == nullptr || pair->items.size() != 2)
      pickle.fail("steps", "hold " + item->describe() + ", expected a name and a step");
    steps.push_back(pair->items[1]);
  }
  for (const auto& [step, name] : {std::pair{0, "NumberNormalizingVectorizer"},
                                   std::pair{1, "TruncatedSVD"}, std::pair{2, "Normalizer"}}) {
    const std::string found = compat::class_of(*steps[static_cast<std::size_t>(step)]);
    if (!found.ends_with(std::string(".") + name))
      pickle.refuse("has the step " + compat::printable(found) + " (expected " + name + ")");
  }
  return steps;
}

/// Settings are as train_clusterer.py leaves them, or the object lacks them.
void check_settings(const Pickle& pickle, const PickleNode& vectorizer, const PickleNode& idf,
                    const PickleNode& normalizer) {
  const auto text = [&](const PickleNode& object, const char* key, std::string_view expected) {
    const auto* found = pickle.member(object, key).get_if<std::string>();
    if (found == nullptr || *found != expected)
      pickle.refuse(std::string(key) + " is " +
                    (found == nullptr ? pickle.member(object, key).describe()
                                      : "'" + compat::printable(*found) + "'"));
  };
  const auto flag = [&](const PickleNode& object, const char* key, bool expected) {
    const auto* found = pickle.member(object, key).get_if<bool>();
    if (found == nullptr || *found != expected)
      pickle.refuse(std::string(key) + (expected ? " is not True" : " is not False"));
  };
  for (const char* const key : {"strip_accents", "preprocessor", "tokenizer"})
    if (const PickleNode* found = vectorizer.find(key); found != nullptr && !found->is_none())
      pickle.refuse(std::string(key) + " is " + found->describe());
  text(vectorizer, "analyzer", "word");
  text(vectorizer, "token_pattern", "(?u)\\b\\w\\w+\\b");
  flag(vectorizer, "lowercase", true);
  flag(vectorizer, "binary", false);
  flag(idf, "use_idf", true);
  flag(idf, "sublinear_tf", false);
  text(normalizer, "norm", "l2");
  const auto* range = pickle.member(vectorizer, "ngram_range").get_if<compat::PickleTuple>();
  const auto is_one = [](const PickleNode* node) {
    const auto* number = node->get_if<std::int64_t>();
    return number != nullptr && *number == 1;
  };
  if (range == nullptr || !std::ranges::all_of(range->items, is_one))
    pickle.refuse("ngram_range is not (1, 1)");
}

/// The words by their numbers, which are 0 to their count.
std::vector<std::string> terms_of(const Pickle& pickle, const PickleNode& vectorizer) {
  constexpr std::string_view kPart = "vocabulary_";
  const auto* vocabulary = pickle.member(vectorizer, kPart).get_if<compat::PickleDict>();
  if (vocabulary == nullptr) pickle.fail(kPart, "is no dict of words");
  std::vector<std::string> terms(vocabulary->items.size());
  std::vector<bool> taken(terms.size());
  for (const auto& [key, value] : vocabulary->items) {
    const auto* word = key->get_if<std::string>();
    const auto number = compat::numpy_integer(*value);
    if (word == nullptr || !number || *number < 0 ||
        static_cast<std::uint64_t>(*number) >= terms.size() ||
        taken[static_cast<std::size_t>(*number)])
      pickle.fail(
          kPart, compat::concat(
                     "has the entry ", word == nullptr ? key->describe() : compat::printable(*word),
                     " of ", value->describe(), ", expected words numbered 0 to ", terms.size()));
    terms[static_cast<std::size_t>(*number)] = *word;
    taken[static_cast<std::size_t>(*number)] = true;
  }
  return terms;
}

/// idf_ of newer versions, or the values of the diagonal matrix _idf_diag of older ones.
std::vector<float> idf_of(const Pickle& pickle, const PickleNode& idf, std::size_t terms) {
  const PickleNode* values = idf.find("idf_");
  const char* part = "idf_";
  if (values == nullptr) {
    part = "_idf_diag";
    values = &pickle.member(pickle.member(idf, part), "data");
  }
  compat::NumpyArray array = compat::numpy_array(*values, pickle.where(part));
  if (array.values.size() != terms)
    pickle.fail(part, compat::concat("has ", array.values.size(), " values for ", terms, " words"));
  return std::move(array.values);
}

/// Words that are stop words have no part, as scikit-learn leaves them out before it counts.
void leave_out_stop_words(const PickleNode& vectorizer, ClusterParts& parts) {
  const PickleNode* const found = vectorizer.find("stop_words");
  const std::vector<PickleNode*>* items = nullptr;
  if (const auto* list = found == nullptr ? nullptr : found->get_if<compat::PickleList>())
    items = &list->items;
  else if (const auto* set = found == nullptr ? nullptr : found->get_if<compat::PickleSet>())
    items = &set->items;
  if (items == nullptr) return;
  std::unordered_set<std::string_view> stops;
  for (const PickleNode* item : *items)
    if (const auto* word = item->get_if<std::string>()) stops.insert(*word);
  for (std::size_t i = 0; i < parts.terms.size(); ++i)
    if (stops.contains(parts.terms[i])) parts.idf[i] = 0;
}

/// Components [r, m] as [m, r].
void take_components(const Pickle& pickle, const PickleNode& svd, ClusterParts& parts) {
  constexpr std::string_view kPart = "components_";
  const compat::NumpyArray array =
      compat::numpy_array(pickle.member(svd, kPart), pickle.where(kPart));
  if (array.shape.size() != 2 || array.shape[0] < 1 || array.shape[0] > kMostDimensions ||
      static_cast<std::size_t>(array.shape[1]) != parts.terms.size())
    pickle.fail(kPart, "have the shape " + compat::shape_text(array.shape) +
                           compat::concat(" for ", parts.terms.size(), " words"));
  parts.dimensions = static_cast<std::size_t>(array.shape[0]);
  const std::size_t terms = parts.terms.size();
  parts.components.resize(array.values.size());
  for (std::size_t d = 0; d < parts.dimensions; ++d)
    for (std::size_t t = 0; t < terms; ++t)
      parts.components[t * parts.dimensions + d] = array.values[d * terms + t];
}

void take_centers(const Pickle& pickle, ClusterParts& parts) {
  constexpr std::string_view kPart = "cluster_centers";
  const bool is_dict = pickle.root().get_if<compat::PickleDict>() != nullptr;
  if (!is_dict && compat::class_of(pickle.root()) != "kmeans_pytorch.KMeans")
    pickle.fail({}, "holds " + pickle.root().describe() + ", expected kmeans_pytorch's KMeans");
  const auto* tensor = pickle.member(pickle.root(), kPart).get_if<compat::PickleTensor>();
  if (tensor == nullptr || tensor->view.dtype() != compat::DType::kFloat32 ||
      tensor->view.shape.size() != 2 || tensor->view.shape[0] < 1 ||
      tensor->view.shape[0] > kMostClusters ||
      static_cast<std::size_t>(tensor->view.shape[1]) != parts.dimensions)
    pickle.fail(kPart, compat::concat("are no float32 matrix of ", parts.dimensions, " columns"));
  std::vector<std::byte> scratch;
  const auto bytes = tensor->view.contiguous_bytes(scratch);
  parts.centers.resize(bytes.size() / sizeof(float));
  std::ranges::copy(bytes, std::as_writable_bytes(std::span(parts.centers)).begin());
  for (const float value : parts.centers)
    if (!std::isfinite(value)) pickle.fail(kPart, "are not finite");
  parts.sizes.assign(static_cast<std::size_t>(tensor->view.shape[0]), 0);
}

}  // namespace

fs::path cbtm_clusterer_at(const fs::path& path) {
  std::error_code unknown;
  if (fs::is_directory(path, unknown)) return fs::exists(path / "tfidf.pkl") ? path : fs::path();
  return path.filename() == "tfidf.pkl" ? path.parent_path() : fs::path();
}

ClusterParts read_cbtm_clusterer(const std::shared_ptr<const compat::MappedFile>& tfidf,
                                 const std::shared_ptr<const compat::MappedFile>& kmeans) {
  ClusterParts parts;
  parts.rule = TermRule::kPythonWords;
  const Pickle pipeline(tfidf);
  const auto steps = steps_of(pipeline);
  const PickleNode& idf = pipeline.member(*steps[0], "_tfidf");
  check_settings(pipeline, *steps[0], idf, *steps[2]);
  parts.terms = terms_of(pipeline, *steps[0]);
  parts.idf = idf_of(pipeline, idf, parts.terms.size());
  leave_out_stop_words(*steps[0], parts);
  take_components(pipeline, *steps[1], parts);
  take_centers(Pickle(kmeans), parts);
  compat::Sha256 hash;
  hash.update(tfidf->bytes());
  hash.update(kmeans->bytes());
  parts.sha256 = hash.hex();
  return parts;
}

}  // namespace btm
