// The lookup service's inside: one thread, one epoll, a queue of replies that are not yet due.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "workloads/lookup/service_control.hpp"
#include "workloads/lookup/resp.hpp"
#include "workloads/lookup/timer_queue.hpp"
#include "workloads/base/owned_fd.hpp"

namespace tally {

/// Serves the connections of one listening socket. Replies to one connection keep the order of its requests:
/// each is sent when its own delay has passed and the ones before it are sent.
class LookupServer {
 public:
  /// `listening_socket` and `stop_fd` stay the caller's. Throws std::system_error, or std::invalid_argument
  /// for keys that cannot be.
  LookupServer(ServiceConfig const& config, int listening_socket, int stop_fd, ServiceControl& control);
  ~LookupServer();
  LookupServer(LookupServer const&) = delete;
  LookupServer& operator=(LookupServer const&) = delete;

  /// Serves until the stop descriptor is readable or closed at its other end.
  void run();

 private:
  /// One answer: a key that is due at `due_ns` (steady clock), or, at once, `text` as it is.
  struct Reply {
    std::int64_t due_ns = 0;
    std::uint32_t key = 0;
    std::string text{};
  };
  /// What only pipelining, split requests and slow readers need; most connections never have one.
  struct Backlog {
    std::deque<Reply> replies;  ///< after Connection::next
    std::string unread;         ///< received, and not yet taken as requests
    std::string unsent;         ///< sent, and not taken by the socket
  };
  struct Connection {
    std::uint32_t generation = 0;  ///< counts the connections that had this descriptor
    bool open = false;
    bool has_next = false;
    bool timer_set = false;  ///< the queue holds a timer for `next`
    bool full = false;       ///< so many replies wait that no more requests are taken
    bool ending = false;     ///< after QUIT or a protocol error: close when all is sent
    Reply next;
    std::unique_ptr<Backlog> backlog;
  };

  /// Requests taken before replies are sent again. Runs of either are cheaper than turns, since the kernel's
  /// path through the other leaves the caches; but while requests are taken (0.6 to 0.9 us each), replies
  /// fall due. Measured where the service is saturated, 1,000 connections: with 32, replies are late by 0.1
  /// ms (p99); with 64 a request costs 3% less, and they are late by 0.2 ms.
  static constexpr std::size_t kReadyAtOnce = 32;

  // lookup_server.cpp: time, sockets and connections.
  void serve_once();
  std::size_t wait_for_events();
  std::int64_t sleep_ns() const;
  void handle(std::uint64_t tag, std::uint32_t events);
  void run_due_timers(std::int64_t now_ns);
  void accept_some();
  void refuse_one();
  void pause_accepting();
  void resume_accepting(std::int64_t now_ns);
  void open(int fd);
  void close(int fd);
  void receive(int fd, bool ended);
  bool send_bytes(int fd, std::string_view bytes);
  void report_again(int fd);

  // lookup_answers.cpp: requests in, replies out.
  void advance(int fd, std::int64_t now_ns);
  bool send_due(int fd, std::int64_t now_ns);
  void take_requests(Connection& connection, std::string_view bytes, std::int64_t now_ns);
  void answer(Connection& connection, RespRequest const& request, std::int64_t now_ns);
  Reply get(std::string_view name, std::int64_t now_ns);
  void write_reply(Reply const& reply, std::int64_t now_ns);
  static void queue(Connection& connection, Reply&& reply);
  static void queue_error(Connection& connection, std::string_view message);
  static void pop_next(Connection& connection);
  static Backlog& backlog(Connection& connection);

  ServiceConfig config_;
  KeyGenerator keys_;
  ServiceControl& control_;
  int listening_socket_;
  int stop_fd_;
  OwnedFd epoll_;
  OwnedFd spare_;  ///< given up to accept, and refuse, a connection when descriptors have run out
  std::vector<Connection> connections_;  ///< by descriptor
  std::size_t open_connections_ = 0;
  TimerQueue timers_;
  bool stop_ = false;
  bool has_pwait2_ = true;            ///< epoll_pwait2, Linux 5.11
  std::int64_t accept_again_ns_ = 0;  ///< when accepting goes on; 0 while it does
  std::int64_t pass_began_ns_ = 0;
  bool worked_ = false;  ///< this pass of the loop had something to do
  std::array<epoll_event, kReadyAtOnce> ready_;
  std::string out_;       ///< replies on their way, of one connection at a time
  std::vector<char> in_;  ///< bytes as they come, of one connection at a time
};

/// Adds to a counter that one thread alone writes and others read: a load and a store, not a locked
/// instruction.
template <class T>
void add_relaxed(std::atomic<T>& counter, T amount) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

}  // namespace tally
