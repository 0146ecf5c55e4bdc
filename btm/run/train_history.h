// Loss curves from the logs of `btm train --log-format json`.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

namespace btm {

struct TrainHistory {
  std::vector<double> updates,
      loss;  ///< Ascending updates; loss in bits. Of two lines for an update the later one, of a
             ///< resumed training, counts.
};

/// Skips lines that are no JSON object with num_updates and loss: the log has other lines as well.
TrainHistory parse_train_log(std::string_view text);

/// Empty for a missing file.
TrainHistory read_train_log(const std::filesystem::path& file);

}  // namespace btm
