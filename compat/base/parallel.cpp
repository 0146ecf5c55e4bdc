#include "compat/base/parallel.h"

#include <algorithm>
#include <atomic>

namespace compat {

void for_each_piece(std::size_t pieces, int threads,
                    const std::function<void(std::size_t, int)>& work) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  const auto run = [&](int thread) {
    try {
      for (std::size_t piece = next++; piece < pieces; piece = next++) work(piece, thread);
    } catch (...) {
      const std::scoped_lock lock(mutex);
      failure = std::current_exception();
      next = pieces;
    }
  };
  const int helpers =
      static_cast<int>(std::min<std::size_t>(pieces, static_cast<std::size_t>(threads))) - 1;
  {
    std::vector<std::jthread> makers;
    for (int i = 0; i < helpers; ++i) makers.emplace_back(run, i + 1);
    run(0);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace compat
