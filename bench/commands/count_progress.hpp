// How far `tally count` has come, on a terminal.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

namespace tally {

/// A line on standard error, written over some times a second, if that is a terminal: bytes counted, how
/// fast, and where the file's size is known, the share of it and the time left. It is whoever counts that
/// writes it, so that no thread is needed beside a model that forks.
class CountProgress {
 public:
  /// `file_bytes`: the size of the file as it lies there; 0 if nobody knows. Writes nothing unless `wanted`.
  /// Throws std::bad_alloc.
  CountProgress(bool wanted, std::uint64_t file_bytes);
  /// Leaves the terminal's line empty.
  ~CountProgress();
  CountProgress(CountProgress const&) = delete;
  CountProgress& operator=(CountProgress const&) = delete;

  /// So many more bytes were counted. Any thread, and any process forked since.
  void counted(std::uint64_t bytes) noexcept;
  /// So many bytes of the file were read: other than were counted, where it is compressed. Until the first
  /// call, they are taken to be as many.
  void file_read(std::uint64_t bytes) noexcept;

 private:
  struct Shared {
    std::atomic<std::uint64_t> counted{0}, read{0};
    std::atomic<std::int64_t> written_ns{0};  // after the beginning
  };
  struct Unmap {
    void operator()(Shared* shared) const noexcept;
  };
  void write(std::chrono::nanoseconds taken) const noexcept;

  std::unique_ptr<Shared, Unmap> shared_;  // null: nothing is written
  std::uint64_t file_bytes_;
  std::chrono::steady_clock::time_point began_;
};

}  // namespace tally
