// sequential on `ingest`: one connection at a time served.
#include <poll.h>

#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

#include "models/model.hpp"
#include "models/runtime/io/connection.hpp"
#include "models/runtime/io/ingest_connection.hpp"
#include "models/runtime/placement.hpp"

namespace tally {

Counts sequential_ingest(IngestStream const& stream, Setup const& setup, Stopwatch& watch) {
  place_worker(setup, 0);
  constexpr int kOnlyWorker = 0;
  auto const buffer = std::make_unique<ReadBuffer>();
  Acceptor acceptor(stream);
  watch.worker_ready();
  stream.listening();
  // Until either is readable; false if there is nothing more to wait for.
  auto const wait = [&](int socket) {
    pollfd fds[] = {{.fd = socket, .events = POLLIN, .revents = 0},
                    {.fd = stream.stop_fd(), .events = POLLIN, .revents = 0}};
    while (::poll(fds, std::size(fds), -1) < 0) {
      if (errno != EINTR) throw std::system_error(errno, std::generic_category(), "poll");
    }
    return fds[1].revents == 0;
  };
  // Its connections are read without blocking, so that the end of the stream is seen; its lookups block.
  auto const serve = [&](OwnedFd socket) {
    return ServedConnection{.socket = std::move(socket), .lookups = lookups_of(stream, kOnlyWorker, false)};
  };
  bool serving = true;
  while (serving && (serving = wait(acceptor.fd()))) {
    OwnedFd socket = acceptor.accept();
    if (socket.get() < 0) continue;
    ServedConnection connection = serve(std::move(socket));
    Arrived arrived = Arrived::more;
    while (serving && arrived != Arrived::the_end) {
      arrived = receive_ready(connection, stream, kOnlyWorker, *buffer);
      if (arrived == Arrived::all)
        serving = wait(connection.socket.get());
      else
        serving = !stream.stopped();  // a sender may be faster for ever
    }
    if (arrived != Arrived::the_end) receive_last(connection, stream, kOnlyWorker, *buffer);
  }
  for (int left = acceptor.waiting(); left > 0; --left) {
    OwnedFd socket = acceptor.accept();
    if (socket.get() < 0) break;
    ServedConnection connection = serve(std::move(socket));
    receive_last(connection, stream, kOnlyWorker, *buffer);
  }
  return merged_counts(stream, watch);
}

}  // namespace tally
