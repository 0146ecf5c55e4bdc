#include "btm/cluster/cluster_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <numeric>
#include <unordered_set>
#include <utility>

#include "btm/cluster/balanced_kmeans.h"
#include "btm/cluster/cbtm_clusterer.h"
#include "btm/cluster/stop_words.h"
#include "btm/cluster/truncated_svd.h"
#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/io/atomic_file.h"
#include "compat/io/mapped_file.h"
#include "compat/io/sha256.h"

namespace btm {
namespace {

constexpr std::string_view kMagic = "BTMCLUS2", kMagicWithoutNotes = "BTMCLUS1";

using Counts =
    std::vector<std::pair<std::uint32_t, float>>;  ///< term and how often, by rising term

struct CountedDocuments {
  std::vector<std::string> terms;              ///< by id
  std::vector<std::uint32_t> document_counts;  ///< of documents that hold the term
  std::vector<Counts> documents;
};

CountedDocuments count_terms(std::span<const std::string> documents, TermRule rule) {
  CountedDocuments counted;
  std::unordered_map<std::string, std::uint32_t> ids;
  for (const std::string& document : documents) {
    std::map<std::uint32_t, float> counts;
    for_each_term(document, rule, [&](std::string_view term) {
      const auto [place, added] =
          ids.try_emplace(std::string(term), static_cast<std::uint32_t>(counted.terms.size()));
      if (added) {
        counted.terms.emplace_back(term);
        counted.document_counts.push_back(0);
      }
      if (counts[place->second]++ == 0) ++counted.document_counts[place->second];
    });
    counted.documents.emplace_back(counts.begin(), counts.end());
  }
  return counted;
}

/// Ids of the terms that are kept.
std::vector<std::uint32_t> choose_terms(const CountedDocuments& counted,
                                        const std::unordered_set<std::string_view>& stops,
                                        const ClusterTrainingOptions& options) {
  const double most = options.max_document_share * static_cast<double>(counted.documents.size());
  std::vector<std::uint32_t> chosen;
  for (std::uint32_t id = 0; id < counted.terms.size(); ++id)
    if (counted.document_counts[id] <= std::max(most, 1.0) && !stops.contains(counted.terms[id]))
      chosen.push_back(id);
  std::ranges::sort(chosen, [&](std::uint32_t a, std::uint32_t b) {
    return std::pair(counted.document_counts[b], counted.terms[a]) <
           std::pair(counted.document_counts[a], counted.terms[b]);
  });
  if (chosen.size() > static_cast<std::size_t>(options.max_terms))
    chosen.resize(static_cast<std::size_t>(options.max_terms));
  return chosen;
}

void to_unit_length(std::span<float> values) {
  double square = 0;
  for (const float value : values) square += static_cast<double>(value) * value;
  if (square == 0) return;
  for (float& value : values) value = static_cast<float>(value / std::sqrt(square));
}

/// tf-idf rows of unit length; documents without a known term are left out.
SparseRows tf_idf(const std::vector<Counts>& documents, std::span<const float> idf) {
  SparseRows rows;
  for (const Counts& counts : documents) {
    if (counts.empty()) continue;
    const std::size_t begin = rows.values.size();
    for (const auto& [term, count] : counts) {
      rows.columns.push_back(term);
      rows.values.push_back(count * idf[term]);
    }
    to_unit_length(std::span(rows.values).subspan(begin));
    rows.offsets.push_back(rows.values.size());
  }
  return rows;
}

}  // namespace

void ClusterModel::index_terms() {
  for (std::uint32_t id = 0; id < terms_.size(); ++id) ids_.emplace(terms_[id], id);
}

std::vector<float> ClusterModel::embedding(
    std::span<const std::pair<std::uint32_t, float>> counts) const {
  std::vector<float> sum(dimensions_, 0.0F);
  for (const auto& [term, count] : counts)
    for (std::size_t d = 0; d < dimensions_; ++d)
      sum[d] += count * idf_[term] * components_[term * dimensions_ + d];
  to_unit_length(sum);
  return sum;
}

ClusterModel ClusterModel::train(std::span<const std::string> documents,
                                 const ClusterTrainingOptions& options) {
  CountedDocuments counted = count_terms(documents, options.rule);
  const auto stops = options.rule == TermRule::kWords ? stop_words(options.stop_words, documents)
                                                      : std::unordered_set<std::string_view>();
  const std::vector<std::uint32_t> chosen = choose_terms(counted, stops, options);
  options.log(compat::concat(documents.size(), " documents, ", counted.terms.size(), " terms, ",
                             chosen.size(), " of them kept"));
  ClusterModel model;
  model.rule_ = options.rule;
  std::vector<std::int64_t> new_ids(counted.terms.size(), -1);
  for (const std::uint32_t id : chosen) {
    new_ids[id] = static_cast<std::int64_t>(model.terms_.size());
    model.terms_.push_back(counted.terms[id]);
    // scikit-learn's smoothed idf: as if one more document held every term.
    model.idf_.push_back(static_cast<float>(std::log((1.0 + static_cast<double>(documents.size())) /
                                                     (1.0 + counted.document_counts[id])) +
                                            1));
  }
  std::size_t known = 0;
  for (Counts& counts : counted.documents) {
    std::erase_if(counts, [&](const auto& entry) { return new_ids[entry.first] < 0; });
    for (auto& [term, count] : counts) term = static_cast<std::uint32_t>(new_ids[term]);
    known += counts.empty() ? 0 : 1;
  }
  if (known < static_cast<std::size_t>(options.clusters))
    throw compat::UsageError(
        compat::concat(known, known == 1 ? " document has" : " documents have",
                       " terms that are kept, expected one or more for each of the ",
                       options.clusters, " clusters"));
  TruncatedSvd svd = truncated_svd(tf_idf(counted.documents, model.idf_), model.terms_.size(),
                                   static_cast<std::size_t>(options.dimensions), options.seed);
  model.dimensions_ = svd.rank;
  model.components_ = std::move(svd.components);
  options.log(compat::concat("truncated SVD: ", svd.rank, " dimensions"));

  std::vector<float> points;
  std::vector<double> weights;
  std::vector<std::string_view> texts;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    if (counted.documents[i].empty()) continue;
    const std::vector<float> point = model.embedding(counted.documents[i]);
    points.insert(points.end(), point.begin(), point.end());
    weights.push_back(options.weights.empty() ? static_cast<double>(documents[i].size())
                                              : options.weights[i]);
    texts.emplace_back(documents[i]);
  }
  model.place_centers(points, weights, texts, options);
  model.index_terms();
  return model;
}

