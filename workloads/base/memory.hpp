// Memory for events: private huge pages where the kernel gives them, so that forked children read it without
// faults.
#pragma once

#include <cstddef>

namespace tally {

/// Anonymous private pages, zeroed, 2 MiB aligned, with huge pages asked for (madvise). Children of fork(2)
/// share them until written; with huge pages the page table that fork copies is small.
class SharedPages {
 public:
  SharedPages() = default;
  /// Throws std::bad_alloc when the kernel refuses.
  explicit SharedPages(std::size_t bytes);
  /// Leaves `other` empty.
  SharedPages(SharedPages&& other) noexcept;
  /// Gives `other` what this held.
  SharedPages& operator=(SharedPages&& other) noexcept;
  ~SharedPages();

  /// Makes it `bytes` long, keeping what is there up to that; moves pages, copies nothing, so never needs
  /// both sizes at once. data() may change. What is added is zero, unless it was cut off by an earlier
  /// resize(). Throws std::bad_alloc when the kernel refuses, and leaves all as it was.
  void resize(std::size_t bytes);

  /// Whether processes forked from now on have these pages. A kernel that cannot leave them out leaves all as
  /// it is.
  void share_with_children(bool shared) noexcept;

  void* data() const noexcept { return data_; }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace tally
