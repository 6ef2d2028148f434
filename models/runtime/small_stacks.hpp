// Stacks for threads that are many, and mostly wait.
#pragma once

#include <pthread.h>

#include <cstddef>

namespace tally {

/// While it lives, new threads get stacks of this size: one that waits in recv(2) needs little, and thousands
/// at the default of 8 MiB would reserve more address space than many machines grant.
class SmallStacks {
 public:
  SmallStacks() {
    pthread_getattr_default_np(&before_);
    pthread_attr_t small;
    pthread_getattr_default_np(&small);
    pthread_attr_setstacksize(&small, kBytes);
    pthread_setattr_default_np(&small);
    pthread_attr_destroy(&small);
  }
  ~SmallStacks() {
    pthread_setattr_default_np(&before_);
    pthread_attr_destroy(&before_);
  }
  SmallStacks(SmallStacks const&) = delete;
  SmallStacks& operator=(SmallStacks const&) = delete;

 private:
#ifdef TALLY_THREAD_SANITIZER
  static constexpr std::size_t kBytes =
      8 * 1024 * 1024;  // ThreadSanitizer keeps more than the others' stack in each
#else
  static constexpr std::size_t kBytes = 256 * 1024;
#endif
  pthread_attr_t before_;
};

}  // namespace tally
