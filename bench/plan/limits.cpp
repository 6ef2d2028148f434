// Refusing, before anything is measured, what this machine does not allow.
#include "bench/plan/limits.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <system_error>

#include "bench/base/units.hpp"
#include "models/runtime/io/ingest_connection.hpp"
#include "workloads/events/synthetic.hpp"

namespace tally {
namespace {

// Beside what events in flight need: epoll, pipes, the library's own; measured at under 20.
constexpr std::uint64_t kSpareFiles = 64;
constexpr std::uint64_t kSpareTasks = 64;
constexpr std::uint64_t kSpareMaps = 1024;  // the program, its libraries and its heap have a few hundred
constexpr std::uint64_t kMapsPerThread = 2;
// What a process and a thread that only wait cost the machine, kernel's share included: measured as what
// MemAvailable fell by with 3,000 processes (517 KiB each) and 9,000 threads (106 KiB each).
constexpr double kProcessBytes = 540 * 1024;
constexpr double kThreadBytes = 112 * 1024;

[[noreturn]] void refuse_cell(Cell const& cell, std::string const& needed, std::string const& what,
                              Limit const& limit, std::string const& value, std::string const& remedy) {
  std::string const in_use =
      limit.in_use > 0 ? " beside the " + std::to_string(limit.in_use) + " there are" : "";
  throw UsageError(cell.name() + " needs " + needed + " " + what + in_use + ", but the limit is " + value +
                   " (" + std::string(limit.name) + "): raise it or " + remedy);
}

void check_number(Cell const& cell, std::uint64_t needed, std::string const& what, Limit const& limit,
                  std::string const& remedy) {
  std::uint64_t const left = limit.value - std::min(limit.value, limit.in_use);
  if (needed > left)
    refuse_cell(cell, std::to_string(needed), what, limit, std::to_string(limit.value), remedy);
}

struct Needs {
  std::uint64_t files = 0;
  std::uint64_t tasks = 0;  ///< threads or processes
  bool processes = false;   ///< the tasks are processes
  double memory = 0;        ///< bytes
};

/// Of memory that holds the stream before it is counted.
double bytes_per_event(Cell const& cell, double key_bytes) {
  if (cell.stream == StreamKind::lookup) return 0;
  // Beside the keys, when each is to be sent; or the lines themselves, of keys of up to 8 digits and,
  // perhaps, times.
  constexpr double kTimeBytes = 8, kLineBytes = 24;
  if (cell.stream == StreamKind::cpu) return key_bytes + (cell.model->external != nullptr ? kLineBytes : 0);
  return key_bytes + (cell.rate_per_s > 0 ? kTimeBytes : kLineBytes);
}

/// Windows that the events fill: at a rate, it is in their event times.
double windows_of(Cell const& cell, RunOptions const& options) {
  if (cell.stream != StreamKind::ingest || cell.rate_per_s == 0 || options.window.count() == 0)
    return static_cast<double>(synthetic_windows(cell.events, options.window));
  double const span_s = static_cast<double>(cell.events) / cell.rate_per_s +
                        std::chrono::duration<double>(options.disorder).count();
  return std::ceil(span_s / std::chrono::duration<double>(options.window).count()) + 1;
}

Needs needs_of(Cell const& cell, RunOptions const& options) {
  Needs needs;
  auto const workers = static_cast<std::uint64_t>(cell.workers);
  auto const in_flight = static_cast<std::uint64_t>(cell.in_flight);
  needs.tasks = workers;
  auto const& per_event = cell.model->lookup_needs;
  if (cell.stream == StreamKind::lookup) {
    needs.processes = per_event.process_per_event;
    needs.files = in_flight + kSpareFiles;
    if (per_event.process_per_event || per_event.thread_per_event) needs.tasks = std::max(workers, in_flight);
  }
  if (cell.stream == StreamKind::ingest) {
    auto const connections = static_cast<std::uint64_t>(cell.connections);
    needs.files = (cell.lookup ? 2 : 1) * connections + kSpareFiles;
    if (per_event.thread_per_event) {
      needs.tasks = std::max(workers, connections);
      needs.memory += static_cast<double>(connections) * ReadBuffer::kBytes;
    }
  }
  double const tasks = static_cast<double>(needs.tasks);
  if (!options.input) {
    auto const key_bytes = static_cast<double>(SyntheticEvents::key_bytes(options.keys.keys));
    double const tallies = cell.stream == StreamKind::ingest ? static_cast<double>(workers) : tasks;
    double const rows = 8.0 * options.keys.keys * std::max(windows_of(cell, options), 1.0) * (tallies + 2);
    double const builds = options.against.empty() ? 1 : 2;  // each has its own events and references
    double const events = static_cast<double>(cell.events) / ranks_of(cell);
    needs.memory += builds * (rows + bytes_per_event(cell, key_bytes) * events);
  }
  needs.memory += tasks * (needs.processes ? kProcessBytes : kThreadBytes);
  needs.tasks += kSpareTasks;
  return needs;
}

void check_cell(Cell const& cell, RunOptions const& options, SystemLimits const& limits) {
  Needs const needs = needs_of(cell, options);
  bool const cpu = cell.stream == StreamKind::cpu;
  std::string const fewer_waiting =
      cell.stream == StreamKind::ingest ? "lower --connections" : "lower --in-flight";
  std::string const fewer = !cpu && needs.tasks > static_cast<std::uint64_t>(cell.workers) + kSpareTasks
                                ? fewer_waiting
                                : "lower --workers";
  if (cell.stream == StreamKind::ingest && cell.model->sequential && cell.connections > SOMAXCONN)
    throw UsageError(cell.name() + " serves one connection at a time, and no more than " +
                     std::to_string(SOMAXCONN) + " can wait for it: lower --connections, or leave " +
                     std::string(cell.model->name) + " out of --model");
  check_number(cell, needs.files, "open files", limits.open_files, fewer_waiting);
  for (Limit const& limit : limits.tasks) {
    check_number(cell, needs.tasks, needs.processes ? "processes" : "threads", limit, fewer);
  }
  if (!needs.processes) {
    check_number(cell, needs.tasks * kMapsPerThread + kSpareMaps, "memory maps", limits.memory_maps, fewer);
  }
  if (needs.memory > static_cast<double>(limits.memory.value)) {
    refuse_cell(cell, format_bytes(needs.memory), "of memory", limits.memory,
                format_bytes(static_cast<double>(limits.memory.value)),
                cpu ? "lower --events, --keys or --workers" : fewer_waiting + ", --keys or --events");
  }
}

}  // namespace

double memory_needed_bytes(Cell const& cell, RunOptions const& options) {
  return needs_of(cell, options).memory;
}

void check_limits(Plan const& plan, RunOptions const& options, SystemLimits const& limits) {
  for (Cell const& cell : plan.cells) check_cell(cell, options, limits);
}

void check_limits(Plan const& plan, RunOptions const& options) {
  check_limits(plan, options, read_system_limits());
}

}  // namespace tally
