// Synthetic events as a file that another program reads.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "workloads/base/owned_fd.hpp"
#include "workloads/events/synthetic.hpp"

namespace tally {

/// A file in memory (memfd_create(2)) of event lines (workloads/text/event_lines.hpp): `key`, or, where there
/// are windows, `time<TAB>key`. It has a name as long as this object lives, and nothing of it is left however
/// this process ends. Nobody can change it.
class EventsFile {
 public:
  /// Writes the first `events` of `all`. Throws std::system_error.
  EventsFile(SyntheticEvents const& all, std::uint64_t events, std::chrono::nanoseconds window);

  /// For processes of the same user, whoever started them.
  std::string path() const;

 private:
  OwnedFd file_;
};

}  // namespace tally
