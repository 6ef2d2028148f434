// What a thread pool queues: a function to call once, with all that it needs.
#pragma once

#include <cstddef>
#include <cstring>
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
  /// What a function may capture: three words.
  static constexpr std::size_t kCaptured = 24;

  Closure() noexcept = default;
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, Closure>)
      Closure(F&& function) {  // NOLINT: implicit, as std::function
    using Function = std::decay_t<F>;
    static_assert(sizeof(Function) <= kCaptured && alignof(Function) <= alignof(void*));
    static_assert(std::is_nothrow_move_constructible_v<Function>);
    new (captured_) Function(std::forward<F>(function));
    kind_ = &kKind<Function>;
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
  void operator()(Argument& argument) { std::exchange(kind_, nullptr)->call(captured_, argument); }

 private:
  /// What can be done with a function of some type, which lies at `captured`.
  struct Kind {
    /// Calls it and destroys it.
    void (*call)(std::byte* captured, Argument& argument);
    /// Moves it to `to`, and destroys it; null where copying its bytes is all that takes.
    void (*move)(std::byte* captured, std::byte* to) noexcept;
    void (*destroy)(std::byte* captured) noexcept;
  };
  template <class Function>
  static Function& in(std::byte* captured) noexcept {
    return *std::launder(reinterpret_cast<Function*>(captured));
  }
  template <class Function>
  static void call(std::byte* captured, Argument& argument) {
    struct Destroy {
      Function& function;
      ~Destroy() { std::destroy_at(&function); }
    } const destroy{in<Function>(captured)};
    destroy.function(argument);
  }
  template <class Function>
  static void move(std::byte* captured, std::byte* to) noexcept {
    new (to) Function(std::move(in<Function>(captured)));
    std::destroy_at(&in<Function>(captured));
  }
  template <class Function>
  static void destroy(std::byte* captured) noexcept {
    std::destroy_at(&in<Function>(captured));
  }
  template <class Function>
  static constexpr Kind kKind{
      call<Function>, std::is_trivially_copyable_v<Function> ? nullptr : move<Function>, destroy<Function>};

  void reset() noexcept {
    if (kind_ != nullptr) std::exchange(kind_, nullptr)->destroy(captured_);
  }
  void take(Closure& other) noexcept {
    kind_ = std::exchange(other.kind_, nullptr);
    if (kind_ == nullptr) return;
    if (kind_->move != nullptr)
      kind_->move(other.captured_, captured_);
    else
      std::memcpy(captured_, other.captured_, kCaptured);
  }

  Kind const* kind_ = nullptr;
  alignas(void*) std::byte captured_[kCaptured];
};

}  // namespace tally
