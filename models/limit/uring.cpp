#include "models/limit/uring.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <iterator>
#include <system_error>
#include <utility>

namespace tally {
namespace {

/// Marks in a tag, below the address, of what its completion is.
constexpr std::uint64_t kKinds = 7;
/// Of BareRingServer: bytes of a client, that a client has some, a reply to its lookups, the end of a
/// cancelling.
constexpr std::uint64_t kBytes = 1, kReadable = 2, kReply = 3, kCancelled = 4;
/// In place of a client.
constexpr std::uint64_t kListening = 0, kStop = 1;

template <class T>
std::uint64_t tag(T& what, std::uint64_t kind) {
  static_assert(alignof(T) > kKinds);
  return reinterpret_cast<std::uintptr_t>(&what) | kind;
}
template <class T>
T& tagged(std::uint64_t tag) {
  return *reinterpret_cast<T*>(tag & ~kKinds);
}

io_uring_sqe& next_of(Uring& ring) {
  io_uring_sqe* const request = ring.next();
  if (request == nullptr) throw std::system_error(EBUSY, std::generic_category(), "io_uring_enter");
  return *request;
}

bool is_last(io_uring_cqe const& completion) { return (completion.flags & IORING_CQE_F_MORE) == 0; }
/// Not of the socket: there was no buffer left.
bool no_buffer(io_uring_cqe const& completion) { return completion.res == -ENOBUFS; }

/// What came in the completion; gives its buffer back at the end.
class Taken {
 public:
  Taken(Uring& ring, io_uring_cqe const& completion) : ring_(ring), completion_(completion) {}
  ~Taken() {
    if (Uring::has_buffer(completion_)) ring_.give_back(Uring::buffer_of(completion_));
  }
  Taken(Taken const&) = delete;
  Taken& operator=(Taken const&) = delete;
  Received what() const {
    if (completion_.res < 0) return {.error = -completion_.res};
    if (completion_.res == 0) return {};
    return {
        .bytes = {ring_.buffer(Uring::buffer_of(completion_)), static_cast<std::size_t>(completion_.res)}};
  }

