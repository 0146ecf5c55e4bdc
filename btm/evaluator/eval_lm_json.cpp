#include "btm/evaluator/eval_lm_json.h"

#include <nlohmann/json.hpp>

namespace btm {

std::string eval_lm_json(const EvalLmOptions& options, const EvalLmReport& report) {
  const nlohmann::ordered_json json{{"path", options.path},
                                    {"data", options.data.folder},
                                    {"gen_subset", options.data.gen_subset},
                                    {"loss_base2", report.loss_base2},
                                    {"ppl", report.perplexity},
                                    {"loss_sum", report.loss_sum},
                                    {"tokens", report.tokens},
                                    {"evaluated_tokens", report.evaluated_tokens},
                                    {"samples", report.samples},
                                    {"impossible_tokens", report.impossible_tokens},
                                    {"skipped_samples", report.skipped_samples},
                                    {"skipped_tokens", report.skipped_tokens},
                                    {"batches", report.batches},
                                    {"num_parameters", report.num_parameters},
                                    {"precision", report.precision},
                                    {"seconds", report.seconds}};
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace btm
