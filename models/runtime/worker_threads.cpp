#include "models/runtime/worker_threads.hpp"

#include <utility>

namespace tally {

bool WorkerThreads::Self::stand_ready() {
  arrive();
  threads_.go_.wait();
  return !threads_.called_off_;
}

void WorkerThreads::Self::arrive() noexcept {
  if (!std::exchange(arrived_, true)) threads_.ready_.count_down();
}

void WorkerThreads::Self::finish() noexcept {
  arrive();
  if (!std::exchange(finished_, true)) threads_.finished_.count_down();
}

WorkerThreads::Self::~Self() { finish(); }

WorkerThreads::WorkerThreads(int threads, Body body)
    : body_(std::move(body)), ready_(threads), finished_(threads) {
  try {
    threads_.reserve(static_cast<std::size_t>(threads));
    for (int w = 0; w < threads; ++w) threads_.emplace_back([this, w] { run(w); });
  } catch (...) {
    failure_.set(std::current_exception());
    release(true);
    threads_.clear();
    throw;
  }
}

WorkerThreads::~WorkerThreads() { release(true); }

void WorkerThreads::run(int worker) {
  Self self(*this);
  try {
    body_(worker, self);
  } catch (...) {
    failure_.set(std::current_exception());
  }
}

bool WorkerThreads::start() noexcept {
  release(failure_.failed());
  return !called_off_;
}

void WorkerThreads::release(bool called_off) noexcept {
  if (std::exchange(released_, true)) return;
  called_off_ = called_off;  // before the latch, which workers pass before they look
  go_.count_down();
}

void WorkerThreads::join() {
  threads_.clear();
  failure_.rethrow();
}

Counts time_workers(WorkerThreads& threads, Stopwatch& watch, std::vector<Counts>& tallies,
                    std::function<void()> const& meanwhile) {
  threads.wait_ready();
  watch.start();
  if (threads.start() && meanwhile) meanwhile();
  threads.wait_finished();
  Counts counts = merged(tallies);
  watch.stop();
  threads.join();
  return counts;
}

Counts merged(std::vector<Counts>& tallies) {
  for (std::size_t i = 1; i < tallies.size(); ++i) tallies[0].merge(std::move(tallies[i]));
  return std::move(tallies[0]);
}

}  // namespace tally