void ClusterModel::place_centers(std::span<const float> points, std::span<const double> weights,
                                 const std::vector<std::string_view>& texts,
                                 const ClusterTrainingOptions& options) {
  const auto clusters = static_cast<std::size_t>(options.clusters);
  KMeansOptions kmeans;
  if (!options.weights.empty()) kmeans.weights.assign(weights.begin(), weights.end());
  kmeans.clusters = clusters;
  kmeans.balanced = options.balanced;
  kmeans.seed = options.seed;
  kmeans.progress = [&](int iteration, double shift) {
    options.log(compat::concat("k-means: iteration ", iteration, ", the centres moved by ",
                               compat::decimal(shift, 6)));
  };
  KMeansResult result = balanced_kmeans(points, dimensions_, kmeans);
  centers_ = std::move(result.centers);
  sizes_.assign(clusters, 0);
  for (const std::uint32_t cluster : result.assignment) ++sizes_[cluster];
  notes_ = make_notes(points, centers_, dimensions_, result.assignment, weights, texts);
  notes_.unit = !options.weights.empty() && options.weighs_tokens ? "tokens" : "bytes";
}

void ClusterModel::Context::add(std::string_view term) {
  const auto found = model_.ids_.find(term);
  if (found == model_.ids_.end()) return;
  placed_ = true;
  const float weight = model_.idf_[found->second];
  const float* const component = model_.components_.data() + found->second * model_.dimensions_;
  for (std::size_t d = 0; d < sum_.size(); ++d)
    sum_[d] += static_cast<double>(weight) * component[d];
}

