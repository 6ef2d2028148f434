// The streams that a campaign's cells count, and what each must count.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "bench/output/progress.hpp"
#include "bench/plan/cell.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/process/stop_signals.hpp"
#include "bench/sampling/events_file.hpp"
#include "workloads/input/input_file.hpp"
#include "workloads/stream.hpp"

namespace tally {

/// A stream, one of the three, with its sequential reference.
struct Workload {
  std::unique_ptr<CpuStream> cpu;
  std::unique_ptr<LookupStream> lookup;  ///< also of ingest, where its events are looked up
  std::unique_ptr<LoadSchedule> load;    ///< ingest: what is sent
  Grain grain;                           ///< ingest: the work for each event
  Counts expected;
  std::unique_ptr<EventsFile> file{};  ///< cpu: the events, where a program of its own counts them
};

/// Makes workloads, each once. Everything long is done here, before the first sample, where a stop signal
/// ends the process at once (StopSignals::ExitAtOnce).
class Streams {
 public:
  /// Reads the input file, if any. Throws InputFailed.
  Streams(RunOptions const& options, StopSignals const& stop, Progress& progress);

  void set_service(LookupTarget service) { service_ = std::move(service); }
  double links_per_ns() const noexcept { return links_per_ns_; }
  /// Links of the grain's chain per nanosecond, as calibrated. Before the first workload() that has a grain.
  void set_links_per_ns(double links_per_ns) noexcept { links_per_ns_ = links_per_ns; }
  InputFile const* input() const noexcept { return input_ ? &*input_ : nullptr; }

  /// The workload of a cell, with the cell's number of events (a file's lines are as many as they are). The
  /// reference stays good until forget(). More synthetic events than there are so far are drawn anew: that
  /// forgets all others.
  Workload const& workload(Cell const& cell);
  /// Frees all workloads: pilots', say, whose references would be part of every sample's memory.
  void forget() { workloads_.clear(); }
  /// Draws this many synthetic events, so that workload() need not.
  void reserve(std::uint64_t events);
  /// Of the synthetic events, processes forked from now on have the first `events` in their memory and no
  /// more: no sample's peak memory shall hold what it does not read.
  void share_events(std::uint64_t events) noexcept;
  /// Whether processes forked from now on have the schedule of `workload`, and the keys it names, in their
  /// memory.
  void share_load(Workload const& workload, bool shared) noexcept;

 private:
  Workload& made(Cell const& cell);

  using Key = std::tuple<StreamKind, std::uint64_t, std::chrono::nanoseconds, int, double, bool>;

  RunOptions const& options_;
  StopSignals const& stop_;
  Progress& progress_;
  LookupTarget service_;
  double links_per_ns_ = 0;
  std::optional<InputFile> input_;
  std::optional<SyntheticEvents> events_;
  std::map<Key, Workload> workloads_;
};

}  // namespace tally
