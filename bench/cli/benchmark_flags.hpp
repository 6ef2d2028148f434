// Google Benchmark's flags, as `tally run` takes them.
#pragma once

#include <string>
#include <vector>

#include "bench/plan/run_options.hpp"

namespace tally {

/// Reads `flags` (`--benchmark_name=value`, or `--benchmark_name` for true) into `options`. Throws UsageError
/// for a flag that Google Benchmark 1.7 does not have, or a value that it does not take.
///
/// Rounds are Tally's, so the flags that speak of them speak to the campaign: repetitions=N is --rounds N:N,
/// min_time is how long a sample of --events auto lasts, enable_random_interleaving=false turns the shuffle
/// off.
void read_benchmark_flags(std::vector<std::string> const& flags, RunOptions& options);

/// Removes the BENCHMARK_* variables from the environment: they would change the library's defaults without a
/// word, and two campaigns with the same command line would differ. Call single-threaded, before the library
/// is used.
void ignore_benchmark_environment();

}  // namespace tally
