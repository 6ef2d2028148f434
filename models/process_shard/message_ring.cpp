#include "models/process_shard/message_ring.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "models/runtime/spin.hpp"
#include "workloads/base/errno_failure.hpp"
#include "workloads/base/owned_fd.hpp"

namespace tally {
namespace {

constexpr std::size_t kControlBytes = 4096;

void* map(void* where, std::size_t bytes, int fd, std::size_t offset) {
  void* const memory =
      mmap(where, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE | (where ? MAP_FIXED : 0), fd,
           static_cast<off_t>(offset));
  if (memory == MAP_FAILED) fail_with_errno("no shared memory for messages");
  return memory;
}

}  // namespace

MessageRing::MessageRing(SharedWord& sender_sleeps) : sender_sleeps_(sender_sleeps) {
  OwnedFd const file(memfd_create("tally-messages", MFD_CLOEXEC));
  if (file.get() < 0 || ftruncate(file.get(), kControlBytes + kBytes) != 0)
    fail_with_errno("no shared memory for messages");
  // Room for both mappings, which are then put there.
  void* const room = mmap(nullptr, kControlBytes + 2 * kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) fail_with_errno("no shared memory for messages");
  bytes_ = static_cast<std::byte*>(room) + kControlBytes;
  try {
    map(room, kControlBytes + kBytes, file.get(), 0);
    map(bytes_ + kBytes, kBytes, file.get(), kControlBytes);
  } catch (...) {
    munmap(room, kControlBytes + 2 * kBytes);
    throw;
  }
  control_ = new (room) Control;
}

MessageRing::~MessageRing() { munmap(control_, kControlBytes + 2 * kBytes); }

void MessageRing::wake_receiver() noexcept {
  show_sent();
  // The messages before the look: pairs with wait_for_bytes().
  std::atomic_thread_fence(std::memory_order_seq_cst);
  // The waker clears the mark: until the receiver runs, later messages do not repeat the system call.
  if (control_->receiver_sleeps.load(std::memory_order_relaxed) == 0) return;
  control_->receiver_sleeps.store(0, std::memory_order_release);
  futex_wake_all(control_->receiver_sleeps);
}

bool MessageRing::half_empty() noexcept {
  received_seen_ = control_->received.load(std::memory_order_seq_cst);
  return sent_ - received_seen_ <= kBytes / 2;
}

void MessageRing::sleep_for_room(SharedWord& sender_sleeps) noexcept {
  constexpr timespec kLook{.tv_sec = 0, .tv_nsec = 100'000'000};
  futex_wait(sender_sleeps, 1, &kLook);
}

void MessageRing::wait_for_bytes(std::size_t bytes) noexcept {
  auto const there = [&] {
    sent_seen_ = control_->sent.load(std::memory_order_acquire);
    return sent_seen_ - received_ >= bytes;
  };
  if (sent_seen_ - received_ >= bytes || there()) return;
  do {
    // Empty: what was seen of the ring may have hidden that it became half empty.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    wake_sender();
    if (spin_until(there)) return;
    control_->receiver_sleeps.store(1, std::memory_order_seq_cst);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (there())
      control_->receiver_sleeps.store(0, std::memory_order_relaxed);
    else
      futex_wait(control_->receiver_sleeps, 1, nullptr);
  } while (!there());
}

void MessageRing::wake_sender() noexcept {
  if (sender_sleeps_.load(std::memory_order_relaxed) == 0) return;
  sender_sleeps_.store(0, std::memory_order_release);
  futex_wake_all(sender_sleeps_);
}

void MessageRing::received(std::size_t bytes) noexcept {
  bool const was_half_empty = sent_seen_ - received_ <= kBytes / 2;
  received_ += bytes;
  control_->received.store(received_, std::memory_order_release);
  if (was_half_empty || sent_seen_ - received_ > kBytes / 2) return;
  // Room before the look: pairs with wait_for_room().
  std::atomic_thread_fence(std::memory_order_seq_cst);
  wake_sender();
}

void MessageRing::count_all(CpuStream const& stream, Counts& tally) {
  std::vector<std::byte> assembled;
  for (;;) {
    wait_for_bytes(sizeof(Header));
    Header const header = *std::launder(reinterpret_cast<Header const*>(at(received_)));
    if (header.batch.empty()) return;
    if (padded(header.bytes) <= kInOne) {
      // Sent in one: it is there.
      std::byte const* const message = at(received_) + sizeof(Header);
      stream.count_message(header.batch, {message, header.bytes}, tally);
      received(sizeof(Header) + padded(header.bytes));
      continue;
    }
    received(sizeof(Header));
    assembled.resize(padded(header.bytes));
    for (std::size_t done = 0; done < assembled.size();) {
      wait_for_bytes(1);
      std::size_t const piece = std::min<std::size_t>(assembled.size() - done, sent_seen_ - received_);
      std::memcpy(assembled.data() + done, at(received_), piece);
      received(piece);
      done += piece;
    }
    stream.count_message(header.batch, {assembled.data(), header.bytes}, tally);
  }
}

}  // namespace tally
