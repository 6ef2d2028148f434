// A table of models for tests of the command line: nothing in it ever runs.
#pragma once

#include <array>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/cli/options.hpp"
#include "bench/plan/run_options.hpp"
#include "models/model.hpp"

namespace tally {

inline Counts never_cpu(CpuStream const&, Setup const&, Stopwatch&) {
  throw std::logic_error("not to be run");
}
inline Counts never_lookup(LookupStream const&, Setup const&, Stopwatch&) {
  throw std::logic_error("not to be run");
}

inline constexpr std::array<Model, 7> kTestModels{{
    {.name = "sequential", .summary = "s", .cpu = never_cpu, .lookup = never_lookup, .sequential = true},
    {.name = "threads",
     .summary = "s",
     .cpu = never_cpu,
     .lookup = never_lookup,
     .lookup_needs = {.thread_per_event = true}},
    {.name = "processes",
     .summary = "s",
     .cpu = never_cpu,
     .lookup = never_lookup,
     .lookup_needs = {.process_per_event = true}},
    {.name = "fibers", .summary = "s", .cpu = never_cpu, .lookup = never_lookup},
    {.name = "cpu_only", .summary = "s", .cpu = never_cpu},
    {.name = "absent", .summary = "s", .cpu = never_cpu, .unavailable = "needs a moon base"},
    {.name = "limit", .summary = "s", .cpu = never_cpu, .lookup = never_lookup, .candidate = false},
}};

inline RunOptions parse_test_options(std::vector<std::string> const& arguments) {
  return parse_run_options(arguments, kTestModels);
}

}  // namespace tally
