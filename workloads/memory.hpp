// Memory for events: private huge pages where the kernel gives them, so that forked children read it without faults.
#pragma once

#include <cstddef>

namespace tally {

/// Anonymous private pages, zeroed, 2 MiB aligned, with huge pages asked for (madvise). Children of fork(2) share them
/// until written; with huge pages the page table that fork copies is small.
class SharedPages {
 public:
  SharedPages() = default;
  /// Throws std::bad_alloc when the kernel refuses.
  explicit SharedPages(std::size_t bytes);
  SharedPages(SharedPages&& other) noexcept;
  SharedPages& operator=(SharedPages&& other) noexcept;
  ~SharedPages();

  void* data() const noexcept { return data_; }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace tally
