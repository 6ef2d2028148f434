// The bound that can be computed: what no model can exceed in a cell (METHOD: X <= min(P / g, c / (w + g))).
#pragma once

#include <chrono>
#include <cstdint>

#include "bench/plan/cell.hpp"
#include "workloads/ingest/load_schedule.hpp"
#include "workloads/lookup/lookup_wait.hpp"

namespace tally {

/// min(P / g, c / (w + g)) in events/s, for P = `cpus`, g the cell's grain, c its events in flight and w =
/// `wait_s` in seconds (0: not known, and then no bound). Sequential has P = c = 1. Infinite where neither
/// limit applies. On ingest also the rate that is offered.
double analytic_bound(Cell const& cell, int cpus, double wait_s);

/// The mean of the waits that the embedded service draws for events 0 to `events` - 1, in seconds: exactly
/// what a cell of that many events waits for. The nominal mean for no events.
double mean_wait_s(WaitSpec const& wait, std::uint64_t seed, std::uint64_t events);

/// On ingest, a connection's events are looked up one after another: a mean wait, in seconds, with which c
/// connections that all have as many events would take as long as the waits of the one here that has most to
/// wait for. 0 for no events.
double slowest_wait_s(LoadSchedule const& load, WaitSpec const& wait, std::uint64_t seed);

}  // namespace tally
