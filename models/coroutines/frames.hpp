// Frames of coroutines that come and go by the million.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

#include "models/runtime/block_depot.hpp"

namespace tally {

/// Frames that are used again, the last one first, by whichever worker comes next. One from malloc and back
/// to it costs as much as all else of a task, where another thread frees it.
class Frames {
 public:
  /// No coroutine that is made of these may need more.
  static constexpr std::size_t kBytes = 256;

  using Cache = BlockDepot::Cache;
  BlockDepot& depot() noexcept { return depot_; }
  /// Of this thread. Must be set while coroutines of these frames are made and end on it.
  static inline thread_local Cache* cache = nullptr;

  /// A promise_type that is derived from this has its frame here.
  struct Promise {
    static void* operator new(std::size_t bytes) {
      if (bytes > kBytes) throw std::bad_alloc();
      return cache->take();
    }
    static void operator delete(void* frame) noexcept { cache->give_back(frame); }
  };

 private:
  struct alignas(64) Frame {
    std::byte bytes[kBytes];
  };
  std::vector<std::unique_ptr<Frame[]>> slabs_;
  BlockDepot depot_{[this](BlockDepot::Blocks& blocks) {
    Frame* const slab = slabs_.emplace_back(std::make_unique<Frame[]>(BlockDepot::kMagazine)).get();
    for (std::size_t i = 0; i < BlockDepot::kMagazine; ++i) blocks.push_back(&slab[i]);
  }};
};

}  // namespace tally
