// One sample: a model's run, timed and verified in a process of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/cell.hpp"
#include "bench/stop_signals.hpp"
#include "models/model.hpp"
#include "workloads/stream.hpp"

namespace tally {

/// Latencies of one sample, in seconds, at those percentiles that the file has for each sample.
struct LatencyFigures {
  double p50_s = 0, p90_s = 0, p99_s = 0, p999_s = 0, greatest_s = 0;
};
LatencyFigures figures_of(LatencyHistogram const& latencies);

/// What the load generator did in one sample, and what came of it.
struct LoadFigures {
  double offered_per_s = 0;   ///< events a second, as the schedule has them; at no rate, as achieved
  double achieved_per_s = 0;  ///< as they were sent
  double schedule_s = 0;      ///< how long the schedule was; at a rate
  double behind_s = 0;        ///< at a rate: from when the last event was due, or if no sender waited for the
                              ///< server, from when it was sent, until the last was counted
  double late_p99_s = 0;      ///< of sends, after they were due; at a rate
  double late_greatest_s = 0;
  std::uint64_t bytes = 0;
  std::uint64_t sends = 0;
  std::uint64_t waits = 0;     ///< how often a connection would take no more
  double generator_cpu_s = 0;  ///< spinning included
  LatencyFigures corrected;    ///< from when an event was to be sent until it was counted; at a rate
  LatencyFigures uncorrected;  ///< from when it was sent
};

/// One rank's part of a sample that the ranks of an MPI job took together.
struct RankFigures {
  std::string host;
  int cpus = 0;                       ///< that this rank's workers had
  std::uint64_t events = 0;           ///< counted by it
  std::chrono::nanoseconds count{0};  ///< from the common start until its own counts were complete
  std::chrono::nanoseconds merge{0};  ///< from the start of merging until its part of that was done
  double cpu_s = 0;                   ///< of the model; merging is not in it
  std::uint64_t peak_rss_bytes = 0;
};

/// What a sample has beside, that the ranks of an MPI job took together.
struct TeamFigures {
  std::chrono::nanoseconds count{0};       ///< of the slowest rank
  std::chrono::nanoseconds merge{0};       ///< until rank 0 had what was merged, and every rank its part
  double imbalance = 1;                    ///< count of the slowest rank over that of the median one
  std::uint64_t merged_bytes = 0;          ///< that were sent between ranks for the merge, all ranks together
  std::chrono::nanoseconds start_late{0};  ///< by so much the last rank was later than the common start
  std::vector<RankFigures> ranks;
};

/// One timed run of a cell, as measured in its own process. `failure` is empty if and only if the counts were
/// verified; a failed sample has no figures.
struct Sample {
  std::string failure;
  std::chrono::nanoseconds elapsed{0};  ///< first event handed out to merged counts complete
  std::chrono::nanoseconds startup{0};
  std::chrono::nanoseconds teardown{0};
  double user_s = 0;  ///< CPU time of the model, threads and children included, start-up too
  double sys_s = 0;
  std::uint64_t peak_rss_bytes = 0;
  std::uint64_t ctx_voluntary = 0;
  std::uint64_t ctx_involuntary = 0;
  int workers_ran = 0;
  std::uint64_t events = 0;  ///< counted
  std::uint64_t tasks = 0;
  std::uint64_t replies = 0;
  std::uint64_t malformed = 0;
  /// Lookup on the embedded service: its CPU time, spinning included; on Redis, of all its threads.
  std::optional<double> service_cpu_s;
  std::optional<double>
      service_busy_s;  ///< of that, what was work; on Redis, of the thread that runs commands
  std::optional<double> reply_late_p99_s;  ///< 99th percentile of reply lateness in this sample
  std::optional<LoadFigures> load;         ///< ingest
  std::optional<TeamFigures> team;         ///< of ranks; then `elapsed` is count and merge together
  int round = 0;
  int order = 0;         ///< place in the round
  double started_s = 0;  ///< since the campaign began
  double items_per_second() const {
    return static_cast<double>(events) / std::chrono::duration<double>(elapsed).count();
  }
};

/// How a sample is watched over from outside.
struct SampleWatch {
  std::chrono::nanoseconds timeout;  ///< > 0; then the sample's processes are killed
  StopSignals const& stop;           ///< a signal ends the sample at once
  /// pidfds; when one of these processes ends (the lookup service, the load generator), the sample ends with
  /// it.
  std::vector<int> other_processes{};
  /// When one of them has ended, the sample may take so long to say why: it may have been its doing.
  std::chrono::nanoseconds last_words{0};
};

/// How a sample's process ended.
enum class Ending {
  finished,       ///< by itself, well or with Sample::failure
  timed_out,      ///< Sample::failure says after how long; the caller may know more
  interrupted,    ///< SampleWatch::stop; the sample counts for nothing
  other_process,  ///< one of SampleWatch::other_processes ended first
};

struct Measured {
  Sample sample;
  Ending ending = Ending::finished;
};

/// Runs `model` over `stream` in a process of its own, and compares its counts with `expected`, which is the
/// sequential reference, after the watch has stopped and the accounts are closed.
///
/// The process, forked from this one, is its own process group, dies with its parent, and may use exactly
/// `setup.cpus` (all of this process's, if empty). CPU time and context switches are getrusage(2)'s of the
/// process and its reaped children over the model's call; peak memory is the process's high-water mark
/// (VmHWM, which begins at what it shares with its parent) plus what the model reports of its children's own.
///
/// Every way to go wrong is named in Sample::failure: a wrong count, an exception, a signal, an exit without
/// a result, a watch never started, no worker reported, the time-out. On `cpu` and `ingest` the workers
/// reported must be those that `setup` asks for, and on `cpu` the tasks, and the objects that were scheduled
/// for them, as many as the stream has batches, unless --batch is auto. On return no process of the sample is
/// left, nor a zombie. Call single-threaded. Throws std::system_error when no process can be made,
/// std::logic_error if the model cannot run such a stream.
Measured measure(Model const& model, CpuStream const& stream, Setup const& setup, Counts const& expected,
                 SampleWatch const& watch);
Measured measure(Model const& model, LookupStream const& stream, Setup const& setup, Counts const& expected,
                 SampleWatch const& watch);
Measured measure(Model const& model, IngestStream const& stream, Setup const& setup, Counts const& expected,
                 SampleWatch const& watch);

/// What a run must have done beside counting right.
struct Required {
  int workers = 0;  ///< that stood ready; 0: as many as the model finds right
  /// Tasks that were run, and, of a model that schedules, objects that were made for them; none: any number.
  std::optional<std::uint64_t> tasks{};
  bool schedules = false;  ///< the model makes an object for each task
};

/// What the model must do on the stream. Reads the stream through where its tasks are to be counted.
Required required_of(Model const& model, CpuStream const& stream, Setup const& setup);
Required required_of(Model const& model, LookupStream const& stream, Setup const& setup);
Required required_of(Model const& model, IngestStream const& stream, Setup const& setup);

/// What is wrong with a run that returned `counts`, which differ from those expected in `difference` (empty
/// if in nothing); empty if nothing is.
std::string verdict(std::string const& difference, Counts const& counts, Stopwatch const& watch,
                    Required const& required);

/// What a failed run is said to have thrown. In a handler alone.
std::string describe_current_exception();

/// Lets this process run on `cpus` alone; all that it may use anyway, if empty. Throws std::system_error.
void pin_process(std::vector<int> const& cpus);

}  // namespace tally
