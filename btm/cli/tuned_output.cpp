#include "btm/cli/tuned_output.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "btm/report/html_page.h"
#include "btm/report/table.h"
#include "compat/base/concat.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

using Json = nlohmann::ordered_json;

double bits(double nats) { return nats / std::numbers::ln2; }

Table weight_table(const TunedEnsemble& result) {
  Table table{{{"expert"},
               {"weight", true},
               {"perplexity alone, tuning", true},
               {"perplexity alone, held out", true}},
              {}};
  for (std::size_t e = 0; e < result.experts.size(); ++e)
    table.rows.push_back({result.experts[e], fixed(result.tuned.weights()[e], 4),
                          fixed(std::exp(result.tuning.experts[e]), 2),
                          fixed(std::exp(result.held_out.experts[e]), 2)});
  return table;
}

Table loss_table(const TunedEnsemble& result) {
  Table table{{{"weights"}, {"perplexity, tuning", true}, {"perplexity, held out", true}}, {}};
  const auto add = [&](const char* name, double WeightLosses::*loss) {
    table.rows.push_back(
        {name, fixed(std::exp(result.tuning.*loss), 4), fixed(std::exp(result.held_out.*loss), 4)});
  };
  add("uniform", &WeightLosses::uniform);
  add("tuned", &WeightLosses::tuned);
  return table;
}

std::string said(const TunedEnsemble& result) {
  const TunedWeights::Step& last = result.tuned.trace.back();
  return compat::concat("Tuned on ", result.tuning.data, " (",
                        compat::grouped(static_cast<std::int64_t>(result.tuning.tokens)),
                        " tokens), held out: ", result.held_out.data, " (",
                        compat::grouped(static_cast<std::int64_t>(result.held_out.tokens)),
                        " tokens). ", last.step,
                        " steps of EM; no weights are better by more than ",
                        compat::general(last.bound), " nats per token there",
                        result.tuned.converged ? "." : ": the steps ran out (--tune-steps).");
}

Json json_of(const WeightLosses& losses) {
  Json experts = Json::array();
  for (const double loss : losses.experts) experts.push_back(bits(loss));
  return {{"data", losses.data},
          {"tokens", losses.tokens},
          {"uniform", bits(losses.uniform)},
          {"tuned", bits(losses.tuned)},
          {"experts", std::move(experts)}};
}

}  // namespace

std::string tuned_text(const TunedEnsemble& result) {
  return to_text(weight_table(result)) + "\n" + to_text(loss_table(result)) + "\n" + said(result) +
         "\n";
}

std::string tuned_json(const TunedEnsemble& result) {
  Json trace = Json::array();
  for (const TunedWeights::Step& step : result.tuned.trace)
    trace.push_back({{"step", step.step},
                     {"loss", bits(step.loss)},
                     {"bound", bits(step.bound)},
                     {"weights", step.weights}});
  const Json json{{"experts", result.experts},
                  {"posterior", result.tuned.weights()},
                  {"left_out", result.left_out},
                  {"method", "expectation maximisation from uniform weights"},
                  {"tolerance", bits(result.options.tolerance)},
                  {"max_steps", result.options.max_steps},
                  {"converged", result.tuned.converged},
                  {"tuning", json_of(result.tuning)},
                  {"held_out", json_of(result.held_out)},
                  {"trace", std::move(trace)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

void write_tuned_page(const std::filesystem::path& file, const TunedEnsemble& result) {
  HtmlPage page(compat::concat("Tuned weights of ", result.experts.size(), " experts"));
  page.add_paragraph(said(result));
  page.add_table(loss_table(result));
  page.add_table(weight_table(result));
  LineChart loss{"step", "perplexity", {{"tuning data", {}, {}}}, false, false};
  LineChart weights{"step", "weight", {}, false, false};
  for (const std::string& name : result.experts) weights.series.push_back({name, {}, {}});
  for (const TunedWeights::Step& step : result.tuned.trace) {
    const auto x = static_cast<double>(step.step);
    loss.series[0].x.push_back(x);
    loss.series[0].y.push_back(std::exp(step.loss));
    for (std::size_t e = 0; e < step.weights.size(); ++e) {
      weights.series[e].x.push_back(x);
      weights.series[e].y.push_back(step.weights[e]);
    }
  }
  page.add_chart(loss, "The perplexity of the tuning data, step by step.");
  page.add_chart(weights, "The weights, step by step.");
  page.write(file);
}

}  // namespace btm
