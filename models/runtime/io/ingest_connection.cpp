#include "models/runtime/io/ingest_connection.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <system_error>
#include <utility>

namespace tally {
namespace {

OwnedFd spare_descriptor() { return OwnedFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

/// Of a connection whose events are looked up, no more is read at once: it waits here, as events, for each
/// connection.
constexpr std::size_t kBytesToLookUp = 4096;

// A ring's buffers lie before a page that may be read too.
static_assert(kReadAheadBytes <= Uring::kReadableBeyond);

/// One recv(2), or one buffer of a ring, and the counting of what it gives.
Arrived receive_once(ServedConnection& connection, IngestStream const& stream, int worker,
                     ReadBuffer& buffer) {
  std::size_t const room = connection.lookups ? kBytesToLookUp : ReadBuffer::kBytes;
  Received const received =
      connection.transfer.receive(connection.socket.get(), std::span(buffer.bytes).first(room), MSG_DONTWAIT);
  if (received.error == EAGAIN) return Arrived::all;
  if (received.bytes.empty()) {
    stream.end(worker, connection.rest, received.error != 0);
    return Arrived::the_end;
  }
  std::string_view const bytes{received.bytes.data(), received.bytes.size()};
  if (connection.lookups)
    connection.lookups->take(bytes, connection.rest);
  else
    stream.receive(worker, bytes, connection.rest);
  // A short read has emptied the socket. The end that may have come with the bytes is reported again by a
  // level-triggered loop, and by poll(2).
  return bytes.size() == room || connection.transfer.more() ? Arrived::more : Arrived::all;
}

}  // namespace

Acceptor::Acceptor(IngestStream const& stream)
    : stream_(stream), socket_(stream.listen()), spare_(spare_descriptor()) {}

OwnedFd Acceptor::accept() {
  OwnedFd connection = accept_for_thread();
  if (connection.get() >= 0) stream_.serving();
  return connection;
}

OwnedFd Acceptor::accept_for_thread() {
  for (int refused = 0; refused < kAcceptsAtOnce; ++refused) {
    OwnedFd connection(::accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (connection.get() >= 0) {
      if (stream_.open()) return connection;
      refuse(std::move(connection), "tally: too many connections: no more than --connections-max\n");
      continue;
    }
    switch (errno) {
      case EAGAIN:
        return OwnedFd();
      case EMFILE:
      case ENFILE:
        if (refuse_with_spare()) break;
        [[fallthrough]];
      case ENOBUFS:
      case ENOMEM: {
        // Reported as ready again at once: a short rest, which delays others less than spinning on it would.
        timespec const rest{.tv_sec = 0, .tv_nsec = 1'000'000};
        ::nanosleep(&rest, nullptr);
        return OwnedFd();
      }
      case EBADF:
      case EINVAL:
      case ENOTSOCK:
        throw std::system_error(errno, std::generic_category(), "accept");
      default:
        break;  // that connection failed before it was accepted; the next may not
    }
  }
  return OwnedFd();
}

int Acceptor::waiting() const noexcept {
  // Of a listening socket: the length of its queue (tcp(7), TCP_INFO).
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return SOMAXCONN;
  return static_cast<int>(info.tcpi_unacked);
}

void Acceptor::reject(OwnedFd connection, char const* why) const {
  stream_.reject();
  refuse(std::move(connection), why);
}

void Acceptor::refuse(OwnedFd connection, char const* why) {
  [[maybe_unused]] ssize_t const sent =
      ::send(connection.get(), why, std::strlen(why), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/// Out of descriptors: gives up the spare one, so that a client hears why it is not served instead of waiting
/// for ever. False if that was of no use: another worker may have taken it, and it is to be had again later.
bool Acceptor::refuse_with_spare() {
  spare_.reset();
  OwnedFd connection(::accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  bool const refused = connection.get() >= 0;
  if (refused) {
    stream_.refuse();
    refuse(std::move(connection), "tally: too many connections: no more descriptors ('ulimit -n')\n");
  }
  spare_ = spare_descriptor();
  return refused;
}

std::unique_ptr<EventLookups> lookups_of(IngestStream const& stream, int worker, bool non_blocking) {
  return stream.lookups() == nullptr ? nullptr : std::make_unique<EventLookups>(stream, worker, non_blocking);
}

ReceiveBuffers const* ring_buffers(IngestStream const& stream) noexcept {
  // Where events are looked up, replies alone are received ahead.
  return stream.lookups() == nullptr ? &kStreamBuffers : &kReplyBuffers;
}

Wanted wanted_of(ServedConnection const& connection) noexcept {
  return connection.lookups ? Wanted::readiness : Wanted::bytes;
}

Arrived receive_ready(ServedConnection& connection, IngestStream const& stream, int worker,
                      ReadBuffer& buffer) {
  Arrived arrived = Arrived::more;
  for (int i = 0; i < kReadsAtOnce && arrived == Arrived::more && !connection.waits(); ++i)
    arrived = receive_once(connection, stream, worker, buffer);
  return arrived;
}

void receive_last(ServedConnection& connection, IngestStream const& stream, int worker, ReadBuffer& buffer) {
  int const socket = connection.socket.get();
  // What a ring has received ahead comes before what is still in the socket.
  connection.transfer.settle();
  while (connection.transfer.more()) {
    std::span<char const> const bytes = connection.transfer.receive(socket, std::span(buffer.bytes)).bytes;
    if (bytes.empty()) break;
    stream.receive(worker, {bytes.data(), bytes.size()}, connection.rest);
  }
  int there = 0;
  if (connection.lookups || ::ioctl(socket, FIONREAD, &there) != 0) there = 0;
  while (there > 0) {
    ssize_t const n =
        ::recv(socket, buffer.bytes.data(),
               std::min<std::size_t>(ReadBuffer::kBytes, static_cast<std::size_t>(there)), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    stream.receive(worker, {buffer.bytes.data(), static_cast<std::size_t>(n)}, connection.rest);
    there -= static_cast<int>(n);
  }
  stream.end(worker, connection.rest);
}

Counts serve_with(WorkerThreads& threads, IngestStream const& stream, Stopwatch& watch) {
  threads.wait_ready();
  threads.start();
  threads.wait_finished();
  Counts counts = merged_counts(stream, watch);
  threads.join();
  return counts;
}

Counts merged_counts(IngestStream const& stream, Stopwatch& watch) {
  if (auto const began = stream.began(); began != std::chrono::steady_clock::time_point{})
    watch.start_at(began);
  Counts counts = stream.counts();
  watch.stop();
  return counts;
}

}  // namespace tally
