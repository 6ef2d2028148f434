#include "workloads/base/memory.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <new>
#include <utility>

namespace tally {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

/// `bytes` rounded up to huge pages. Throws std::bad_alloc where no address space could hold them.
std::size_t whole_pages(std::size_t bytes) {
  if (bytes > SIZE_MAX - 2 * kHugePage) throw std::bad_alloc();
  return (bytes + kHugePage - 1) / kHugePage * kHugePage;
}

/// `length` bytes at a multiple of the huge page. Throws std::bad_alloc.
void* map_aligned(std::size_t length) {
  // mmap aligns to small pages only: one huge page too many is taken, and what sticks out is given back.
  void* const mapped =
      mmap(nullptr, length + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  auto* const begin = static_cast<std::byte*>(mapped);
  std::size_t const misaligned = reinterpret_cast<std::uintptr_t>(begin) % kHugePage;
  std::size_t const before = misaligned == 0 ? 0 : kHugePage - misaligned;
  if (before != 0) munmap(begin, before);
  munmap(begin + before + length, kHugePage - before);
  // Refused where huge pages are switched off; small ones then serve as well, only slower.
  (void)madvise(begin + before, length, MADV_HUGEPAGE);
  return begin + before;
}

}  // namespace

SharedPages::SharedPages(std::size_t bytes)
    : data_(bytes == 0 ? nullptr : map_aligned(whole_pages(bytes))), bytes_(bytes) {}

void SharedPages::resize(std::size_t bytes) {
  if (data_ == nullptr || bytes == 0) {
    *this = SharedPages(bytes);
    return;
  }
  std::size_t const old_length = whole_pages(bytes_);
  std::size_t const new_length = whole_pages(bytes);
  if (new_length < old_length) {
    munmap(static_cast<std::byte*>(data_) + new_length, old_length - new_length);
  } else if (new_length > old_length) {
    // Onto an aligned address of our choosing, so that huge pages move as they are.
    void* const target = map_aligned(new_length);
    if (mremap(data_, old_length, new_length, MREMAP_MAYMOVE | MREMAP_FIXED, target) == MAP_FAILED) {
      munmap(target, new_length);
      throw std::bad_alloc();
    }
    data_ = target;
  }
  bytes_ = bytes;
}

SharedPages::SharedPages(SharedPages&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

SharedPages& SharedPages::operator=(SharedPages&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

SharedPages::~SharedPages() {
  if (data_ != nullptr) munmap(data_, whole_pages(bytes_));
}

void SharedPages::share_with_children(bool shared) noexcept {
  if (data_ != nullptr) (void)madvise(data_, whole_pages(bytes_), shared ? MADV_DOFORK : MADV_DONTFORK);
}

}  // namespace tally
