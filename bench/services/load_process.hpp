// The load generator as a campaign has it: a process of its own for each sample.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/process/helper_process.hpp"
#include "bench/process/shared_object.hpp"
#include "workloads/ingest/ingest_stream.hpp"
#include "workloads/ingest/load_generator.hpp"

namespace tally {

/// How a load is sent.
struct LoadConfig {
  std::uint64_t connections_first = 1;  ///< accepted by the server before the schedule begins
  bool spin = true;         ///< wait for the clock by looking at it; otherwise asleep, and late by as much
  std::vector<int> cpus{};  ///< where it runs; anywhere, if empty
};

/// Sends `schedule` to whoever serves `stream`: waits until somebody listens, connects, lets the schedule
/// begin, and when all is sent, stays until it is destroyed, so that its end is always a failure.
class LoadProcess {
 public:
  /// Forks. Both must outlive it. Throws std::system_error. Call single-threaded.
  LoadProcess(LoadSchedule const& schedule, IngestStream const& stream, LoadConfig const& config);
  LoadProcess(LoadProcess const&) = delete;
  LoadProcess& operator=(LoadProcess const&) = delete;

  /// Readable when it has ended, which it does only if it fails or is killed.
  int pidfd() const noexcept { return process_->pidfd(); }
  pid_t pid() const noexcept { return process_->pid(); }
  double cpu_s() const noexcept { return process_->cpu_s(); }
  /// What it has done so far; all of it once the stream has ended.
  LoadAccount const& account() const noexcept;
  /// Why it ended, if it has: in its own words, or how it was killed.
  std::optional<std::string> failure();

 private:
  /// What both processes see.
  struct Shared {
    LoadAccount account;
    std::atomic<bool> failed;
    char failure[256];
  };
  SharedObject<Shared> shared_{"memory shared with the load generator"};
  std::unique_ptr<HelperProcess> process_;
};

}  // namespace tally
