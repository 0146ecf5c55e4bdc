#include "btm/ensemble/ensemble_lines.h"

#include <nlohmann/json.hpp>

#include "compat/io/json_line.h"

namespace btm {

std::string ensemble_lines(const EnsembleReport& report) {
  std::string text;
  for (const EnsembleLine& line : report.lines) {
    nlohmann::ordered_json json{{"ppl", line.ppl},
                                {"posterior", line.posterior},
                                {"exp_avg_posterior", line.exp_avg_posterior},
                                {"experts", report.experts},
                                {"precision", report.eval.precision}};
    if (!report.left_out.empty()) json["left_out"] = report.left_out;
    text += compat::json_line(json) + "\n";
  }
  return text;
}

}  // namespace btm
