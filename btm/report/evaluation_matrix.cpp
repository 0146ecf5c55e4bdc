#include "btm/report/evaluation_matrix.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numbers>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/io/atomic_file.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"

namespace btm {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr double kNotKnown = std::numeric_limits<double>::quiet_NaN();
constexpr std::array kKinds{"model", "average", "ensemble"};  // of MatrixRow::Kind

/// What the keys and types of JSON do not tell.
struct WrongMatrix {
  std::string problem;
};

ordered_json number(double value) {
  return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr);
}

double number(const json& object, const char* key) {
  const json& value = object.at(key);
  return value.is_null() ? kNotKnown : value.get<double>();
}

ordered_json cell_to_json(const MatrixCell& cell) {
  return {{"ppl", number(cell.perplexity)},
          {"ppl_low", number(cell.perplexity_interval.low)},
          {"ppl_high", number(cell.perplexity_interval.high)},
          {"infinite", std::isinf(cell.perplexity)},
          {"loss_base2", number(cell.loss_base2())},
          {"bits_per_byte", number(cell.bits_per_byte)},
          {"tokens", cell.tokens},
          {"bytes", cell.bytes},
          {"blocks", cell.blocks},
          {"ratio", number(cell.ratio)},
          {"ratio_low", number(cell.ratio_interval.low)},
          {"ratio_high", number(cell.ratio_interval.high)}};
}

MatrixCell cell_of_json(const json& object) {
  const bool infinite = object.value("infinite", false);
  const double infinity = std::numeric_limits<double>::infinity();
  MatrixCell cell;
  cell.tokens = object.at("tokens").get<std::int64_t>();
  cell.bytes = object.value("bytes", std::int64_t{0});
  cell.blocks = object.value("blocks", std::int64_t{0});
  cell.loss_sum = infinite ? infinity
                           : number(object, "loss_base2") * static_cast<double>(cell.tokens) *
                                 std::numbers::ln2;
  cell.perplexity = infinite ? infinity : number(object, "ppl");
  cell.perplexity_interval = {number(object, "ppl_low"), number(object, "ppl_high")};
  cell.bits_per_byte = number(object, "bits_per_byte");
  cell.ratio = number(object, "ratio");
  cell.ratio_interval = {number(object, "ratio_low"), number(object, "ratio_high")};
  return cell;
}

ordered_json row_to_json(const MatrixRow& row, const std::vector<std::string>& domains) {
  ordered_json cells = ordered_json::object();
  for (std::size_t d = 0; d < domains.size(); ++d) cells[domains[d]] = cell_to_json(row.cells[d]);
  return {{"name", row.name},
          {"kind", kKinds.at(static_cast<std::size_t>(row.kind))},
          {"path", row.path},
          {"parameters", row.parameters},
          {"active_parameters", row.active},
          {"cells", cells},
          {"mean", cell_to_json(row.mean)}};
}

MatrixRow row_of_json(const json& object, const std::vector<std::string>& domains) {
  MatrixRow row;
  row.name = object.at("name").get<std::string>();
  row.path = object.value("path", std::string());
  row.parameters = object.value("parameters", std::int64_t{0});
  row.active = object.value("active_parameters", std::int64_t{0});
  const auto kind = std::ranges::find(kKinds, object.at("kind").get<std::string>());
  if (kind == kKinds.end()) throw WrongMatrix{"has a row of an unknown kind"};
  row.kind = static_cast<MatrixRow::Kind>(kind - kKinds.begin());
  for (const std::string& domain : domains)
    row.cells.push_back(cell_of_json(object.at("cells").at(domain)));
  row.mean = cell_of_json(object.at("mean"));
  return row;
}

DomainPosterior posterior_of_json(const json& object, std::size_t experts) {
  DomainPosterior posterior;
  posterior.batches = object.at("batches").get<std::vector<std::vector<double>>>();
  posterior.cached_prior = object.value("cached_prior", std::vector<double>());
  for (const std::vector<double>& batch : posterior.batches)
    if (batch.size() != experts)
      throw WrongMatrix{
          compat::concat("has a posterior of ", batch.size(), " experts, expected ", experts)};
  return posterior;
}

