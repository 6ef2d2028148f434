// Serves the `ingest` stream with callbacks on a readiness loop: a loop of event_loop's, and what each of
// process_shard's processes does with its group of connections.
#pragma once

#include <cstddef>
#include <optional>

#include "models/runtime/io/ingest_connection.hpp"
#include "models/runtime/io/reactor.hpp"
#include "models/runtime/io/reactor_socket.hpp"

namespace tally {

/// One loop, with a listening socket of its own, that shares nothing with others but what the stream holds.
class IngestLoop {
 public:
  /// Listens. The stream must outlive the loop. Throws std::system_error.
  IngestLoop(IngestStream const& stream, int worker, Io io = Io::epoll);
  ~IngestLoop();
  IngestLoop(IngestLoop const&) = delete;
  IngestLoop& operator=(IngestLoop const&) = delete;

  /// Serves until the stream stops, and then what is already there. Throws as IngestStream::receive() does.
  void run();

 private:
  struct Client;
  struct Listening : ReadyHandler {
    explicit Listening(IngestLoop& l) : ReadyHandler{arrived}, loop(l) {}
    static bool arrived(ReadyHandler& self);
    IngestLoop& loop;
  };
  struct Stopping : ReadyHandler {
    explicit Stopping(IngestLoop& l) : ReadyHandler{stopped}, loop(l) {}
    static bool stopped(ReadyHandler& self);
    IngestLoop& loop;
  };

  void accept_some(int most);
  void drain();

  IngestStream const& stream_;
  int worker_;
  Acceptor acceptor_;
  Reactor reactor_;
  Listening listening_;
  Stopping stopping_;
  bool stopped_ = false;
  ReactorSocket::List clients_;  // owned
  ReactorSocket::List replies_;  // of the lookup service, each a client's
  ReadBuffer buffer_;
  ReceiveBuffer reply_;
};

}  // namespace tally