std::vector<double> ClusterModel::Context::distances() const {
  const double square = std::inner_product(sum_.begin(), sum_.end(), sum_.begin(), 0.0);
  const double scale = square > 0 ? 1 / std::sqrt(square) : 0;
  std::vector<double> distances(model_.clusters(), 0.0);
  for (std::size_t j = 0; j < distances.size(); ++j)
    for (std::size_t d = 0; d < sum_.size(); ++d) {
      const double difference = sum_[d] * scale - model_.centers_[j * sum_.size() + d];
      distances[j] += difference * difference;
    }
  return distances;
}

std::vector<double> ClusterModel::distances(std::string_view document) const {
  Context context(*this);
  for_each_term(document, rule_, [&](std::string_view term) { context.add(term); });
  return context.distances();
}

std::uint32_t ClusterModel::nearest(std::string_view document) const {
  const std::vector<double> all = distances(document);
  return static_cast<std::uint32_t>(std::ranges::min_element(all) - all.begin());
}

std::vector<std::string> ClusterModel::top_terms(std::size_t cluster, std::size_t count) const {
  const float* const center = centers_.data() + cluster * dimensions_;
  std::vector<std::pair<double, std::uint32_t>> weights;
  for (std::uint32_t term = 0; term < terms_.size(); ++term)
    weights.emplace_back(std::inner_product(center, center + dimensions_,
                                            components_.data() + term * dimensions_, 0.0),
                         term);
  count = std::min(count, weights.size());
  std::ranges::partial_sort(weights, weights.begin() + static_cast<std::ptrdiff_t>(count),
                            std::greater<>{});
  std::vector<std::string> terms;
  for (std::size_t i = 0; i < count; ++i) terms.push_back(terms_[weights[i].second]);
  return terms;
}

void ClusterModel::save(const std::filesystem::path& path) const {
  compat::AtomicFile file(path);
  compat::Sha256 hash;
  const auto write = [&](std::span<const std::byte> bytes) {
    hash.update(bytes);
    file.write(bytes);
  };
  const auto write_number = [&](auto value) { write(std::as_bytes(std::span(&value, 1))); };
  write(compat::as_byte_span(kMagic));
  write_number(static_cast<std::uint32_t>(rule_));
  write_number(static_cast<std::uint32_t>(dimensions_));
  write_number(static_cast<std::uint32_t>(sizes_.size()));
  write_number(static_cast<std::uint64_t>(terms_.size()));
  for (const std::string& term : terms_) {
    write_number(static_cast<std::uint32_t>(term.size()));
    write(compat::as_byte_span(term));
  }
  for (const auto* const values : {&idf_, &components_, &centers_})
    write(std::as_bytes(std::span(*values)));
  write(std::as_bytes(std::span(sizes_)));
  const std::string notes = notes_.weights.empty() ? "" : notes_to_text(notes_);
  write_number(static_cast<std::uint64_t>(notes.size()));
  write(compat::as_byte_span(notes));
  file.write(hash.hex());
  file.commit();
}

ClusterModel ClusterModel::of_parts(ClusterParts parts) {
  ClusterModel model;
  model.sha256_ = std::move(parts.sha256);
  model.rule_ = parts.rule;
  model.dimensions_ = parts.dimensions;
  model.terms_ = std::move(parts.terms);
  model.idf_ = std::move(parts.idf);
  model.components_ = std::move(parts.components);
  model.centers_ = std::move(parts.centers);
  model.sizes_ = std::move(parts.sizes);
  model.index_terms();
  // A text of such terms alone is the origin.
  for (std::size_t i = 0; i < model.terms_.size(); ++i)
    if (model.idf_[i] == 0) model.ids_.erase(model.terms_[i]);
  return model;
}

