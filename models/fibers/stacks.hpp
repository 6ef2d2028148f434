// Stacks of fibers that come and go by the million.
#pragma once

#include <sys/mman.h>

#include <boost/context/stack_context.hpp>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <vector>

#include "models/runtime/block_depot.hpp"

namespace tally {

/// Stacks that are used again, the last one first, by whichever worker comes next: one from mmap(2) and back
/// costs 3 us. Each has a guard page below it. Their tops, which is what a fiber of a few calls touches, are
/// set apart by some cache lines: at the same place of every page, all of them would share a few sets of the
/// first-level cache.
class PooledStacks {
 public:
  /// Enough for what a stream's counting calls, exceptions included; of it only what is touched is resident.
  static constexpr std::size_t kBytes = std::size_t{64} << 10;

  PooledStacks() = default;
  PooledStacks(PooledStacks const&) = delete;
  PooledStacks& operator=(PooledStacks const&) = delete;
  ~PooledStacks() {
    for (void* const slab : slabs_) munmap(slab, kSlabBytes);
  }

  /// A thread's own free stacks.
  using Cache = BlockDepot::Cache;
  BlockDepot& depot() noexcept { return depot_; }
  /// Has `stacks` of them in the cache's depot, their first pages resident.
  static void prepare(Cache& cache, std::size_t stacks) {
    std::vector<void*> taken(stacks);
    for (void*& stack : taken) {
      stack = cache.take();
      static_cast<std::byte volatile*>(stack)[kBytes - 1] = std::byte{0};
    }
    for (void* const stack : taken) cache.give_back(stack);
  }

  /// As Boost.Context wants it: hands out and takes back stacks of the `cache` that this thread uses.
  class Allocator {
   public:
    explicit Allocator(PooledStacks& stacks) : stacks_(&stacks) {}
    boost::context::stack_context allocate() {
      boost::context::stack_context stack;
      void* const block = cache != nullptr ? cache->take() : stacks_->depot_.take();
      stack.size = kBytes - apart(block);
      stack.sp = static_cast<std::byte*>(block) + stack.size;
      return stack;
    }
    void deallocate(boost::context::stack_context& stack) noexcept {
      void* const block = static_cast<std::byte*>(stack.sp) - stack.size;
      if (cache != nullptr)
        cache->give_back(block);
      else
        stacks_->depot_.give_back(block);
    }

   private:
    PooledStacks* stacks_;
  };
  /// Of this thread; null where it has none.
  static inline thread_local Cache* cache = nullptr;

 private:
  static constexpr std::size_t kGuardBytes = 4096;
  /// How far below its block's end a stack begins: one of 16 places, 256 bytes from each other.
  static std::size_t apart(void* block) noexcept {
    return reinterpret_cast<std::uintptr_t>(block) / (kBytes + kGuardBytes) % 16 * 256;
  }
  static constexpr std::size_t kSlabBytes = BlockDepot::kMagazine * (kBytes + kGuardBytes);

  void allocate(BlockDepot::Blocks& blocks) {
    slabs_.reserve(slabs_.size() + 1);
    void* const slab =
        mmap(nullptr, kSlabBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slab == MAP_FAILED)
      throw std::system_error(errno, std::generic_category(), "no memory for fibers' stacks");
    slabs_.push_back(slab);
    for (std::size_t i = 0; i < BlockDepot::kMagazine; ++i) {
      std::byte* const guard = static_cast<std::byte*>(slab) + i * (kBytes + kGuardBytes);
      if (mprotect(guard, kGuardBytes, PROT_NONE) != 0)
        throw std::system_error(errno, std::generic_category(), "no guard page for a fiber's stack");
      blocks.push_back(guard + kGuardBytes);
    }
  }

  std::vector<void*> slabs_;
  BlockDepot depot_{[this](BlockDepot::Blocks& blocks) { allocate(blocks); }};
};

}  // namespace tally
