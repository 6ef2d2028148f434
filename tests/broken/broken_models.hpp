// Models that go wrong in one way each, and a right one, for tests of what catches them.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>

#include "models/model.hpp"

namespace tally::broken {

/// Counts the stream in batches as asked for, of 64 where any will do, handing each to `body(range, tally)`;
/// right but for what `body` does.
template <class Body>
Counts count_with(CpuStream const& stream, Setup const& setup, Stopwatch& watch, Body&& body) {
  for (int i = 0; i < setup.workers; ++i) watch.worker_ready();
  watch.start();
  Counts tally = stream.empty_tally();
  BatchReader reader(stream, setup.batch == kAutoBatch ? 64 : setup.batch, 1);
  for (Range range = reader.next(); !range.empty(); range = reader.next()) {
    body(range, tally);
    watch.add_scheduled(1);
  }
  watch.stop();
  return tally;
}

inline Counts right(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  return count_with(stream, setup, watch, [&](Range range, Counts& tally) { stream.count(range, tally); });
}
inline Counts loses_an_event(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  return count_with(stream, setup, watch, [&](Range range, Counts& tally) {
    if (range.begin == 0) ++range.begin;
    stream.count(range, tally);
  });
}
inline Counts doubles_an_event(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  return count_with(stream, setup, watch, [&](Range range, Counts& tally) {
    stream.count(range, tally);
    if (range.begin == 0) stream.count({0, 1}, tally);
  });
}
/// Loses one and doubles another, so that the number of events is right.
inline Counts swaps_an_event(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  return count_with(stream, setup, watch, [&](Range range, Counts& tally) {
    stream.count(range, tally);
    if (range.begin != 0) return;
    tally = stream.empty_tally();
    stream.count({range.begin + 1, range.end}, tally);
    stream.count({range.end - 1, range.end}, tally);
  });
}
inline Counts misfiles_by_key(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  return count_with(stream, setup, watch, [&](Range range, Counts& tally) {
    stream.count(range, tally);
    if (range.begin != 0) return;
    std::uint64_t* const row = tally.dense_row(0);
    std::uint32_t key = 0;
    while (row[key] == 0) ++key;
    --row[key];
    ++row[(key + 1) % tally.keys()];
  });
}
inline Counts misfiles_by_window(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  return count_with(stream, setup, watch, [&](Range range, Counts& tally) {
    stream.count(range, tally);
    if (range.begin != 0) return;
    std::uint64_t* const row = tally.dense_row(0);
    std::uint32_t key = 0;
    while (row[key] == 0) ++key;
    --row[key];
    ++tally.dense_row(1)[key];
  });
}
/// As two stores of half a word each would, of which only the first was seen: the lower half is new, the
/// upper old.
inline Counts tears_a_count(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  return count_with(stream, setup, watch, [&](Range range, Counts& tally) {
    stream.count(range, tally);
    if (range.end != stream.size()) return;
    std::uint64_t* const row = tally.dense_row(0);
    std::uint32_t key = 0;
    while (row[key] == 0) ++key;
    row[key] += std::uint64_t{1} << 32;
  });
}
/// A worker is not waited for: its last event is counted when the result is there already.
inline Counts counts_an_event_too_late(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  Counts late = stream.empty_tally();
  return count_with(stream, setup, watch, [&](Range range, Counts& tally) {
    if (range.end == stream.size()) stream.count({--range.end, stream.size()}, late);
    stream.count(range, tally);
  });
}
inline Counts drops_the_last_batch(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  return count_with(stream, setup, watch, [&](Range range, Counts& tally) {
    if (range.end != stream.size()) stream.count(range, tally);
  });
}
inline Counts forgets_a_tally(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  Counts forgotten = stream.empty_tally();
  return count_with(stream, setup, watch, [&, i = 0](Range range, Counts& tally) mutable {
    stream.count(range, ++i % 2 == 0 ? tally : forgotten);
  });
}
/// Two tasks run as one, as a model would that takes adjacent batches from its queue and counts them at once.
inline Counts merges_two_tasks(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  return count_with(stream, setup, watch,
                    [&, first_end = std::uint64_t{0}](Range range, Counts& tally) mutable {
                      if (range.begin == 0)
                        first_end = range.end;
                      else
                        stream.count({range.begin == first_end ? 0 : range.begin, range.end}, tally);
                    });
}
/// One closure runs 64 tasks, each by itself.
inline Counts schedules_64_tasks_at_once(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  for (int i = 0; i < setup.workers; ++i) watch.worker_ready();
  watch.start();
  Counts tally = stream.empty_tally();
  std::uint64_t tasks = 0;
  BatchReader reader(stream, setup.batch, 1);
  for (Range range; !(range = reader.next()).empty(); ++tasks) {
    stream.count(range, tally);
    if (tasks % 64 == 0) watch.add_scheduled(1);
  }
  watch.stop();
  return tally;
}
inline Counts never_starts_its_watch(CpuStream const& stream, Setup const& setup, Stopwatch&) {
  Stopwatch another;
  return right(stream, setup, another);
}
inline Counts reports_one_worker_too_many(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  watch.worker_ready();
  return right(stream, setup, watch);
}
inline Counts throws(CpuStream const&, Setup const&, Stopwatch&) {
  throw std::runtime_error("the queue is on fire");
}
inline Counts throws_a_number(CpuStream const&, Setup const&, Stopwatch&) { throw 42; }
inline Counts segfaults(CpuStream const&, Setup const&, Stopwatch&) {
  ::raise(SIGSEGV);
  throw std::logic_error("not reached");
}
inline Counts is_killed(CpuStream const&, Setup const&, Stopwatch&) {
  ::raise(SIGKILL);
  throw std::logic_error("not reached");
}
inline Counts exits(CpuStream const&, Setup const&, Stopwatch&) { ::_exit(3); }
inline Counts hangs(CpuStream const&, Setup const&, Stopwatch&) {
  for (;;) ::pause();
}
/// Right, but leaves a process behind that would run for ever. Its pid is the sample's number of tasks.
inline Counts leaves_a_grandchild(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  pid_t const pid = ::fork();
  if (pid == 0)
    for (;;) ::pause();
  Counts counts = right(stream, setup, watch);
  counts.tasks = static_cast<std::uint64_t>(pid);
  return counts;
}
/// Hangs together with a process of its own; writes that process's pid to this descriptor.
inline int grandchild_announcement = -1;
inline Counts hangs_with_a_grandchild(CpuStream const&, Setup const&, Stopwatch&) {
  pid_t const pid = ::fork();
  if (pid != 0 && ::write(grandchild_announcement, &pid, sizeof pid) < 0) throw std::runtime_error("write");
  for (;;) ::pause();
}

/// The plain lookup: one blocking connection, one event at a time.
inline Counts asks(LookupStream const& stream, Setup const&, Stopwatch& watch) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(stream.service().host);
  to.sin_port = htons(stream.service().port);
  int const fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(fd, reinterpret_cast<sockaddr const*>(&to), sizeof to) != 0)
    throw std::runtime_error(std::string("connect: ") + std::strerror(errno));
  watch.worker_ready();
  watch.start();
  Counts tally = stream.empty_tally();
  for (std::uint64_t i = 0; i < stream.events(); ++i) {
    std::array<char, LookupStream::kMaxRequestBytes> request;
    std::size_t const size = stream.request(i, request);
    if (::send(fd, request.data(), size, MSG_NOSIGNAL) < 0) throw std::runtime_error("the connection broke");
    std::string reply;
    while (stream.reply_length(reply) == 0) {
      char bytes[64];
      ssize_t const n = ::recv(fd, bytes, sizeof bytes, 0);
      if (n <= 0) throw std::runtime_error("the service closed the connection");
      reply.append(bytes, static_cast<std::size_t>(n));
    }
    stream.accept(i, reply, tally);
    watch.add_scheduled(1);
  }
  watch.stop();
  ::close(fd);
  return tally;
}

inline Counts never_asks(LookupStream const&, Setup const&, Stopwatch&) {
  for (;;) ::pause();
}

inline constexpr Model kRight{.name = "right", .summary = "counts right", .cpu = right, .lookup = asks};

}  // namespace tally::broken