 private:
  Uring& ring_;
  io_uring_cqe const& completion_;
};

}  // namespace

BareRingLoop::BareRingLoop(LookupStream const& stream, int connections) : stream_(stream) {
  slots_.reserve(static_cast<std::size_t>(connections));
  for (int c = 0; c < connections; ++c) slots_.emplace_back(connect_non_blocking(stream.service()));
}

void BareRingLoop::run(EventCursor& cursor, Counts& tally) {
  ring_.begin();
  for (Slot& slot : slots_) {
    receive(slot);
    ask(slot, cursor);
  }
  while (waiting_ > 0) {
    ring_.wait(std::nullopt);
    ring_.reap([&](io_uring_cqe const& completion) {
      Slot& slot = tagged<Slot>(completion.user_data);
      Taken const taken(ring_, completion);
      if (no_buffer(completion)) return receive(slot);
      // Also of a request that could not be sent: throws.
      auto const reply = slot.connection.take(stream_, taken.what(), partial_);
      if (is_last(completion)) receive(slot);
      if (reply.empty()) return;
      stream_.accept(slot.event, reply, tally);
      --waiting_;
      ask(slot, cursor);
    });
  }
}

void BareRingLoop::receive(Slot& slot) {
  io_uring_sqe& request = next_of(ring_);
  Uring::prepare_receive(&request, slot.connection.fd());
  io_uring_sqe_set_data64(&request, tag(slot, 0));
}

void BareRingLoop::ask(Slot& slot, EventCursor& cursor) {
  auto const event = cursor.take();
  if (!event) return;
  slot.event = *event;
  std::size_t const size = stream_.request(*event, slot.request);
  io_uring_sqe& sent = next_of(ring_);
  // All of it, or it has failed; only then there is a completion.
  io_uring_prep_send(&sent, slot.connection.fd(), slot.request.data(), size, MSG_NOSIGNAL | MSG_WAITALL);
  sent.flags |= IOSQE_CQE_SKIP_SUCCESS;
  io_uring_sqe_set_data64(&sent, tag(slot, 0));
  ++waiting_;
}

BareRingServer::BareRingServer(IngestStream const& stream, int worker)
    : stream_(stream), worker_(worker), acceptor_(stream), ring_(*ring_buffers(stream)) {}

void BareRingServer::run() {
  ring_.begin();
  ask_for(kListening, acceptor_.fd(), false);
  ask_for(kStop, stream_.stop_fd(), false);
  stream_.listening();
  while (!stopped_) {
    ring_.wait(std::nullopt);
    ring_.reap([this](io_uring_cqe const& completion) { complete(completion); });
  }
  drain();
}

void BareRingServer::ask_for(std::uint64_t tag, int fd, bool bytes) {
  io_uring_sqe& request = next_of(ring_);
  if (bytes)
    Uring::prepare_receive(&request, fd);
  else
    io_uring_prep_poll_add(&request, fd, POLLIN);
  io_uring_sqe_set_data64(&request, tag);
}

void BareRingServer::ask_for(Client& client, std::uint64_t kind) {
  int const fd = kind == kReply ? client.connection.lookups->fd() : client.connection.socket.get();
  ask_for(tag(client, kind), fd, kind != kReadable);
  ++client.under_way;
}

void BareRingServer::cancel(Client& client, std::uint64_t kind) {
  io_uring_sqe& request = next_of(ring_);
  io_uring_prep_cancel64(&request, tag(client, kind), 0);
  io_uring_sqe_set_data64(&request, tag(client, kCancelled));
  ++client.under_way;
}

void BareRingServer::complete(io_uring_cqe const& completion) {
  if (completion.user_data == kStop) {
    stopped_ = true;
    return;
  }
  if (completion.user_data == kListening) {
    accept_some(kAcceptsAtOnce);
    return ask_for(kListening, acceptor_.fd(), false);
  }
  auto& client = tagged<Client>(completion.user_data);
  if (is_last(completion)) --client.under_way;
  switch (completion.user_data & kKinds) {
    case kBytes:
      received(client, completion);
      break;
    case kReadable:
      if (!client.gone) readable(client);
      break;
    case kReply:
      replied(client, completion);
      break;
    default:
      break;
  }
  if (client.gone && client.under_way == 0) clients_.erase(client.place);
}

void BareRingServer::accept_some(int most) {
  OwnedFd socket;
  for (int i = 0; i < most && (socket = acceptor_.accept()).get() >= 0; ++i) {
    Client& client = clients_.emplace_back(
        Client{.connection{.socket = std::move(socket), .lookups = lookups_of(stream_, worker_, true)}});
    client.place = std::prev(clients_.end());
    // Of those whose events are looked up, nothing is received while some wait.
    ask_for(client, client.connection.lookups ? kReadable : kBytes);
    if (client.connection.lookups) ask_for(client, kReply);
  }
}

void BareRingServer::received(Client& client, io_uring_cqe const& completion) {
  Taken const taken(ring_, completion);
  Received const what = taken.what();
  if (!what.bytes.empty()) {
    stream_.receive(worker_, {what.bytes.data(), what.bytes.size()}, client.connection.rest);
  } else if (!no_buffer(completion) && what.error != ECANCELED) {
    stream_.end(worker_, client.connection.rest, what.error != 0);
    client.gone = true;
  }
  if (is_last(completion) && !client.gone && !stopped_) ask_for(client, kBytes);
}

void BareRingServer::readable(Client& client) {
  if (receive_ready(client.connection, stream_, worker_, buffer_) == Arrived::the_end) return leave(client);
  if (client.connection.waits())
    client.connection.lookups->ask();
  else
    ask_for(client, kReadable);
}

void BareRingServer::replied(Client& client, io_uring_cqe const& completion) {
  Taken const taken(ring_, completion);
  if (client.gone || completion.res == -ECANCELED) return;
  if (is_last(completion) && (completion.res > 0 || no_buffer(completion))) ask_for(client, kReply);
  EventLookups& lookups = *client.connection.lookups;
  if (no_buffer(completion) || !lookups.take_and_count(taken.what(), partial_) || lookups.ask()) return;
  ask_for(client, kReadable);
}

/// It has ended, but what waits for its replies is still with the kernel.
void BareRingServer::leave(Client& client) {
  client.gone = true;
  cancel(client, kReply);
}

/// What has been received by now is counted, also from connections that are not yet accepted.
void BareRingServer::drain() {
  // No more goes to the ring's buffers; what they hold comes before what is still in the sockets.
  bool const ahead = stream_.lookups() == nullptr;
  if (ahead)
    for (Client& client : clients_) cancel(client, kBytes);
  auto const under_way = [this] {
    for (Client const& client : clients_)
      if (client.under_way > 0) return true;
    return false;
  };
  while (ahead && under_way()) {
    ring_.wait(std::nullopt);
    ring_.reap([this](io_uring_cqe const& completion) {
      if (completion.user_data > kStop) complete(completion);
    });
  }
  OwnedFd socket;
  for (int left = acceptor_.waiting(); left > 0 && (socket = acceptor_.accept()).get() >= 0; --left)
    clients_.emplace_back(Client{.connection{.socket = std::move(socket)}});
  acceptor_.close();
  for (Client& client : clients_)
    if (!client.gone) receive_last(client.connection, stream_, worker_, buffer_);
}

}  // namespace tally