EvalMatrix matrix_of_json(const json& object) {
  EvalMatrix matrix;
  const json& rows = object.at("rows");
  matrix.data = object.value("data", std::string());
  matrix.split = object.value("split", std::string());
  matrix.tokens_per_sample = object.value("tokens_per_sample", std::int64_t{0});
  matrix.precision = object.value("precision", std::string());
  matrix.domains = object.at("domains").get<std::vector<std::string>>();
  matrix.left_out = object.value("left_out", std::vector<std::string>());
  matrix.block_tokens = object.value("block_tokens", std::int64_t{0});
  matrix.fewest_blocks = object.value("fewest_blocks", std::int64_t{0});
  for (const json& row : rows) matrix.rows.push_back(row_of_json(row, matrix.domains));
  matrix.experts = object.at("experts").get<std::vector<std::string>>();
  const auto baseline = object.at("baseline").get<std::string>();
  const MatrixRow* const row = matrix.find_row(baseline);
  if (row == nullptr)
    throw WrongMatrix{"has no row of the baseline '" + compat::printable(baseline) + "'"};
  matrix.baseline = static_cast<std::size_t>(row - matrix.rows.data());
  if (matrix.experts.empty()) return matrix;
  for (const std::string& domain : matrix.domains)
    matrix.posteriors.push_back(
        posterior_of_json(object.at("posteriors").at(domain), matrix.experts.size()));
  return matrix;
}

}  // namespace

double MatrixCell::loss_base2() const {
  return loss_sum / static_cast<double>(tokens) / std::numbers::ln2;
}

const MatrixRow* EvalMatrix::find_row(const std::string& name) const {
  const auto found = std::ranges::find(rows, name, &MatrixRow::name);
  return found == rows.end() ? nullptr : &*found;
}

std::string matrix_to_text(const EvalMatrix& matrix) {
  ordered_json rows = ordered_json::array(), posteriors = ordered_json::object();
  for (const MatrixRow& row : matrix.rows) rows.push_back(row_to_json(row, matrix.domains));
  for (std::size_t d = 0; d < matrix.posteriors.size(); ++d)
    posteriors[matrix.domains[d]] = {{"cached_prior", matrix.posteriors[d].cached_prior},
                                     {"batches", matrix.posteriors[d].batches}};
  const ordered_json object{{"data", matrix.data},
                            {"split", matrix.split},
                            {"tokens_per_sample", matrix.tokens_per_sample},
                            {"precision", matrix.precision},
                            {"domains", matrix.domains},
                            {"experts", matrix.experts},
                            {"left_out", matrix.left_out},
                            {"block_tokens", matrix.block_tokens},
                            {"fewest_blocks", matrix.fewest_blocks},
                            {"baseline", matrix.rows.at(matrix.baseline).name},
                            {"rows", rows},
                            {"posteriors", posteriors}};
  return object.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

EvalMatrix matrix_of_text(std::string_view text, const std::string& file) {
  const compat::Location where{file, {}, {}};
  const std::string wrong = "is not the result of btm eval-matrix: it ";
  const json object = compat::parse_json_object(text, where, "the result of btm eval-matrix");
  try {
    return matrix_of_json(object);
  } catch (const json::exception& error) {
    throw compat::FormatError(where, wrong + compat::json_problem(error));
  } catch (const WrongMatrix& error) {
    throw compat::FormatError(where, wrong + error.problem);
  }
}

void write_matrix(const std::filesystem::path& path, const EvalMatrix& matrix) {
  compat::write_file_atomically(path, matrix_to_text(matrix));
}

EvalMatrix read_matrix(const std::filesystem::path& path) {
  const auto file = compat::MappedFile::open(path);
  return matrix_of_text(compat::as_chars(file->bytes()), file->path());
}

}  // namespace btm
