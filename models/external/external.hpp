// Models that are programs: how they are called, and what the harness prepares for them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "models/external/counts.hpp"
#include "models/model.hpp"

namespace tally {

/// A program's arguments, the first of which is the program, with placeholders such as `{port}` in them;
/// empty: there is no such command.
using ExternalCommand = std::vector<std::string>;

/// A program that is run as a model, by a command for each stream that it can run.
struct ExternalProgram {
  std::string name;
  ExternalCommand cpu, lookup, ingest;
};

/// What the harness prepared for a sample of a program.
struct ExternalTask {
  ExternalProgram const* program = nullptr;
  std::string events_path{};  ///< cpu: a file of event lines (workloads/text/event_lines.hpp)
  std::chrono::nanoseconds window{0};
  std::uint32_t keys = 0;       ///< of synthetic events
  std::uint64_t windows = 1;    ///< that the events fill
  std::uint64_t lines_max = 0;  ///< of counts that there can be
  std::uint64_t pairs = 0;      ///< of the expected counts (Counts::pairs), which nobody sees of a program
  std::uint64_t events = 0;
  int connections = 1;                   ///< ingest
  std::chrono::nanoseconds patience{0};  ///< for the whole run; then it is killed
};

/// `text` with what `value` gives for each `{name}` in it, where a name is of a-z and _; `{{name}}` is the
/// text
/// `{name}`, and every other brace is itself. What `value` throws comes through.
std::string fill_placeholders(std::string_view text,
                              std::function<std::string(std::string_view name)> const& value);

/// The names of all placeholders that a command for each stream may have.
inline constexpr std::string_view kCpuPlaceholders[] = {"events",  "count", "window_ns", "keys",
                                                        "workers", "batch", "grain_ns"};
inline constexpr std::string_view kLookupPlaceholders[] = {"host", "port",    "count",     "in_flight",
                                                           "keys", "workers", "window_ns", "grain_ns"};
inline constexpr std::string_view kIngestPlaceholders[] = {"host",    "port",      "connections", "keys",
                                                           "workers", "window_ns", "grain_ns"};

/// Run the program of setup.external, which must be there: they say what it is to do in its arguments, let it
/// begin, and read its counts. docs/programs.md has the protocol. The number of workers is
/// what it is given, since nobody sees how many it has. Throw ExternalFailed, with the end of what it
/// wrote to standard error; nothing that it started is left then.
Counts external_cpu(CpuStream const&, Setup const&, Stopwatch&);
Counts external_lookup(LookupStream const&, Setup const&, Stopwatch&);
Counts external_ingest(IngestStream const&, Setup const&, Stopwatch&);

/// The row of a program, which must outlive it.
Model external_model(ExternalProgram const& program);

}  // namespace tally
