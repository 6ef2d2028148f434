// Refusing, before anything is measured, what this machine does not allow.
#include "bench/limits.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <system_error>

#include "bench/units.hpp"
#include "workloads/synthetic.hpp"

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

[[noreturn]] void refuse(Cell const& cell, std::string const& needed, std::string const& what,
                         Limit const& limit, std::string const& value, std::string const& remedy) {
  std::string const in_use =
      limit.in_use > 0 ? " beside the " + std::to_string(limit.in_use) + " there are" : "";
  throw UsageError(cell.name() + " needs " + needed + " " + what + in_use + ", but the limit is " + value +
                   " (" + std::string(limit.name) + "): raise it or " + remedy);
}

void check_number(Cell const& cell, std::uint64_t needed, std::string const& what, Limit const& limit,
                  std::string const& remedy) {
  std::uint64_t const left = limit.value - std::min(limit.value, limit.in_use);
  if (needed > left) refuse(cell, std::to_string(needed), what, limit, std::to_string(limit.value), remedy);
}

struct Needs {
  std::uint64_t files = 0;
  std::uint64_t tasks = 0;  ///< threads or processes
  bool processes = false;   ///< the tasks are processes
  double memory = 0;        ///< bytes
};

Needs needs_of(Cell const& cell, RunOptions const& options) {
  Needs needs;
  auto const workers = static_cast<std::uint64_t>(cell.workers);
  auto const in_flight = static_cast<std::uint64_t>(cell.in_flight);
  needs.tasks = workers;
  if (cell.stream == StreamKind::lookup) {
    auto const& per_event = cell.model->lookup_needs;
    needs.processes = per_event.process_per_event;
    needs.files = in_flight + kSpareFiles;
    if (per_event.process_per_event || per_event.thread_per_event) needs.tasks = std::max(workers, in_flight);
  }
  double const tasks = static_cast<double>(needs.tasks);
  if (!options.input) {
    auto const key_bytes = static_cast<double>(SyntheticEvents::key_bytes(options.keys.keys));
    double const windows = static_cast<double>(synthetic_windows(cell.events, options.window));
    double const rows = 8.0 * options.keys.keys * std::max(windows, 1.0) * (tasks + 2);
    double const builds = options.against.empty() ? 1 : 2;  // each has its own events and references
    needs.memory =
        builds *
        (rows + (cell.stream == StreamKind::cpu ? key_bytes * static_cast<double>(cell.events) : 0.0));
  }
  needs.memory += tasks * (needs.processes ? kProcessBytes : kThreadBytes);
  needs.tasks += kSpareTasks;
  return needs;
}

void check_cell(Cell const& cell, RunOptions const& options, SystemLimits const& limits) {
  Needs const needs = needs_of(cell, options);
  bool const lookup = cell.stream == StreamKind::lookup;
  std::string const fewer = lookup && needs.tasks > static_cast<std::uint64_t>(cell.workers) + kSpareTasks
                                ? "lower --in-flight"
                                : "lower --workers";
  check_number(cell, needs.files, "open files", limits.open_files, "lower --in-flight");
  for (Limit const& limit : limits.tasks) {
    check_number(cell, needs.tasks, needs.processes ? "processes" : "threads", limit, fewer);
  }
  if (!needs.processes) {
    check_number(cell, needs.tasks * kMapsPerThread + kSpareMaps, "memory maps", limits.memory_maps, fewer);
  }
  if (needs.memory > static_cast<double>(limits.memory.value)) {
    refuse(cell, format_bytes(needs.memory), "of memory", limits.memory,
           format_bytes(static_cast<double>(limits.memory.value)),
           lookup ? "lower --in-flight, --keys or --events" : "lower --events, --keys or --workers");
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

void check_output_file(std::string_view flag, std::filesystem::path const& path) {
  auto const refuse_file = [&](std::string const& why) {
    throw UsageError(std::string(flag) + " '" + path.string() + "' cannot be written: " + why);
  };
  struct stat status {};
  if (stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) refuse_file("it is a directory; name a file");
    if (!S_ISREG(status.st_mode)) refuse_file("it is not a regular file");
  }
  auto directory = path.parent_path();
  if (directory.empty()) directory = ".";
  if (path.filename().empty()) refuse_file("it names no file");
  // Permissions, read-only file systems and full disks show only when a file is made and filled.
  std::string name = (directory / ".tally-probe-XXXXXX").string();
  int const file = mkstemp(name.data());
  if (file < 0) {
    refuse_file(std::generic_category().message(errno) + " (in directory '" + directory.string() + "')");
  }
  std::array<char, 4096> const block{};
  ssize_t const written = write(file, block.data(), block.size());
  int const error = written < 0                       ? errno
                    : written < ssize_t{block.size()} ? ENOSPC
                    : fsync(file) != 0                ? errno
                                                      : 0;
  close(file);
  unlink(name.c_str());
  if (error != 0) refuse_file(std::generic_category().message(error));
}

}  // namespace tally
