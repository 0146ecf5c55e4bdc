// A pipeline of three steps: read in order, work on any thread, take in order. What comes out does
// not depend on the number of threads.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace converters {

/// `read(In&)` gives the next input or false; `work(worker, In&, Out&)` runs on `workers` threads
/// at once, `worker` being its thread's number; `take(Out&)` gets the results in the order of the
/// inputs, on the calling thread, as does read. With one worker everything runs on the calling
/// thread. At most 2 * workers + 2 inputs are under way. The first exception, in input order, is
/// thrown when the threads have ended.
template <class In, class Out, class Read, class Work, class Take>
void ordered_map(std::size_t workers, Read&& read, Work&& work, Take&& take) {
  if (workers <= 1) {
    In in;
    Out out{};
    while (read(in)) {
      work(std::size_t{0}, in, out);
      take(out);
    }
    return;
  }
  struct Job {
    In in;
    Out out{};
    std::exception_ptr error;
    bool done = false;
  };
  std::mutex mutex;
  std::condition_variable queued, finished;
  std::deque<Job*> queue;
  bool closed = false;
  const auto serve = [&](std::size_t worker) {
    while (true) {
      std::unique_lock lock(mutex);
      queued.wait(lock, [&] { return closed || !queue.empty(); });
      if (queue.empty()) return;
      Job* const job = queue.front();
      queue.pop_front();
      lock.unlock();
      try {
        work(worker, job->in, job->out);
      } catch (...) {
        job->error = std::current_exception();
      }
      lock.lock();
      job->done = true;
      finished.notify_one();
    }
  };
  std::deque<std::unique_ptr<Job>> under_way;  // in input order
  std::vector<std::unique_ptr<Job>> spare;     // kept for their memory
  struct Threads {
    std::vector<std::jthread> threads;
    std::mutex& mutex;
    std::condition_variable& queued;
    std::deque<Job*>& queue;
    bool& closed;
    ~Threads() {  // also when an exception passes: what is queued is dropped
      {
        const std::lock_guard lock(mutex);
        closed = true;
        queue.clear();
      }
      queued.notify_all();
    }
  } threads{{}, mutex, queued, queue, closed};
  for (std::size_t worker = 0; worker < workers; ++worker)
    threads.threads.emplace_back(serve, worker);
  const auto take_oldest = [&] {
    Job& job = *under_way.front();
    {
      std::unique_lock lock(mutex);
      finished.wait(lock, [&] { return job.done; });
    }
    if (job.error) std::rethrow_exception(job.error);
    take(job.out);
    spare.push_back(std::move(under_way.front()));
    under_way.pop_front();
  };
  std::exception_ptr read_error;
  while (true) {
    auto job = spare.empty() ? std::make_unique<Job>() : std::move(spare.back());
    if (!spare.empty()) spare.pop_back();
    job->done = false;
    try {
      if (!read(job->in)) break;
    } catch (...) {
      read_error =
          std::current_exception();  // what was read before it may hold an error that comes first
      break;
    }
    {
      const std::lock_guard lock(mutex);
      queue.push_back(job.get());
    }
    queued.notify_one();
    under_way.push_back(std::move(job));
    if (under_way.size() >= 2 * workers + 2) take_oldest();
  }
  while (!under_way.empty()) take_oldest();
  if (read_error) std::rethrow_exception(read_error);
}

}  // namespace converters
