// What a model is: a row with a name and one function per stream it can run.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "models/io.hpp"
#include "workloads/ingest/ingest_stream.hpp"
#include "workloads/stream.hpp"

namespace tally {

struct ExternalProgram;
struct ExternalTask;

/// What a model is given beside the stream.
struct Setup {
  int workers = 1;          ///< threads or processes that count; >= 1
  std::uint64_t batch = 1;  ///< events of one task (cpu); kAutoBatch: as the model likes
  int in_flight = 1;        ///< connections, and so events that may wait at once (lookup); >= 1
  Io io = Io::epoll;        ///< how a model with `reactor` waits (lookup, ingest)
  std::vector<int> cpus;    ///< worker i belongs on cpus[i % size]; empty: wherever the kernel puts it
  ExternalTask const* external = nullptr;  ///< of a program that is run as a model: what it is to do
};

/// Times one run: from the first event handed out to the last count merged. A model calls worker_ready() for
/// each of its workers, start() when all stand ready, and stop() when the merged counts are complete.
class Stopwatch {
 public:
  using Clock = std::chrono::steady_clock;

  Stopwatch() : made_(Clock::now()) {}

  /// One more worker stands ready. Any thread of the sample's process.
  void worker_ready() noexcept { workers_.fetch_add(1, std::memory_order_relaxed); }
  /// The first event is about to be handed out.
  void start() noexcept {
    if (gate_) gate_();
    started_ = Clock::now();
  }
  /// Called by start() before the watch runs, by the thread that starts it: where several processes count
  /// together, it waits for the others. Must not throw.
  void set_gate(std::function<void()> gate) { gate_ = std::move(gate); }
  /// The first event was handed out then: by senders, which keep a time of their own.
  void start_at(Clock::time_point when) noexcept { started_ = when; }
  /// The merged counts are complete.
  void stop() noexcept { stopped_ = Clock::now(); }

  /// So many more scheduling objects were made, one for each task: closures, messages, fibers, coroutine
  /// frames, posted callbacks. Any thread of the sample's process.
  void add_scheduled(std::uint64_t objects) noexcept {
    scheduled_.fetch_add(objects, std::memory_order_relaxed);
  }
  std::uint64_t scheduled() const noexcept { return scheduled_.load(std::memory_order_relaxed); }

  bool ran() const noexcept { return started_ != Clock::time_point{} && stopped_ >= started_; }
  /// From the call of the model to start().
  std::chrono::nanoseconds startup() const noexcept { return started_ - made_; }
  std::chrono::nanoseconds elapsed() const noexcept { return stopped_ - started_; }
  Clock::time_point stopped() const noexcept { return stopped_; }
  /// Workers that stood ready.
  int workers() const noexcept { return workers_.load(std::memory_order_relaxed); }

  /// Memory of the model's own child processes that they did not share with it, in bytes; the kernel's
  /// account of peak memory knows only the largest child.
  void add_child_memory(std::uint64_t bytes) noexcept { child_memory_bytes_ += bytes; }
  std::uint64_t child_memory_bytes() const noexcept { return child_memory_bytes_; }

  /// Peak memory is so many bytes, and not this process's: it only watches over a program that is the model.
  void set_memory(std::uint64_t bytes) noexcept { memory_bytes_ = bytes; }
  std::optional<std::uint64_t> memory_bytes() const noexcept { return memory_bytes_; }

 private:
  Clock::time_point made_;
  Clock::time_point started_{};
  Clock::time_point stopped_{};
  std::function<void()> gate_;
  std::atomic<int> workers_{0};
  std::atomic<std::uint64_t> scheduled_{0};
  std::uint64_t child_memory_bytes_ = 0;
  std::optional<std::uint64_t> memory_bytes_;
};

/// Runs the stream and returns its merged counts. Called in a process of its own, single-threaded on entry,
/// and again so on return as far as the library allows. Throws on failure; counts of a failed run are never
/// used.
using CpuRun = Counts (*)(CpuStream const&, Setup const&, Stopwatch&);
using LookupRun = Counts (*)(LookupStream const&, Setup const&, Stopwatch&);
using IngestRun = Counts (*)(IngestStream const&, Setup const&, Stopwatch&);

/// What one event in flight, or one connection, costs a model in things that the kernel limits, so that a
/// cell too large for this machine is refused before it starts.
struct LookupNeeds {
  bool thread_per_event = false;   ///< as many threads as in flight (lookup), or as connections (ingest)
  bool process_per_event = false;  ///< as many processes as in flight
};

/// A row of the registry.
struct Model {
  std::string_view name;
  std::string_view summary;  ///< one line
  CpuRun cpu = nullptr;      ///< null: not on this stream
  LookupRun lookup = nullptr;
  IngestRun ingest = nullptr;
  LookupNeeds lookup_needs{};
  bool sequential = false;  ///< one worker and one event in flight, whatever the setup says
  bool reactor = false;     ///< waits as Setup::io says; others have one way to wait
  bool candidate = true;    ///< false for `limit`, which is not a model to choose
  bool by_default = true;   ///< false: runs only where it is named: a variant of another model
  /// On `cpu`, the most tasks that wait behind a stalled task while another worker is free: those that its
  /// worker took from a queue with it, and those queued for that worker alone (docs/models.md).
  std::uint64_t tasks_behind_one = 15;
  bool costly_tasks = false;       ///< a task costs tens of microseconds, as a thread does: tests run few
  std::string_view unavailable{};  ///< why it cannot run here; empty: it can
  ExternalProgram const* external =
      nullptr;  ///< the program that is run, if it is none of ours (models/external/external.hpp)
};

/// All models, in the order in which they are listed. The registry holds the project's only availability
/// conditions.
std::span<Model const> all_models();

}  // namespace tally
