#include "btm/cli/ema_flags.h"

#include "compat/base/numbers.h"
#include "compat/checkpoint/named_models.h"

namespace btm {

using compat::flag_integer;
using compat::flag_switch;
using compat::flag_text;

compat::FlagGroup ema_flags(EmaOptions& options) {
  return {
      "Moving average of the weights",
      {flag_switch("store-ema", options.store,
                   "keep an exponential moving average of the weights, saved in extra_state.ema "
                   "(btm eval-lm --ema)"),
       {"ema-decay", "D", "average = D average + (1 - D) weights after each update",
        compat::general(options.decay),
        [&options](const std::string& value) { options.decay = compat::parse_real(value); }},
       flag_integer("ema-start-update", "N", options.start_update,
                    "before update N the average is a copy of the weights", 0),
       flag_text("ema-seed-model", "FILE", options.seed_model,
                 "start from the average in this checkpoint (default: from the weights after "
                 "the first update)"),
       flag_integer("ema-update-freq", "N", options.update_freq,
                    "updates from one step of the average to the next", 1),
       flag_switch("ema-fp32", options.fp32,
                   "half precision: average in fp32, saved in extra_state.ema_fp32_params")}};
}

}  // namespace btm
