// What a thread pool queues: a function to call once, with all that it needs.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace tally {

/// A move-only function object without heap memory (C++23's std::move_only_function is not in libstdc++ 12):
/// what it captures lies within. Called at most once; then it is empty.
template <class Argument>
class Closure {
 public:
  /// What a function may capture. With a queue's 8 bytes beside it, a closure fills a cache line.
  static constexpr std::size_t kCaptured = 48;

  Closure() noexcept = default;
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, Closure>)
      Closure(F&& function) {  // NOLINT: implicit, as std::function
    using Function = std::decay_t<F>;
    static_assert(sizeof(Function) <= kCaptured && alignof(Function) <= alignof(void*));
    static_assert(std::is_nothrow_move_constructible_v<Function>);
    new (captured_) Function(std::forward<F>(function));
    operate_ = [](Closure& self, Closure* to, Argument* argument) {
      Function& own = *std::launder(reinterpret_cast<Function*>(self.captured_));
      if (to != nullptr) new (to->captured_) Function(std::move(own));
      if (argument == nullptr) {
        std::destroy_at(&own);
        return;
      }
      struct Destroy {
        Function& function;
        ~Destroy() { std::destroy_at(&function); }
      } const destroy{own};
      own(*argument);
    };
  }
  Closure(Closure&& other) noexcept { take(other); }
  Closure& operator=(Closure&& other) noexcept {
    if (this != &other) {
      reset();
      take(other);
    }
    return *this;
  }
  ~Closure() { reset(); }

  /// Calls the function, and destroys it, also if it throws. Not of an empty closure.
  void operator()(Argument& argument) { std::exchange(operate_, nullptr)(*this, nullptr, &argument); }

 private:
  void reset() noexcept {
    if (operate_ != nullptr) std::exchange(operate_, nullptr)(*this, nullptr, nullptr);
  }
  void take(Closure& other) noexcept {
    operate_ = std::exchange(other.operate_, nullptr);
    if (operate_ != nullptr) operate_(other, this, nullptr);
  }

  /// Moves what `self` has captured to `to` (if not null), calls it with `argument` (if not null), and
  /// destroys it.
  void (*operate_)(Closure& self, Closure* to, Argument* argument) = nullptr;
  alignas(void*) std::byte captured_[kCaptured];
};

}  // namespace tally
