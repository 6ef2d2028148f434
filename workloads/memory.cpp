#include "workloads/memory.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <new>
#include <utility>

namespace tally {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

constexpr std::size_t whole_pages(std::size_t bytes) noexcept {
  return (bytes + kHugePage - 1) / kHugePage * kHugePage;
}

}  // namespace

SharedPages::SharedPages(std::size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  if (bytes > SIZE_MAX - 2 * kHugePage) throw std::bad_alloc();
  // mmap aligns to small pages only: one huge page too many is taken, and what sticks out is given back.
  std::size_t const length = whole_pages(bytes);
  void* const mapped =
      mmap(nullptr, length + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  auto* const begin = static_cast<std::byte*>(mapped);
  std::size_t const misaligned = reinterpret_cast<std::uintptr_t>(begin) % kHugePage;
  std::size_t const before = misaligned == 0 ? 0 : kHugePage - misaligned;
  if (before != 0) munmap(begin, before);
  munmap(begin + before + length, kHugePage - before);
  data_ = begin + before;
  // Refused where huge pages are switched off; small ones then serve as well, only slower.
  (void)madvise(data_, length, MADV_HUGEPAGE);
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

}  // namespace tally
