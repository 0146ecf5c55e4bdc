// Work on several threads, whose results do not depend on their number.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace compat {

/// Threads that do jobs in the order in which they are given. A Job has `error` and `done`. Jobs
/// that nobody has begun when this ends are dropped.
template <class Job>
class JobThreads {
 public:
  /// `work(worker, job)` runs on `workers` threads at once, `worker` being its thread's number.
  /// IoError when the system does not start so many.
  JobThreads(std::size_t workers, std::function<void(std::size_t worker, Job& job)> work)
      : work_(std::move(work)) {
    try {
      for (std::size_t worker = 0; worker < workers; ++worker)
        threads_.emplace_back([this, worker] { serve(worker); });
    } catch (const std::system_error& error) {
      close();  // those that were started would be waited for in vain
      throw IoError(concat("thread ", threads_.size() + 1, " of ", workers), "start",
                    error.code().value());
    }
  }
  ~JobThreads() { close(); }
  JobThreads(const JobThreads&) = delete;
  JobThreads& operator=(const JobThreads&) = delete;

  void give(Job& job) {
    job.done = false;
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(&job);
    }
    queued_.notify_one();
  }
  /// Waits for the job and throws what it has thrown.
  void await(Job& job) {
    std::unique_lock lock(mutex_);
    finished_.wait(lock, [&] { return job.done; });
    if (job.error) std::rethrow_exception(job.error);
  }

 private:
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      queue_.clear();
    }
    queued_.notify_all();
  }
  void serve(std::size_t worker) {
    std::unique_lock lock(mutex_);
    for (;;) {
      queued_.wait(lock, [&] { return closed_ || !queue_.empty(); });
      if (queue_.empty()) return;
      Job& job = *queue_.front();
      queue_.pop_front();
      lock.unlock();
      try {
        work_(worker, job);
      } catch (...) {
        job.error = std::current_exception();
      }
      lock.lock();
      job.done = true;
      finished_.notify_one();
    }
  }

  std::function<void(std::size_t, Job&)> work_;
  std::mutex mutex_;
  std::condition_variable queued_, finished_;
  std::deque<Job*> queue_;
  bool closed_ = false;
  std::vector<std::jthread> threads_;  // the last: they use all the others
};

/// A pipeline of three steps: `read(In&)` gives the next input or false; `work(worker, In&, Out&)`
/// runs on `workers` threads at once; `take(Out&)` gets the results in the order of the inputs, on
/// the calling thread, as does read. With one worker everything runs on the calling thread. At most
/// 2 * workers + 2 inputs are under way, and their memory is used again. The first exception, in
/// input order, is thrown when the threads have ended.
template <class In, class Out, class Read, class Work, class Take>
void ordered_map(std::size_t workers, Read&& read, Work&& work, Take&& take) {
  struct Job {
    In in{};
    Out out{};
    std::exception_ptr error;
    bool done = false;
  };
  if (workers <= 1) {
    for (Job job; read(job.in); take(job.out)) work(std::size_t{0}, job.in, job.out);
    return;
  }
  std::deque<std::unique_ptr<Job>> under_way;  // in input order
  std::vector<std::unique_ptr<Job>> spare;
  JobThreads<Job> threads(workers,
                          [&](std::size_t worker, Job& job) { work(worker, job.in, job.out); });
  const auto take_oldest = [&] {
    threads.await(*under_way.front());
    take(under_way.front()->out);
    spare.push_back(std::move(under_way.front()));
    under_way.pop_front();
  };
  std::exception_ptr read_error;  // what was read before may hold an error that comes first
  for (;;) {
    if (spare.empty()) spare.push_back(std::make_unique<Job>());
    try {
      if (!read(spare.back()->in)) break;
    } catch (...) {
      read_error = std::current_exception();
      break;
    }
    under_way.push_back(std::move(spare.back()));
    spare.pop_back();
    threads.give(*under_way.back());
    if (under_way.size() >= 2 * workers + 2) take_oldest();
  }
  while (!under_way.empty()) take_oldest();
  if (read_error) std::rethrow_exception(read_error);
}

/// Calls work(p, thread) for p in [0, pieces), `thread` being in [0, threads); the calling thread
/// is one of them. What `work` throws ends the work and is thrown here.
void for_each_piece(std::size_t pieces, int threads,
                    const std::function<void(std::size_t piece, int thread)>& work);

}  // namespace compat
