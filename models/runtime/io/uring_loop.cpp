#include "models/runtime/io/uring_loop.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace tally {
namespace {

// A tag is kind, slot and generation, from the lowest bits on.
constexpr unsigned kKindBits = 2, kSlotBits = 30;

}  // namespace

UringLoop::UringLoop(ReceiveBuffers buffers) : ring_(buffers), held_(buffers.count) {}

std::uint64_t UringLoop::tag(Kind kind, std::uint32_t slot) const noexcept {
  return static_cast<std::uint64_t>(kind) | std::uint64_t{slot} << kKindBits |
         std::uint64_t{slots_[slot].generation} << (kKindBits + kSlotBits);
}

void UringLoop::add(ReadyHandler& handler, Wanted wanted) {
  if (free_.empty()) {
    slots_.emplace_back();
    free_.push_back(static_cast<std::uint32_t>(slots_.size() - 1));
  }
  std::uint32_t const index = free_.back();
  free_.pop_back();
  Slot& slot = slots_[index];
  slot.handler = &handler;
  slot.fd = handler.fd;
  slot.wanted = wanted;
  slot.watched = true;
  handler.slot = index;
  want(index);
}

void UringLoop::resume(ReadyHandler& handler) {
  Slot& slot = slots_[handler.slot];
  slot.watched = true;
  if (slot.anything()) make_due(handler.slot);
  want(handler.slot);
}

void UringLoop::forget(ReadyHandler const& handler) noexcept {
  std::uint32_t const index = handler.slot;
  Slot& slot = slots_[index];
  if (slot.handler != &handler) return;
  bool const under_way = slot.armed;
  if (under_way) cancel(index);
  drop_held(slot);
  slot.handler = nullptr;
  ++slot.generation;
  slot.watched = slot.armed = slot.ready = slot.ended = false;
  slot.error = 0;
  free_.push_back(index);
  // At once: until then the kernel holds the descriptor open, whoever closes it.
  if (under_way && mine() && ring_.begun()) ring_.submit();
}

void UringLoop::run_once(std::optional<std::chrono::nanoseconds> timeout) {
  give_back_lent();
  ring_.begin();
  arm_all();
  // Handlers that have left something to receive are told again, as of a level-triggered descriptor; but
  // those that have received it since, such as fibers, which run later than they are told, are not.
  due_.erase(due_.begin(), due_.begin() + static_cast<std::ptrdiff_t>(told_));
  told_ = 0;
  std::erase_if(due_, [this](std::uint32_t index) {
    Slot& slot = slots_[index];
    slot.due = slot.handler != nullptr && slot.watched && slot.anything();
    return !slot.due;
  });
  ring_.wait(due_.empty() ? timeout : std::chrono::nanoseconds(0));
  reap();
  tell();
}

Received UringLoop::receive(std::uint32_t index, std::size_t most) {
  give_back_lent();
  Slot& slot = slots_[index];
  std::uint32_t const buffer = slot.first;
  if (buffer == kNone) {
    if (!slot.ended) return {.error = EAGAIN};
    return {.error = slot.error};
  }
  Held& held = held_[buffer];
  std::size_t const size = std::min<std::size_t>(most, held.end - held.begin);
  Received const received{.bytes = {ring_.buffer(buffer) + held.begin, size}};
  held.begin += static_cast<std::uint32_t>(size);
  if (held.begin == held.end) {
    slot.first = held.next;
    if (slot.first == kNone) slot.last = kNone;
    lent_ = buffer;
  }
  return received;
}

bool UringLoop::send(std::uint32_t index, std::span<char const> bytes) {
  // First: from another thread, not even the slots are to be looked at.
  if (!mine()) return false;
  Slot& slot = slots_[index];
  if (bytes.size() > slot.request.size()) return false;
  ring_.begin();
  io_uring_sqe* const request = ring_.next();
  if (request == nullptr) return false;
  std::memcpy(slot.request.data(), bytes.data(), bytes.size());
  // All of it, or it has failed; only then there is a completion.
  io_uring_prep_send(request, slot.fd, slot.request.data(), bytes.size(), MSG_NOSIGNAL | MSG_WAITALL);
  request->flags |= IOSQE_CQE_SKIP_SUCCESS;
  request->user_data = tag(Kind::send, index);
  return true;
}

bool UringLoop::more(std::uint32_t index) const noexcept {
  Slot const& slot = slots_[index];
  return slot.ended || slot.first != kNone;
}

void UringLoop::settle(std::uint32_t index) {
  Slot& slot = slots_[index];
  slot.watched = false;
  // The cancelling has a completion of its own, so that each turn ends. It fails where the receive has just
  // ended.
  while (slot.armed) {
    cancel(index);
    ring_.wait(std::nullopt);
    reap();
  }
}

