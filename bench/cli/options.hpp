// The command line of `tally run`.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "bench/base/usage_error.hpp"
#include "bench/plan/run_options.hpp"

namespace tally {

/// Reads `tally run`'s arguments (without "tally run"), and where --service has no password, that of the
/// environment. Touches no file. Throws UsageError, or HelpRequested.
RunOptions parse_run_options(std::vector<std::string> const& arguments, std::span<Model const> models);

/// The same for `tally-mpi run`, of a job of `ranks` ranks, all of which count where no --ranks says
/// otherwise; what ranks cannot share out is refused.
RunOptions parse_mpi_run_options(std::vector<std::string> const& arguments, std::span<Model const> models,
                                 int ranks);

}  // namespace tally
