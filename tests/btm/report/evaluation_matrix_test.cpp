#include "btm/report/evaluation_matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using nlohmann::json;

MatrixCell cell(double perplexity) {
  MatrixCell cell;
  cell.tokens = 100;
  cell.bytes = 300;
  cell.blocks = 12;
  cell.perplexity = perplexity;
  cell.loss_sum = 100 * std::log(perplexity);
  cell.bits_per_byte = 1.5;
  cell.perplexity_interval = {perplexity - 1, perplexity + 1};
  cell.ratio = perplexity / 20;
  cell.ratio_interval = {0.9, 1.1};
  return cell;
}

EvalMatrix golden_matrix() {
  EvalMatrix matrix;
  matrix.data = "data";
  matrix.split = "test";
  matrix.tokens_per_sample = 128;
  matrix.precision = "fp32 with products in bf16x3";
  matrix.domains = {"z", "a"};
  matrix.experts = {"x", "y"};
  matrix.left_out = {"w"};
  matrix.block_tokens = 512;
  matrix.fewest_blocks = 10;
  matrix.baseline = 1;
  matrix.rows = {{"x", MatrixRow::Kind::kModel, "x.pt", {cell(15), cell(16)}, cell(15.5)},
                 {"average", MatrixRow::Kind::kAverage, "", {cell(20), cell(21)}, cell(20.5)},
                 {"ensemble y", MatrixRow::Kind::kEnsemble, "", {cell(14), cell(13)}, cell(13.5)}};
  matrix.rows[0].parameters = 70;
  matrix.rows[0].active = 60;
  matrix.posteriors = {{{{0.5, 0.5}, {0.25, 0.75}}, {0.25, 0.75}}, {{{1, 0}}, {}}};
  return matrix;
}

TEST(EvaluationMatrix, IsReadAsItWasWritten) {
  const btm_test::TempDir dir;
  const EvalMatrix written = golden_matrix();
  write_matrix(dir / "matrix.json", written);
  EvalMatrix read = read_matrix(dir / "matrix.json");
  const auto take_rounded_loss = [](MatrixCell& cell, const MatrixCell& exact) {
    EXPECT_NEAR(cell.loss_sum, exact.loss_sum, 1e-9);  // the file has the loss of a token
    cell.loss_sum = exact.loss_sum;
  };
  for (std::size_t r = 0; r < written.rows.size(); ++r) {
    take_rounded_loss(read.rows[r].mean, written.rows[r].mean);
    for (std::size_t d = 0; d < written.domains.size(); ++d)
      take_rounded_loss(read.rows[r].cells[d], written.rows[r].cells[d]);
  }
  EXPECT_EQ(matrix_to_text(read), matrix_to_text(written));
  EXPECT_EQ(read.domains, written.domains);
  EXPECT_EQ(read.precision, "fp32 with products in bf16x3");
  EXPECT_EQ(read.rows[0].parameters, 70);
  EXPECT_EQ(read.rows[0].active, 60);
  EXPECT_EQ(read.rows[2].kind, MatrixRow::Kind::kEnsemble);
  EXPECT_EQ(read.baseline, 1U);
  EXPECT_EQ(read.posteriors[0].batches, written.posteriors[0].batches);
  EXPECT_EQ(read.posteriors[0].cached_prior, written.posteriors[0].cached_prior);
}

TEST(EvaluationMatrix, KeepsWhatIsInfiniteAndWhatIsNotKnownApart) {
  EvalMatrix matrix = golden_matrix();
  const double infinity = std::numeric_limits<double>::infinity(), nan = std::nan("");
  MatrixCell& broken = matrix.rows[0].cells[0];
  broken.perplexity = broken.loss_sum = broken.ratio = infinity;
  broken.bits_per_byte = nan;
  broken.perplexity_interval = {nan, nan};
  const std::string text = matrix_to_text(matrix);
  const json object = json::parse(text).at("rows").at(0).at("cells").at("z");
  EXPECT_TRUE(object.at("ppl").is_null());
  EXPECT_EQ(object.at("infinite"), true);
  const MatrixCell read = matrix_of_text(text, "m").rows[0].cells[0];
  EXPECT_EQ(read.perplexity, infinity);
  EXPECT_EQ(read.loss_base2(), infinity);
  EXPECT_TRUE(std::isnan(read.bits_per_byte));
  EXPECT_TRUE(std::isnan(read.perplexity_interval.low));
  EXPECT_TRUE(std::isnan(read.ratio));
}

TEST(EvaluationMatrix, ReadsAFileWithoutTheNewerKeys) {
  json object = json::parse(matrix_to_text(golden_matrix()));
  for (json& row : object["rows"])
    for (const char* const key : {"parameters", "active_parameters"}) row.erase(key);
  for (const char* const key :
       {"left_out", "fewest_blocks", "block_tokens", "data", "split", "precision"})
    object.erase(key);
  const EvalMatrix matrix = matrix_of_text(object.dump(), "m");
  EXPECT_EQ(matrix.fewest_blocks, 0);
  EXPECT_EQ(matrix.rows[0].parameters, 0);
  EXPECT_EQ(matrix.precision, "");
  EXPECT_TRUE(matrix.left_out.empty());
}

TEST(EvaluationMatrix, RefusesAFileThatIsNone) {
  const auto refused = [](const std::string& phrase, const std::function<void(json&)>& change) {
    json object = json::parse(matrix_to_text(golden_matrix()));
    change(object);
    btm_test::expect_error<compat::FormatError>([&] { matrix_of_text(object.dump(), "m.json"); },
                                                phrase);
  };
  refused("m.json: is not the result of btm eval-matrix", [](json& o) { o = json::object(); });
  refused("m.json", [](json& o) { o = json::array(); });
  refused("ppl", [](json& o) { o["rows"][0]["cells"]["a"].erase("ppl"); });
  refused("is not the result", [](json& o) { o["rows"][0]["mean"]["ratio"] = "one"; });
  refused("'a'", [](json& o) { o["rows"][0]["cells"].erase("a"); });
  refused("it has a row of an unknown kind", [](json& o) { o["rows"][0]["kind"] = "oracle"; });
  refused("it has no row of the baseline 'v'", [](json& o) { o["baseline"] = "v"; });
  refused("posteriors", [](json& o) { o.erase("posteriors"); });
  refused("it has a posterior of 1 experts, expected 2",
          [](json& o) { o["posteriors"]["z"]["batches"][0] = {1.0}; });
}

}  // namespace
}  // namespace btm
