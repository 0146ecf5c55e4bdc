#include "btm/serve/engine.h"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

namespace btm {
namespace {

double seconds_since(CompletionJob::Clock::time_point start) {
  return std::chrono::duration<double>(CompletionJob::Clock::now() - start).count();
}

}  // namespace

/// A job and what is there of its answer.
struct RunningJob {
  std::shared_ptr<CompletionJob> job;
  JobEnd end;
  std::vector<std::size_t> prompts;  ///< The generator's numbers of those that have not ended.
  std::string fault;  ///< What was thrown while a token was added to one of its texts.
  bool ended = false;
};

Engine::Engine(Predictor& predictor, compat::TextCodec codec, const EngineLimits& limits)
    : predictor_(predictor),
      codec_(std::move(codec)),
      eos_(codec_.dictionary().eos()),
      limits_(limits),
      generator_(predictor, symbols_of(codec_.dictionary()), limits.generate) {
  note_state();
}

bool Engine::submit(std::shared_ptr<CompletionJob> job) {
  const std::int64_t tokens = job->tokens();
  {
    const std::lock_guard lock(mutex_);
    // A job alone is always taken: the size of a request bounds it.
    if (stops_ || jobs_ >= limits_.jobs || (jobs_ > 0 && tokens_ + tokens > limits_.tokens))
      return false;
    ++jobs_;
    tokens_ += tokens;
    queue_.push_back(std::move(job));
  }
  wake_.notify_one();
  return true;
}

void Engine::stop() {
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  wake_.notify_one();
}

EngineState Engine::state() const {
  const std::lock_guard lock(mutex_);
  EngineState state = state_;
  state.jobs = jobs_;
  return state;
}

void Engine::note_state() {
  const std::lock_guard lock(mutex_);
  state_.counts = generator_.counts();
  state_.waiting = generator_.waiting();
  state_.joined = generator_.joined();
  state_.free_tokens = predictor_.free_tokens();
}

void Engine::run() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      const auto has_work = [&] { return !queue_.empty() || stops_ || generator_.busy(); };
      if (running_.empty())
        wake_.wait(lock, has_work);
      else
        wake_.wait_until(lock, nearest_deadline(), has_work);
      if (stops_ && queue_.empty() && running_.empty()) break;
    }
    take_jobs();
    step();
    note_state();
  }
}

/// When a job runs out of time, or earlier.
CompletionJob::Clock::time_point Engine::nearest_deadline() const {
  auto nearest = CompletionJob::Clock::now() + std::chrono::hours(1);
  for (const auto& job : running_) nearest = std::min(nearest, job->job->deadline);
  return nearest;
}

void Engine::take_jobs() {
  std::deque<std::shared_ptr<CompletionJob>> taken;
  {
    const std::lock_guard lock(mutex_);
    taken.swap(queue_);
  }
  for (auto& job : taken) start(std::move(job));
}

void Engine::start(std::shared_ptr<CompletionJob> job) {
  auto running = std::make_shared<RunningJob>();
  running->job = std::move(job);
  running_.push_back(running);
  const CompletionJob& work = *running->job;
  if (work.cancelled) return drop(*running);
  try {
    for (std::size_t i = 0; i < work.prompts.size(); ++i) {
      const auto prompt = std::make_shared<Prompt>();
      prompt->job = running;
      prompt->index = i;
      const auto samples = static_cast<std::size_t>(work.options[i].beam);
      prompt->texts.assign(samples, GrowingText(codec_, work.prompts[i], work.stops));
      prompt->written.resize(samples);
      prompt->finished.resize(samples, "length");
      prompt->told.resize(samples, 0);
      const std::size_t number = generator_.submit(work.prompts[i], work.options[i],
                                                   [this, prompt](const Hypothesis& hypothesis) {
                                                     return follow_or_note(*prompt, hypothesis);
                                                   });
      prompts_.emplace(number, prompt);
      running->prompts.push_back(number);
    }
  } catch (const std::invalid_argument& error) {
    fail(*running, 400, error.what());
  } catch (const std::exception& error) {  // such as for memory
    fail(*running, 500, error.what());
  }
}

/// As follow(). A text that fails ends, and its job with it; others go on.
bool Engine::follow_or_note(Prompt& prompt, const Hypothesis& text) {
  RunningJob& running = *prompt.job;
  if (running.ended || !running.fault.empty()) return false;
  try {
    return follow(prompt, text);
  } catch (const std::exception& error) {
    running.fault = error.what();
    return false;
  }
}

/// Whether the text goes on behind its last token.
bool Engine::follow(Prompt& prompt, const Hypothesis& text) {
  RunningJob& running = *prompt.job;
  const CompletionJob& job = *running.job;
  const std::size_t s = text.sample;
  const auto written =
      static_cast<std::int64_t>(text.tokens.size() - job.prompts[prompt.index].size());
  if (running.end.written++ == 0) running.end.first = seconds_since(job.start);
  if (!text.posterior.empty()) {
    running.end.share.resize(text.posterior.back().size());
    for (std::size_t e = 0; e < running.end.share.size(); ++e)
      running.end.share[e] += text.posterior.back()[e];
  }
  const bool ends = text.tokens.back() == eos_, full = written >= job.max_tokens;
  GrowingText& growing = prompt.texts[s];
  std::string more = ends ? growing.finish() : growing.push(text.tokens.back());
  if (full && !ends && !growing.stopped()) more += growing.finish();
  if (ends || growing.stopped()) prompt.finished[s] = "stop";
  const bool last = full || ends || growing.stopped();
  tell(prompt, text, more, last);
  prompt.written[s] += more;
  return !last;
}

