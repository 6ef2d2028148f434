#include "bench/sampling/events_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <span>
#include <system_error>

#include "bench/base/atomic_file.hpp"
#include "workloads/base/errno_failure.hpp"
#include "workloads/text/event_lines.hpp"

namespace tally {
namespace {

constexpr char kCannotWrite[] = "the file of events for a program cannot be written";

template <class Key>
void write_lines(int file, Key const* keys, std::uint64_t events, bool timed) {
  constexpr std::size_t kAtOnce = std::size_t{1} << 20;
  auto const buffer = std::make_unique<char[]>(kAtOnce);
  std::size_t used = 0;
  for (std::uint64_t i = 0; i < events; ++i) {
    if (kAtOnce - used < kMaxEventLineBytes) {
      write_all(file, {buffer.get(), used}, kCannotWrite);
      used = 0;
    }
    std::span<char, kMaxEventLineBytes> const out(buffer.get() + used, kMaxEventLineBytes);
    auto const key = static_cast<std::uint32_t>(keys[i]);
    used += timed ? write_event_line(out, key, kEventSpacing * static_cast<std::int64_t>(i))
                  : write_event_line(out, key);
  }
  write_all(file, {buffer.get(), used}, kCannotWrite);
}

}  // namespace

EventsFile::EventsFile(SyntheticEvents const& all, std::uint64_t events, std::chrono::nanoseconds window)
    : file_(::memfd_create("tally-events", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
  if (file_.get() < 0) fail_with_errno(kCannotWrite);
  bool const timed = window.count() > 0;
  if (SyntheticEvents::key_bytes(all.spec().keys) == sizeof(std::uint16_t))
    write_lines(file_.get(), all.keys<std::uint16_t>(), events, timed);
  else
    write_lines(file_.get(), all.keys<std::uint32_t>(), events, timed);
  if (::fcntl(file_.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    fail_with_errno(kCannotWrite);
}

std::string EventsFile::path() const {
  return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(file_.get());
}

}  // namespace tally
