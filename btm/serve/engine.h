// Lets a predictor work on the jobs of many requests at once. Jobs join at the next step of the
// batch, and leave it when they have ended, were cancelled or ran out of time.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "btm/generate/generator.h"
#include "btm/generate/growing_text.h"
#include "btm/serve/completion_job.h"

namespace btm {

struct RunningJob;

struct EngineLimits {
  GenerateLimits generate;
  std::size_t jobs = 1024;                      ///< That wait or run.
  std::int64_t tokens = std::int64_t{4} << 20;  ///< Of their texts.
};

/// A look at the engine, which another thread may take.
struct EngineState {
  GenerateCounts counts;
  std::size_t jobs = 0;                 ///< That wait or run.
  std::size_t waiting = 0, joined = 0;  ///< Prompts.
  std::int64_t free_tokens = 0;         ///< Room for keys and values.
};

class Engine {
 public:
  /// `codec` is for this engine alone.
  Engine(Predictor& predictor, compat::TextCodec codec, const EngineLimits& limits);

  /// Queues a job; from any thread. False where too many wait, or the engine is to stop.
  bool submit(std::shared_ptr<CompletionJob> job);
  /// Works on jobs until stop(), and then until all have ended. The predictor is used by the thread
  /// that calls this, and so are the jobs' functions. What these throw ends it.
  void run();
  /// From any thread.
  void stop();
  EngineState state() const;

 private:
  /// A prompt of a job, in the generator.
  struct Prompt {
    std::shared_ptr<RunningJob> job;
    std::size_t index = 0;
    std::vector<GrowingText> texts;     ///< [samples]
    std::vector<std::string> written;   ///< [samples]
    std::vector<const char*> finished;  ///< [samples]
    std::vector<std::size_t> told;      ///< [samples] tokens that on_part has got
  };

  CompletionJob::Clock::time_point nearest_deadline() const;
  void take_jobs();
  void start(std::shared_ptr<CompletionJob> job);
  bool follow(Prompt& prompt, const Hypothesis& text);
  bool follow_or_note(Prompt& prompt, const Hypothesis& text);
  void tell(Prompt& prompt, const Hypothesis& text, std::string more, bool last);
  void settle(Generated ended);
  void finish(Prompt& prompt, Generated ended);
  void fail(RunningJob& job, int status, const std::string& error);
  void conclude(RunningJob& job, JobEnd end);
  void drop(RunningJob& job);
  void drop_late();
  void step();
  void note_state();

  Predictor& predictor_;
  compat::TextCodec codec_;
  std::int64_t eos_;
  EngineLimits limits_;
  Generator generator_;
  std::map<std::size_t, std::shared_ptr<Prompt>> prompts_;  ///< By the generator's number.
  std::vector<std::shared_ptr<RunningJob>> running_;

  mutable std::mutex mutex_;  ///< Of what follows.
  std::condition_variable wake_;
  std::deque<std::shared_ptr<CompletionJob>> queue_;
  std::size_t jobs_ = 0;
  std::int64_t tokens_ = 0;
  bool stops_ = false;
  EngineState state_;
};

}  // namespace btm
