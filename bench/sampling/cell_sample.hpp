// One sample of a cell, with what no result file has of each sample.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bench/analysis/sample.hpp"
#include "workloads/counting/latency_histogram.hpp"

namespace tally {

/// What one sample brought.
struct CellSample {
  Sample sample;
  std::vector<std::uint64_t> lateness{};  ///< of this sample's replies; embedded service
  /// Of this sample's events, until they were counted: from when they were to be sent, and from when they
  /// were. Ingest at a rate; else null.
  std::shared_ptr<LatencyHistogram const> corrected{}, uncorrected{};
  bool timed_out = false;  ///< that is why it failed
};

/// An empty histogram that processes forked from now on have not in their memory: a sample's peak would hold
/// the latencies of all samples before it.
std::shared_ptr<LatencyHistogram> make_latencies();

}  // namespace tally
