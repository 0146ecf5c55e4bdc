// What a cluster model keeps of its training for a reader: sizes in tokens, documents near the
// centres, a plane. No number of them takes part in a computation.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace btm {

struct ClusterNotes {
  struct Point {
    float x = 0, y = 0;
    std::uint32_t cluster = 0;
  };
  std::string unit = "bytes";   ///< Of `weights`: "tokens" of a data-bin, "bytes" of text.
  std::vector<double> weights;  ///< Of each cluster; empty in a model of an earlier version.
  /// Of each cluster: the beginnings of the training documents nearest to its centre, UTF-8.
  std::vector<std::vector<std::string>> samples;
  /// Some training documents, and the centres, in the plane in which the centres are widest apart.
  std::vector<Point> documents, centers;
};

/// JSON, and back. `clusters` are expected. FormatError about `file`.
std::string notes_to_text(const ClusterNotes& notes);
ClusterNotes notes_of_text(std::string_view text, std::size_t clusters, const std::string& file);

/// `points` [n, width], `centers` [k, width], `weights` [n], `assignment` [n]; `text_of(i)` gives
/// the text of point i.
ClusterNotes make_notes(std::span<const float> points, std::span<const float> centers,
                        std::size_t width, std::span<const std::uint32_t> assignment,
                        std::span<const double> weights,
                        const std::vector<std::string_view>& texts);

std::vector<std::string> default_cluster_names(std::size_t clusters);  ///< "c0", "c1", ...

/// What FILE.names beside a cluster model holds. Nothing without that file; FormatError for a
/// damaged one.
struct GivenNames {
  std::string model_sha256;
  std::vector<std::string> names;  ///< Of all clusters, in order.
};
std::optional<GivenNames> given_cluster_names(const std::string& model_file);

/// The names that a user gave the clusters of a model, in FILE.names beside it; "c0", "c1", ... for
/// those without. FormatError for a file that is damaged or of another model.
std::vector<std::string> cluster_names(const std::string& model_file, const std::string& sha256,
                                       std::size_t clusters);
void write_cluster_names(const std::string& model_file, const std::string& sha256,
                         const std::vector<std::string>& names);  ///< Atomic.

}  // namespace btm
