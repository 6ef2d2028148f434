// The manifest: everything that is needed to run a campaign again and to judge it.
#pragma once

#include <optional>
#include <string>

#include "bench/base/json.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/services/redis_database.hpp"
#include "workloads/input/input_file.hpp"

namespace tally {

/// Whom lookups ask.
struct Service {
  std::string name = "embedded";  ///< LookupBackend::name()
  RedisDatabase const* database = nullptr;
};

/// When, on which machine, and by which build of which commit: what every file of results begins with.
Json describe_program();

/// The context of a result file, as a JSON object: suite, build, machine, limits, command line, factors,
/// hashes. Read before the first sample. `input` is the file whose events are counted, or null. What cannot
/// be known is "unknown".
std::string make_manifest(RunOptions const& options, InputFile const* input, double links_per_ns,
                          Service const& service = {});

}  // namespace tally
