#include "btm/data/context_window.h"

#include <algorithm>

namespace btm {
namespace {

/// Drops the columns from `columns` on. They hold only padding, and the model would count them as
/// positions.
void narrow(Batch& batch, std::int64_t columns) {
  for (std::vector<std::int64_t>* const values : {&batch.tokens, &batch.targets}) {
    for (std::int64_t row = 1; row < batch.rows; ++row)
      std::copy_n(values->begin() + row * batch.columns, columns, values->begin() + row * columns);
    values->resize(static_cast<std::size_t>(batch.rows * columns));
  }
  batch.columns = columns;
}

}  // namespace

ContextWindow::ContextWindow(std::int64_t context_window, std::int64_t tokens_per_sample)
    : context_window_(context_window), tokens_per_sample_(tokens_per_sample) {}

void ContextWindow::extend(Batch& batch) {
  const std::int64_t columns = batch.columns + context_window_;
  std::int64_t longest = 0;  // of the rows, context included
  std::vector<std::int64_t> tokens(static_cast<std::size_t>(batch.rows * columns), batch.pad),
      targets = tokens;
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    const auto source = batch.tokens.begin() + row * batch.columns;
    const std::int64_t length =
        batch.columns - std::count(source, source + batch.columns, batch.pad);
    // A sample longer than tokens_per_sample (break mode eos) leaves less room for context.
    const std::int64_t room =
        std::max<std::int64_t>(0, tokens_per_sample_ + context_window_ - length);
    const std::int64_t context = std::min(static_cast<std::int64_t>(previous_.size()), room);
    previous_.erase(previous_.begin(), previous_.end() - context);
    const auto out = tokens.begin() + row * columns;
    std::ranges::copy(previous_, out);
    std::copy_n(source, batch.columns, out + context);
    std::copy_n(batch.targets.begin() + row * batch.columns, batch.columns,
                targets.begin() + row * columns + context);
    batch.first_scored[static_cast<std::size_t>(row)] += context;
    const auto targets_end = batch.targets.begin() + (row + 1) * batch.columns;
    std::int64_t columns_used = batch.columns;  // `length` leaves out padding inside a row
    while (columns_used > 0 && source[columns_used - 1] == batch.pad &&
           targets_end[columns_used - batch.columns - 1] == batch.pad)
      --columns_used;
    longest = std::max(longest, context + columns_used);

    std::copy_if(source, source + batch.columns, std::back_inserter(previous_),
                 [&](std::int64_t id) { return id != batch.pad; });
    const auto extra = static_cast<std::int64_t>(previous_.size()) - context_window_;
    if (extra > 0) previous_.erase(previous_.begin(), previous_.begin() + extra);
  }
  batch.tokens = std::move(tokens);
  batch.targets = std::move(targets);
  batch.columns = columns;
  if (longest < columns) narrow(batch, longest);
}

}  // namespace btm
