// Ends a text before strings that the user names, while the text is shown as it comes.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace btm {

/// A copy shares the strings.
class StopStrings {
 public:
  /// std::invalid_argument for an empty string.
  explicit StopStrings(std::vector<std::string> stops = {});

  /// Appends to the text. Returns what may be shown now: nothing of a stop string, and nothing that
  /// may be the beginning of one. After a stop nothing more comes.
  std::string add(std::string_view text);
  /// What add() has held back, at the end of a text that was not stopped.
  std::string rest();
  bool stopped() const noexcept { return stopped_; }
  std::size_t bytes() const;  ///< Of all strings.

 private:
  std::shared_ptr<const std::vector<std::string>> stops_;
  std::string held_;  ///< Not shown yet.
  bool stopped_ = false;
};

}  // namespace btm
