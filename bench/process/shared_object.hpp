// One object that several processes see.
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <memory>
#include <system_error>
#include <type_traits>

namespace tally {

/// A T in memory that processes forked from now on share with this one: what either writes, the other reads.
/// Zeroed at first, which must be a T's beginning; nothing of it is constructed or destroyed.
template <class T>
class SharedObject {
 public:
  /// Maps it. Throws std::system_error that says `what` it was wanted for.
  explicit SharedObject(char const* what) {
    static_assert(std::is_trivially_destructible_v<T>);
    void* const memory =
        ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), what);
    object_.reset(static_cast<T*>(memory));
  }

  T* get() const noexcept { return object_.get(); }
  T* operator->() const noexcept { return object_.get(); }
  T& operator*() const noexcept { return *object_; }

 private:
  struct Unmap {
    void operator()(T* object) const noexcept { ::munmap(object, sizeof(T)); }
  };
  std::unique_ptr<T, Unmap> object_;
};

}  // namespace tally
