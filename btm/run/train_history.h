// Loss curves from the logs of `btm train --log-format json`.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

namespace btm {

struct TrainHistory {
  std::vector<double> updates,
      loss;  ///< Ascending updates; loss in bits. A resumed training's later line wins.
};

/// Lines that are no JSON object with num_updates and loss are passed over: the log holds other
/// lines as well.
TrainHistory parse_train_log(std::string_view text);

/// Empty for a file that is not there.
TrainHistory read_train_log(const std::filesystem::path& file);

}  // namespace btm
