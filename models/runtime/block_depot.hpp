// Blocks of memory of one size that are taken on one thread and given back on another.
#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace tally {

/// Where the caches of several threads exchange free blocks, many at a time (Bonwick & Adams, "Magazines and
/// Vmem", USENIX ATC 2001). Memory that was once allocated is used again, and freed by whoever gave the
/// allocator.
class BlockDepot {
 public:
  using Blocks = std::vector<void*>;
  /// Blocks that go between a cache and the depot at once.
  static constexpr std::size_t kMagazine = 64;

  /// `allocate(blocks)` adds up to kMagazine new blocks, at least one; it may throw, and is called by one
  /// thread at a time.
  explicit BlockDepot(std::function<void(Blocks&)> allocate) : allocate_(std::move(allocate)) {}

  /// For threads without a cache. Throws what the allocator throws.
  void* take() {
    std::scoped_lock const lock(mutex_);
    if (single_.empty()) refill(single_);
    void* const block = single_.back();
    single_.pop_back();
    return block;
  }
  void give_back(void* block) noexcept {
    std::scoped_lock const lock(mutex_);
    single_.push_back(block);
  }

  /// A thread's own free blocks. They go back to the depot with it.
  class Cache {
   public:
    explicit Cache(BlockDepot& depot) : depot_(depot) { free_.reserve(2 * kMagazine); }
    ~Cache() { depot_.empty(free_, free_.size()); }
    Cache(Cache const&) = delete;
    Cache& operator=(Cache const&) = delete;

    /// A block, the last that was given back here if there is one. Throws what the allocator throws.
    void* take() {
      if (free_.empty()) depot_.fill(free_);
      void* const block = free_.back();
      free_.pop_back();
      return block;
    }
    /// A block from any cache of this depot.
    void give_back(void* block) noexcept {
      if (free_.size() == 2 * kMagazine) depot_.empty(free_, kMagazine);
      free_.push_back(block);  // has room
    }

   private:
    BlockDepot& depot_;
    Blocks free_;
  };

 private:
  void fill(Blocks& free) {
    std::scoped_lock const lock(mutex_);
    refill(free);
  }
  /// Under the lock.
  void refill(Blocks& free) {
    if (full_.empty()) return allocate_(free);
    free.insert(free.end(), full_.back().begin(), full_.back().end());
    full_.pop_back();
  }
  void empty(Blocks& free, std::size_t blocks) noexcept {
    if (blocks == 0) return;
    // Those that were given back longest ago: the others are in this core's cache.
    auto const end = free.begin() + static_cast<std::ptrdiff_t>(blocks);
    std::scoped_lock const lock(mutex_);
    full_.emplace_back(free.begin(), end);
    free.erase(free.begin(), end);
  }

  std::mutex mutex_;
  std::function<void(Blocks&)> allocate_;
  std::vector<Blocks> full_;
  Blocks single_;
};

}  // namespace tally
