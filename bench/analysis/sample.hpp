// What is known of one timed run of a cell.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "workloads/counting/latency_histogram.hpp"

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

}  // namespace tally
