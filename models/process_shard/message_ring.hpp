// A ring of messages in memory that two processes share.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <vector>

#include "models/process_shard/shared_futex.hpp"
#include "workloads/stream.hpp"

namespace tally {

/// Takes messages from one process, the sender, to one other, the receiver: the range of a batch and its
/// events' bytes. Made before fork(2). The bytes are mapped twice, one behind the other, so that a message is
/// never in two pieces.
class MessageRing {
 public:
  static constexpr std::size_t kBytes = std::size_t{32} << 10;

  /// The sender sleeps on `sender_sleeps`, a word that is shared too and outlives the ring, when no ring of
  /// its has room. Throws std::system_error.
  explicit MessageRing(SharedWord& sender_sleeps);
  ~MessageRing();
  MessageRing(MessageRing const&) = delete;
  MessageRing& operator=(MessageRing const&) = delete;

  // The sender's side.

  /// Sends the batch if there is room for it now. A batch of more than half the ring goes in pieces: then
  /// this waits for room for each, and `while_waiting` is called now and then.
  template <class WhileWaiting>
  bool try_send(CpuStream const& stream, Range batch, WhileWaiting&& while_waiting) {
    std::size_t const bytes = stream.message_bytes(batch);
    if (padded(bytes) > kInOne) {
      if (!half_empty()) return false;
      send_in_pieces(stream, batch, bytes, while_waiting);
      return true;
    }
    std::byte* const at = room_for(sizeof(Header) + padded(bytes));
    if (at == nullptr) return false;
    new (at) Header{batch, bytes};
    stream.write_message(batch, at + sizeof(Header));
    sent_ += sizeof(Header) + padded(bytes);
    if (++messages_ % kSentAtOnce == 0) show_sent();
    if (messages_ % kSentPerWake == 0) wake_receiver();
    return true;
  }
  /// No more messages will come. Waits for room as try_send() does.
  template <class WhileWaiting>
  void close(WhileWaiting&& while_waiting) {
    std::byte* at = nullptr;
    while ((at = room_for(sizeof(Header))) == nullptr) wait_for_room(while_waiting);
    new (at) Header{{}, 0};
    sent(sizeof(Header));
    wake_receiver();
  }
  /// Lets the receiver see what was sent, and wakes it if it sleeps. What try_send() took may not be seen
  /// before.
  void wake_receiver() noexcept;
  /// Whether any batch that is sent in one can be sent now.
  bool half_empty() noexcept;
  /// Sleeps on the word until a receiver has made room, or a tenth of a second: nobody wakes it for a
  /// receiver that has died. The word must be 1, set before it was seen that no ring is half empty.
  static void sleep_for_room(SharedWord& sender_sleeps) noexcept;

  // The receiver's side.

  /// Counts what comes into `tally` until the ring is closed. Throws what counting throws.
  void count_all(CpuStream const& stream, Counts& tally);

 private:
  struct Header {
    Range batch;  // empty: the last message
    std::uint64_t bytes;
  };
  /// Both ends' positions, in bytes that were ever sent and received.
  struct Control {
    alignas(64) std::atomic<std::uint64_t> sent{0};
    alignas(64) std::atomic<std::uint64_t> received{0};
    alignas(64) SharedWord receiver_sleeps{0};
  };
  static constexpr std::size_t kInOne = kBytes / 2 - sizeof(Header);
  /// Messages that the receiver sees at once: one by one, the two would write to the same cache lines for
  /// every message.
  static constexpr std::uint64_t kSentAtOnce = 16;
  /// Messages sent between two looks whether the receiver sleeps: those that it will have to do when it
  /// comes.
  static constexpr std::uint64_t kSentPerWake = 256;

  static constexpr std::size_t padded(std::size_t bytes) noexcept { return (bytes + 7) / 8 * 8; }
  std::byte* at(std::uint64_t position) const noexcept { return bytes_ + position % kBytes; }

  std::byte* room_for(std::size_t bytes) noexcept {
    if (sent_ + bytes - received_seen_ > kBytes) {
      received_seen_ = control_->received.load(std::memory_order_acquire);
      if (sent_ + bytes - received_seen_ > kBytes) return nullptr;
    }
    return at(sent_);
  }
  void sent(std::size_t bytes) noexcept {
    sent_ += bytes;
    show_sent();
  }
  void show_sent() noexcept { control_->sent.store(sent_, std::memory_order_release); }
  template <class WhileWaiting>
  void wait_for_room(WhileWaiting&& while_waiting) {
    wake_receiver();
    sender_sleeps_.store(1, std::memory_order_seq_cst);
    if (!half_empty()) sleep_for_room(sender_sleeps_);
    sender_sleeps_.store(0, std::memory_order_relaxed);
    while_waiting();
  }
  template <class WhileWaiting>
  void send_in_pieces(CpuStream const& stream, Range batch, std::size_t bytes, WhileWaiting&& while_waiting) {
    std::vector<std::byte> message(padded(bytes));
    stream.write_message(batch, message.data());
    new (at(sent_)) Header{batch, bytes};
    sent(sizeof(Header));
    for (std::size_t done = 0; done < message.size();) {
      std::size_t const piece = std::min(message.size() - done, kInOne);
      std::byte* to = nullptr;
      while ((to = room_for(piece)) == nullptr) wait_for_room(while_waiting);
      std::memcpy(to, message.data() + done, piece);
      sent(piece);
      done += piece;
    }
    wake_receiver();
  }
  void wait_for_bytes(std::size_t bytes) noexcept;
  void wake_sender() noexcept;
  void received(std::size_t bytes) noexcept;

  SharedWord& sender_sleeps_;
  Control* control_;
  std::byte* bytes_;
  // Each process has its own.
  std::uint64_t sent_ = 0, received_seen_ = 0, messages_ = 0;
  std::uint64_t received_ = 0, sent_seen_ = 0;
};

}  // namespace tally