ClusterModel ClusterModel::load(const std::filesystem::path& path) {
  if (const auto folder = cbtm_clusterer_at(path); !folder.empty() || path == "tfidf.pkl")
    return of_parts(read_cbtm_clusterer(compat::MappedFile::open(folder / "tfidf.pkl"),
                                        compat::MappedFile::open(folder / "kmeans.pkl")));
  const auto file = compat::MappedFile::open(path);
  compat::ByteReader in(file->bytes(), {path.string(), {}, {}});
  const std::string_view magic = in.remaining() < kMagic.size()
                                     ? std::string_view()
                                     : compat::as_chars(in.take(kMagic.size(), "the signature"));
  if (magic != kMagic && magic != kMagicWithoutNotes)
    in.fail("is no cluster model of btm (see btm cluster train)");
  ClusterModel model;
  const auto rule = in.read<std::uint32_t>("the kind of the terms");
  if (rule > static_cast<std::uint32_t>(TermRule::kPythonWords))
    in.fail(compat::concat("the terms are of kind ", rule,
                           ", expected 0 (words), 1 (pieces) or 2 (words of c-BTM)"));
  model.rule_ = static_cast<TermRule>(rule);
  model.dimensions_ = in.read<std::uint32_t>("the dimensions");
  const auto clusters = in.read<std::uint32_t>("the number of clusters");
  if (model.dimensions_ == 0 || model.dimensions_ > kMostDimensions || clusters == 0 ||
      clusters > kMostClusters)
    in.fail(compat::concat(model.dimensions_, " dimensions and ", clusters,
                           " clusters, expected 1 to ", kMostDimensions, " and 1 to ",
                           kMostClusters));
  const auto terms = in.read<std::uint64_t>("the number of terms");
  const std::uint64_t least = 4 + sizeof(float) * (1 + model.dimensions_);  // bytes of a term
  if (terms > in.remaining() / least)
    in.fail(compat::concat(terms, " terms do not fit in the file"));
  for (std::uint64_t i = 0; i < terms; ++i) {
    const auto length = in.read<std::uint32_t>("the length of a term");
    model.terms_.emplace_back(compat::as_chars(in.take(length, "a term")));
  }
  const auto read_floats = [&](std::vector<float>& values, std::uint64_t count,
                               std::string_view what) {
    const std::span<const std::byte> bytes = in.take(count * sizeof(float), what);
    values.resize(count);
    if (count > 0) std::memcpy(values.data(), bytes.data(), bytes.size());
    if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); }))
      in.fail(compat::concat("not all of ", what, " are finite numbers"));
  };
  read_floats(model.idf_, terms, "the terms' weights (idf)");
  read_floats(model.components_, terms * model.dimensions_, "the components");
  read_floats(model.centers_, clusters * model.dimensions_, "the centres");
  for (std::uint32_t j = 0; j < clusters; ++j)
    model.sizes_.push_back(in.read<std::uint64_t>("the size of a cluster"));
  const std::uint64_t length =
      magic == kMagic ? in.read<std::uint64_t>("the length of the notes") : 0;
  const std::string_view notes = compat::as_chars(in.take(length, "the notes"));
  const std::string_view checksum =
      compat::as_chars(in.take(compat::kSha256Digits, "the checksum"));
  if (!in.at_end() || compat::sha256_hex(file->bytes().first(file->bytes().size() -
                                                             compat::kSha256Digits)) != checksum)
    in.fail("the checksum is wrong, the file is damaged");
  model.sha256_ = checksum;
  if (!notes.empty()) model.notes_ = notes_of_text(notes, clusters, path.string());
  model.index_terms();
  if (model.ids_.size() != model.terms_.size()) in.fail("a term is repeated");
  return model;
}

std::vector<double> cluster_weights(std::span<const double> distances, double temperature,
                                    std::int64_t top_k, WeightRule rule) {
  const auto cost = [&](double distance) {
    return rule == WeightRule::kCode ? distance * distance : distance;
  };
  const double nearest = cost(*std::ranges::min_element(distances));
  std::vector<double> weights;
  for (const double distance : distances)
    weights.push_back(std::exp((nearest - cost(distance)) / temperature));
  if (top_k > 0 && top_k < static_cast<std::int64_t>(weights.size())) {
    std::vector<std::size_t> order(weights.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return distances[i]; });
    for (std::size_t i = static_cast<std::size_t>(top_k); i < order.size(); ++i)
      weights[order[i]] = 0;
  }
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (double& weight : weights) weight /= sum;
  return weights;
}

}  // namespace btm
