// Sockets that stand in a reactor and in a list, so that a server that stops finds all of its connections.
#pragma once

#include "models/runtime/io/reactor.hpp"

namespace tally {

/// A socket that is in a reactor and in a list as long as this lives; what it is for, a derived class knows.
/// On the reactor's thread alone. The reactor and the list must outlive it; the socket is its owner's.
class ReactorSocket : public ReadyHandler {
 public:
  /// The sockets that there are.
  class List {
   public:
    /// The one that was added last; null if there is none.
    ReactorSocket* first() const noexcept { return first_; }

   private:
    friend ReactorSocket;
    ReactorSocket* first_ = nullptr;
  };

  /// Throws std::system_error; then it is in no list.
  ReactorSocket(Reactor& reactor, int socket, List& list, bool (*told)(ReadyHandler&),
                Wanted wanted = Wanted::readiness)
      : ReadyHandler{told}, reactor_(reactor), next_(list.first_), before_(&list.first_) {
    transfer_ = reactor.add(socket, *this, wanted);
    if (next_ != nullptr) next_->before_ = &next_;
    list.first_ = this;
  }
  ~ReactorSocket() {
    reactor_.forget(*this);
    *before_ = next_;
    if (next_ != nullptr) next_->before_ = before_;
  }
  ReactorSocket(ReactorSocket const&) = delete;
  ReactorSocket& operator=(ReactorSocket const&) = delete;

  ReactorSocket* next() const noexcept { return next_; }
  /// How its bytes come and go, as long as it is there.
  Transfer transfer() const noexcept { return transfer_; }

  /// What on_readable() is to return when nobody wants what has come: it is told again from watch() on.
  bool pause() noexcept {
    watched_ = false;
    return false;
  }
  /// Is told again, if it was not. Throws std::system_error.
  void watch() {
    if (watched_) return;
    reactor_.resume(*this);
    watched_ = true;
  }

 private:
  Reactor& reactor_;
  Transfer transfer_;
  ReactorSocket* next_;
  ReactorSocket** before_;
  bool watched_ = true;
};

}  // namespace tally
