#include "btm/merge/ordered_pieces.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace btm {
namespace {

/// Buffers between the makers and the taker. A piece may be made once the piece `slots` before it
/// was taken.
class Window {
 public:
  Window(std::size_t pieces, std::size_t slots)
      : pieces_(pieces), buffers_(slots), made_(slots, false) {}

  /// The next piece to make, or pieces() when there is none left.
  std::size_t claim() {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] {
      return failure_ || claimed_ == pieces_ || claimed_ < taken_ + buffers_.size();
    });
    return failure_ || claimed_ == pieces_ ? pieces_ : claimed_++;
  }
  std::vector<std::byte>& buffer(std::size_t piece) { return buffers_[piece % buffers_.size()]; }
  void finish(std::size_t piece) {
    const std::scoped_lock lock(mutex_);
    made_[piece % buffers_.size()] = true;
    ready_.notify_one();
  }
  /// Waits for the piece. False when the work was cancelled.
  bool await(std::size_t piece) {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [&] { return failure_ || made_[piece % buffers_.size()]; });
    return !failure_;
  }
  void taken(std::size_t piece) {
    const std::scoped_lock lock(mutex_);
    made_[piece % buffers_.size()] = false;
    taken_ = piece + 1;
    room_.notify_all();
  }
  void fail(std::exception_ptr failure) {
    const std::scoped_lock lock(mutex_);
    if (!failure_) failure_ = std::move(failure);
    room_.notify_all();
    ready_.notify_all();
  }
  std::exception_ptr failure() const { return failure_; }

 private:
  const std::size_t pieces_;
  std::vector<std::vector<std::byte>> buffers_;
  std::vector<bool> made_;
  std::size_t claimed_ = 0, taken_ = 0;
  std::exception_ptr failure_;
  std::mutex mutex_;
  std::condition_variable room_, ready_;
};

}  // namespace

void make_in_order(std::size_t pieces, int threads,
                   const std::function<void(std::size_t, std::vector<std::byte>&)>& make,
                   const std::function<void(std::span<const std::byte>)>& take) {
  if (pieces <= 1 || threads <= 1) {  // not worth a thread
    std::vector<std::byte> buffer;
    for (std::size_t piece = 0; piece < pieces; ++piece) {
      make(piece, buffer);
      take(buffer);
    }
    return;
  }
  Window window(pieces, 2 * static_cast<std::size_t>(threads));
  {
    std::vector<std::jthread> makers;
    for (int i = 0; i < threads; ++i)
      makers.emplace_back([&] {
        try {
          for (std::size_t piece = window.claim(); piece < pieces; piece = window.claim()) {
            make(piece, window.buffer(piece));
            window.finish(piece);
          }
        } catch (...) {
          window.fail(std::current_exception());
        }
      });
    try {
      for (std::size_t piece = 0; piece < pieces && window.await(piece); ++piece) {
        take(window.buffer(piece));
        window.taken(piece);
      }
    } catch (...) {
      window.fail(std::current_exception());
    }
  }
  if (window.failure()) std::rethrow_exception(window.failure());
}

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

}  // namespace btm
