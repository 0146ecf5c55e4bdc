#include "btm/cluster/cluster_notes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "btm/cluster/cbtm_clusterer.h"
#include "btm/cluster/symmetric_eigen.h"
#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/io/atomic_file.h"
#include "compat/io/json_line.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"

namespace btm {
namespace {

using nlohmann::json;

constexpr std::size_t kSamples = 3, kSampleBytes = 240, kPoints = 1500;
constexpr const char* kNamesFile = ".names";

/// Beside the model. c-BTM's clusterers are two files of a folder, and the names stand beside the
/// first, however the clusterer was named.
std::string names_file(const std::string& model_file) {
  const std::filesystem::path folder = cbtm_clusterer_at(model_file);
  return (folder.empty() ? model_file : (folder / "tfidf.pkl").string()) + kNamesFile;
}
constexpr const char* kExpectedNames = "names of clusters";

/// The first bytes of a document, without half a character at the end.
std::string beginning(std::string_view text) {
  std::string cut(text.substr(0, kSampleBytes));
  const std::size_t valid = compat::first_invalid_utf8(cut);
  if (valid < cut.size() && text.size() > cut.size() && cut.size() - valid < 4) cut.resize(valid);
  return cut + (text.size() > cut.size() ? "..." : "");
}

/// Two directions [2, width]: the centres' principal components, as far as they have them.
std::vector<double> plane_of(std::span<const float> centers, std::size_t width) {
  const std::size_t k = centers.size() / width;
  std::vector<double> mean(width, 0.0), gram(k * k, 0.0);
  for (std::size_t j = 0; j < k; ++j)
    for (std::size_t d = 0; d < width; ++d)
      mean[d] += centers[j * width + d] / static_cast<double>(k);
  const auto at = [&](std::size_t j, std::size_t d) { return centers[j * width + d] - mean[d]; };
  for (std::size_t a = 0; a < k; ++a)
    for (std::size_t b = 0; b < k; ++b)
      for (std::size_t d = 0; d < width; ++d) gram[a * k + b] += at(a, d) * at(b, d);
  std::vector<double> plane(2 * width, 0.0);
  constexpr std::size_t kMostCenters = 400;  // the eigenvectors take k^3 operations
  if (k > kMostCenters) {
    for (std::size_t p = 0; p < 2 && p + 1 < width; ++p) plane[p * width + p + 1] = 1;
    return plane;
  }
  const SymmetricEigen eigen = symmetric_eigen(std::move(gram), k);
  for (std::size_t p = 0; p < 2 && p < k; ++p) {
    if (!(eigen.values[p] > 1e-12)) continue;
    for (std::size_t j = 0; j < k; ++j)
      for (std::size_t d = 0; d < width; ++d)
        plane[p * width + d] += eigen.vectors[j * k + p] * at(j, d) / std::sqrt(eigen.values[p]);
  }
  return plane;
}

ClusterNotes::Point projected(std::span<const float> point, const std::vector<double>& plane,
                              std::uint32_t cluster) {
  const auto along = [&](std::size_t p) {
    return static_cast<float>(
        std::inner_product(point.begin(), point.end(),
                           plane.begin() + static_cast<std::ptrdiff_t>(p * point.size()), 0.0));
  };
  return {along(0), along(1), cluster};
}

/// [k] indices of the points nearest to their centre.
std::vector<std::vector<std::size_t>> nearest_points(std::span<const float> points,
                                                     std::span<const float> centers,
                                                     std::size_t width,
                                                     std::span<const std::uint32_t> assignment) {
  std::vector<std::vector<std::pair<double, std::size_t>>> found(centers.size() / width);
  for (std::size_t i = 0; i < assignment.size(); ++i) {
    double square = 0;
    for (std::size_t d = 0; d < width; ++d) {
      const double away = points[i * width + d] - centers[assignment[i] * width + d];
      square += away * away;
    }
    found[assignment[i]].emplace_back(square, i);
  }
  std::vector<std::vector<std::size_t>> nearest;
  for (auto& list : found) {
    const std::size_t count = std::min(kSamples, list.size());
    std::ranges::partial_sort(list, list.begin() + static_cast<std::ptrdiff_t>(count));
    nearest.emplace_back();
    for (std::size_t s = 0; s < count; ++s) nearest.back().push_back(list[s].second);
  }
  return nearest;
}

json points_json(const std::vector<ClusterNotes::Point>& points) {
  json list = json::array();
  for (const auto& point : points) list.push_back({point.x, point.y, point.cluster});
  return list;
}

std::vector<ClusterNotes::Point> read_points(const json& list, std::size_t clusters) {
  std::vector<ClusterNotes::Point> points;
  for (const json& entry : list) {
    ClusterNotes::Point point{entry.at(0).get<float>(), entry.at(1).get<float>(),
                              entry.at(2).get<std::uint32_t>()};
    if (std::isfinite(point.x) && std::isfinite(point.y) && point.cluster < clusters)
      points.push_back(point);
  }
  return points;
}

}  // namespace

ClusterNotes make_notes(std::span<const float> points, std::span<const float> centers,
                        std::size_t width, std::span<const std::uint32_t> assignment,
                        std::span<const double> weights,
                        const std::vector<std::string_view>& texts) {
  ClusterNotes notes;
  const std::size_t k = centers.size() / width;
  notes.weights.assign(k, 0.0);
  for (std::size_t i = 0; i < assignment.size(); ++i) notes.weights[assignment[i]] += weights[i];
  for (const auto& nearest : nearest_points(points, centers, width, assignment)) {
    notes.samples.emplace_back();
    for (const std::size_t i : nearest) notes.samples.back().push_back(beginning(texts[i]));
  }
  const std::vector<double> plane = plane_of(centers, width);
  const std::size_t step = 1 + assignment.size() / kPoints;
  for (std::size_t i = 0; i < assignment.size(); i += step)
    notes.documents.push_back(projected(points.subspan(i * width, width), plane, assignment[i]));
  for (std::size_t j = 0; j < k; ++j)
    notes.centers.push_back(
        projected(centers.subspan(j * width, width), plane, static_cast<std::uint32_t>(j)));
  return notes;
}

std::string notes_to_text(const ClusterNotes& notes) {
  return compat::json_line(json{{"unit", notes.unit},
                                {"weights", notes.weights},
                                {"samples", notes.samples},
                                {"documents", points_json(notes.documents)},
                                {"centers", points_json(notes.centers)}});
}

ClusterNotes notes_of_text(std::string_view text, std::size_t clusters, const std::string& file) {
  const json read = compat::parse_json_object(text, {file, "notes", {}}, "notes of clusters");
  ClusterNotes notes;
  try {
    notes.unit = read.at("unit").get<std::string>() == "tokens" ? "tokens" : "bytes";
    notes.weights = read.at("weights").get<std::vector<double>>();
    notes.samples = read.at("samples").get<std::vector<std::vector<std::string>>>();
    notes.documents = read_points(read.at("documents"), clusters);
    notes.centers = read_points(read.at("centers"), clusters);
  } catch (const json::exception& error) {
    throw compat::FormatError({file, "notes", {}}, compat::json_problem(error));
  }
  if (notes.weights.size() != clusters || notes.samples.size() != clusters)
    throw compat::FormatError({file, "notes", {}},
                              "are not of " + std::to_string(clusters) + " clusters");
  return notes;
}

std::vector<std::string> default_cluster_names(std::size_t clusters) {
  std::vector<std::string> names;
  for (std::size_t j = 0; j < clusters; ++j) names.push_back("c" + std::to_string(j));
  return names;
}

std::optional<GivenNames> given_cluster_names(const std::string& model_file) {
  const std::string file = names_file(model_file);
  std::error_code missing;
  if (!std::filesystem::exists(file, missing)) return std::nullopt;
  const auto mapped = compat::MappedFile::open(file);
  const json read =
      compat::parse_json_object(compat::as_chars(mapped->bytes()), {file, {}, {}}, kExpectedNames);
  try {
    return GivenNames{read.at("model_sha256").get<std::string>(),
                      read.at("names").get<std::vector<std::string>>()};
  } catch (const json::exception& error) {
    throw compat::FormatError({file, {}, {}}, compat::json_problem(error));
  }
}

std::vector<std::string> cluster_names(const std::string& model_file, const std::string& sha256,
                                       std::size_t clusters) {
  const std::optional<GivenNames> given = given_cluster_names(model_file);
  if (!given) return default_cluster_names(clusters);
  const compat::Location place{names_file(model_file), {}, {}};
  if (given->model_sha256 != sha256)
    throw compat::FormatError(place, "names clusters of another model");
  if (given->names.size() != clusters)
    throw compat::FormatError(place, "names " + std::to_string(given->names.size()) +
                                         " clusters of " + std::to_string(clusters));
  return given->names;
}

void write_cluster_names(const std::string& model_file, const std::string& sha256,
                         const std::vector<std::string>& names) {
  compat::write_file_atomically(names_file(model_file),
                                json{{"model_sha256", sha256}, {"names", names}}.dump(
                                    1, ' ', false, json::error_handler_t::replace) +
                                    "\n");
}

}  // namespace btm