/// Its receive or poll is to be with the kernel.
void UringLoop::want(std::uint32_t index) {
  Slot& slot = slots_[index];
  if (slot.to_arm || slot.armed || slot.ended || slot.ready) return;
  slot.to_arm = true;
  to_arm_.push_back(index);
}

void UringLoop::make_due(std::uint32_t index) {
  if (std::exchange(slots_[index].due, true)) return;
  due_.push_back(index);
}

void UringLoop::arm_all() {
  std::size_t done = 0;
  for (; done < to_arm_.size(); ++done) {
    std::uint32_t const index = to_arm_[done];
    Slot& slot = slots_[index];
    if (slot.handler != nullptr && slot.watched && !slot.armed && !slot.ended) {
      io_uring_sqe* const request = ring_.next();
      if (request == nullptr) break;  // in the next turn
      if (slot.wanted == Wanted::bytes)
        Uring::prepare_receive(request, slot.fd);
      else
        io_uring_prep_poll_add(request, slot.fd, POLLIN);
      request->user_data = tag(Kind::arrival, index);
      slot.armed = true;
    }
    slot.to_arm = false;
  }
  to_arm_.erase(to_arm_.begin(), to_arm_.begin() + static_cast<std::ptrdiff_t>(done));
}

/// Asks for what is with the kernel to be ended; if the ring is full, nothing is asked for.
void UringLoop::cancel(std::uint32_t index) noexcept {
  io_uring_sqe* const request = ring_.next();
  if (request == nullptr) return;
  io_uring_prep_cancel64(request, tag(Kind::arrival, index), 0);
  request->user_data = tag(Kind::cancel, index);
}

void UringLoop::reap() {
  ring_.reap([this](io_uring_cqe const& completion) { complete(completion); });
}

void UringLoop::complete(io_uring_cqe const& completion) {
  auto const kind = static_cast<Kind>(completion.user_data & ((1U << kKindBits) - 1));
  auto const index = static_cast<std::uint32_t>(completion.user_data >> kKindBits & ((1U << kSlotBits) - 1));
  auto const generation = static_cast<std::uint32_t>(completion.user_data >> (kKindBits + kSlotBits));
  bool const of_nobody = slots_[index].generation != generation;
  if (Uring::has_buffer(completion) && (of_nobody || completion.res <= 0))
    ring_.give_back(Uring::buffer_of(completion));
  if (of_nobody || kind == Kind::cancel) return;
  if (kind == Kind::arrival) return arrived(index, completion);
  // What could not be sent is never answered: who waits for that is told.
  Slot& slot = slots_[index];
  if (completion.res >= 0 || slot.ended) return;
  slot.ended = true;
  slot.error = -completion.res;
  make_due(index);
}

void UringLoop::arrived(std::uint32_t index, io_uring_cqe const& completion) {
  Slot& slot = slots_[index];
  bool const last = (completion.flags & IORING_CQE_F_MORE) == 0;
  if (last) slot.armed = false;
  // Not of the socket: there was no buffer left, or it was cancelled, and is wanted again by now.
  bool const again = completion.res == -ENOBUFS || completion.res == -ECANCELED || completion.res == -EINTR ||
                     completion.res == -EAGAIN;
  if (!again && slot.wanted == Wanted::readiness) {
    slot.ready = true;
  } else if (completion.res > 0) {
    std::uint32_t const buffer = Uring::buffer_of(completion);
    held_[buffer] = {.end = static_cast<std::uint32_t>(completion.res)};
    (slot.first == kNone ? slot.first : held_[slot.last].next) = buffer;
    slot.last = buffer;
  } else if (!again && !slot.ended) {
    slot.ended = true;
    slot.error = -completion.res;
  }
  if (slot.anything()) make_due(index);
  if (last && slot.watched) want(index);
}

void UringLoop::tell() {
  // Those that are made due meanwhile have their turn after this one.
  for (std::size_t const end = due_.size(); told_ < end;) {
    std::uint32_t const index = due_[told_++];
    Slot& slot = slots_[index];
    slot.due = false;
    if (slot.handler == nullptr || !slot.watched || !slot.anything()) continue;
    std::uint32_t const generation = slot.generation;
    slot.ready = false;
    bool const wants_more = slot.handler->on_readable(*slot.handler);
    if (slot.generation != generation) continue;  // by now there may be another handler, or none
    if (!wants_more) {
      slot.watched = false;
      if (slot.armed) cancel(index);
    } else if (slot.wanted == Wanted::readiness) {
      want(index);
    } else if (slot.anything()) {
      make_due(index);
    }
  }
}

void UringLoop::drop_held(Slot& slot) noexcept {
  for (std::uint32_t buffer = slot.first; buffer != kNone; buffer = held_[buffer].next)
    ring_.give_back(buffer);
  slot.first = slot.last = kNone;
}

void UringLoop::give_back_lent() noexcept {
  if (lent_ != kNone) ring_.give_back(std::exchange(lent_, kNone));
}

}  // namespace tally
