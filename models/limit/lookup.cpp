// limit on `lookup`: bare epoll loops, or bare rings of io_uring (uring.cpp).
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "models/limit/split.hpp"
#include "models/limit/uring.hpp"
#include "models/model.hpp"
#include "models/runtime/event_cursor.hpp"
#include "models/runtime/io/connection.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
namespace {

/// One worker's connections, and the loop over them with nothing between epoll and the counting.
class BareLoop {
 public:
  BareLoop(LookupStream const& stream, int connections)
      : stream_(stream), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) fail("epoll_create1");
    slots_.reserve(static_cast<std::size_t>(connections));
    for (int c = 0; c < connections; ++c) {
      Slot& slot = slots_.emplace_back(connect_non_blocking(stream.service()));
      epoll_event event{.events = EPOLLIN, .data = {.ptr = &slot}};
      if (epoll_ctl(epoll_, EPOLL_CTL_ADD, slot.connection.fd(), &event) != 0) fail("epoll_ctl");
    }
  }
  ~BareLoop() { close(epoll_); }
  BareLoop(BareLoop const&) = delete;
  BareLoop& operator=(BareLoop const&) = delete;

  void run(EventCursor& cursor, Counts& tally) {
    for (Slot& slot : slots_) ask(slot, cursor);
    while (waiting_ > 0) {
      int const n = epoll_wait(epoll_, events_, kEventsAtOnce, -1);
      if (n < 0 && errno != EINTR) fail("epoll_wait");
      for (int i = 0; i < n; ++i) {
        Slot& slot = *static_cast<Slot*>(events_[i].data.ptr);
        auto const reply = slot.connection.receive(stream_, buffer_);
        if (reply.empty()) continue;
        stream_.accept(slot.event, reply, tally);
        --waiting_;
        ask(slot, cursor);
      }
    }
  }

 private:
  struct Slot {
    explicit Slot(Connection&& c) : connection(std::move(c)) {}
    Connection connection;
    std::uint64_t event = 0;
  };
  static constexpr int kEventsAtOnce = 256;

  void ask(Slot& slot, EventCursor& cursor) {
    auto const event = cursor.take();
    if (!event) return;
    slot.event = *event;
    slot.connection.send(stream_, *event);
    ++waiting_;
  }
  [[noreturn]] static void fail(char const* what) {
    throw std::system_error(errno, std::generic_category(), what);
  }

  LookupStream const& stream_;
  int epoll_;
  std::vector<Slot> slots_;
  std::size_t waiting_ = 0;
  epoll_event events_[kEventsAtOnce];
  ReceiveBuffer buffer_;
};

template <class Loop>
Counts look_up_with(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<std::unique_ptr<Loop>> loops(static_cast<std::size_t>(setup.workers));
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  EventCursor cursor(stream.events());
  return run_split(
      setup, watch, tallies,
      [&](int w) {
        loops[static_cast<std::size_t>(w)] =
            std::make_unique<Loop>(stream, share_of_in_flight(setup.in_flight, setup.workers, w));
      },
      [&](int w) {
        try {
          loops[static_cast<std::size_t>(w)]->run(cursor, tallies[static_cast<std::size_t>(w)]);
        } catch (...) {
          cursor.stop();
          throw;
        }
      });
}

}  // namespace

Counts limit_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  return setup.io == Io::io_uring ? look_up_with<BareRingLoop>(stream, setup, watch)
                                  : look_up_with<BareLoop>(stream, setup, watch);
}

}  // namespace tally