/// Gives on_part what is new.
void Engine::tell(Prompt& prompt, const Hypothesis& text, std::string more, bool last) {
  const CompletionJob& job = *prompt.job->job;
  if (!job.in_parts) return;
  const std::size_t s = text.sample, read = job.prompts[prompt.index].size();
  WrittenPart part;
  part.prompt = prompt.index;
  part.sample = s;
  part.tokens = part_of(text, prompt.told[s]);
  part.read = read - std::min(read, prompt.told[s]);
  part.text = std::move(more);
  if (codec_.is_stepwise() ? prompt.told[s] == 0 : last) part.before = prompt.texts[s].before();
  prompt.told[s] = text.tokens.size();
  job.on_part(std::move(part));
}

/// What the generator has of a prompt is there.
void Engine::settle(Generated ended) {
  const auto found = prompts_.extract(ended.prompt);
  if (found.empty()) return;
  Prompt& prompt = *found.mapped();
  RunningJob& running = *prompt.job;
  if (!running.fault.empty()) return fail(running, 500, running.fault);
  if (!ended.error.empty()) return fail(running, ended.is_models_fault ? 500 : 400, ended.error);
  try {
    finish(prompt, std::move(ended));
  } catch (const std::exception& error) {
    fail(running, 500, error.what());
  }
}

/// A prompt has ended: all of its samples have.
void Engine::finish(Prompt& prompt, Generated ended) {
  RunningJob& running = *prompt.job;
  std::erase(running.prompts, ended.prompt);
  const std::size_t read = running.job->prompts[prompt.index].size();
  for (Hypothesis& text : ended.hypotheses) {
    WrittenPart part;
    part.prompt = prompt.index;
    part.sample = text.sample;
    part.finish = prompt.finished[text.sample];
    const std::size_t written = text.tokens.size() - read;
    for (std::size_t i = read; i < text.positional_scores.size(); ++i)
      part.score += text.positional_scores[i] / static_cast<double>(written);
    part.read = read - std::min(read, prompt.told[text.sample]);
    const std::size_t told = prompt.told[text.sample];
    part.tokens = told == 0 ? std::move(text) : part_of(text, told);
    part.whole = told == 0;
    if (part.whole) {
      GrowingText& growing = prompt.texts[part.sample];
      const std::string rest = written == 0 ? growing.finish() : "";
      part.before = growing.before() + rest;
    }
    if (!running.job->in_parts) part.text = std::move(prompt.written[part.sample]);
    if (running.job->in_parts)
      running.job->on_part(std::move(part));
    else
      running.end.texts.push_back(std::move(part));
  }
  if (!running.prompts.empty()) return;
  conclude(running, std::move(running.end));
}

/// Ends a job with an error.
void Engine::fail(RunningJob& job, int status, const std::string& error) {
  if (job.ended) return;
  JobEnd end;
  end.status = status;
  end.error = error;
  end.written = job.end.written;
  conclude(job, std::move(end));
}

/// Tells the end of a job, and forgets whom to tell.
void Engine::conclude(RunningJob& job, JobEnd end) {
  const auto on_end = std::exchange(job.job->on_end, nullptr);
  drop(job);
  end.whole = seconds_since(job.job->start);
  on_end(std::move(end));
}

/// Takes a job's prompts out of the batch.
void Engine::drop(RunningJob& job) {
  job.ended = true;
  job.job->on_part = nullptr;
  job.job->on_end = nullptr;
  for (const std::size_t number : std::exchange(job.prompts, {})) {
    generator_.cancel(number);
    prompts_.erase(number);
  }
}

/// Drops jobs whose clients have left or whose time is over.
void Engine::drop_late() {
  const auto now = CompletionJob::Clock::now();
  for (const auto& job : running_) {
    if (job->ended) continue;
    if (job->job->cancelled) drop(*job);
    if (now >= job->job->deadline) fail(*job, 504, "the request ran out of time");
  }
}

void Engine::step() {
  drop_late();
  std::vector<Generated> all_ended;
  try {
    all_ended = generator_.step();
  } catch (const std::exception& error) {  // of a model: its rows are of no use any more
    for (const std::size_t number : generator_.drop_joined())
      if (const auto found = prompts_.find(number); found != prompts_.end())
        fail(*std::shared_ptr(found->second->job), 500, error.what());
  }
  for (Generated& ended : all_ended) settle(std::move(ended));
  std::size_t jobs = 0;
  std::int64_t tokens = 0;
  std::erase_if(running_, [&](const auto& job) {
    if (!job->ended) return false;
    ++jobs;
    tokens += job->job->tokens();
    return true;
  });
  const std::lock_guard lock(mutex_);
  jobs_ -= jobs;
  tokens_ -= tokens;
}

}  // namespace btm
