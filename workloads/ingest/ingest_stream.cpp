#include "workloads/ingest/ingest_stream.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "workloads/base/errno_failure.hpp"

namespace tally {
namespace {

std::string text(ServiceAddress const& address) {
  in_addr host{htonl(address.host)};
  char name[INET_ADDRSTRLEN] = "?";
  inet_ntop(AF_INET, &host, name, sizeof name);
  return std::string(name) + " port " + (address.port == 0 ? "0 (any)" : std::to_string(address.port));
}

/// A socket bound to `address`. It does not mind connections of an earlier server that wait for their end
/// there; and if `shared`, not other listening sockets that are as willing.
OwnedFd bound(ServiceAddress const& address, bool shared) {
  OwnedFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int const on = 1;
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(address.port);
  to.sin_addr.s_addr = htonl(address.host);
  if (socket.get() < 0 || ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      (shared && ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
      ::bind(socket.get(), reinterpret_cast<sockaddr const*>(&to), sizeof to) != 0)
    fail_with_errno("cannot listen on " + text(address));
  return socket;
}

}  // namespace

IngestStream::IngestStream(IngestSpec const& spec) : spec_(spec) {
  // Others that listen there with SO_REUSEPORT, another server of this user, would share the clients: so
  // first without.
  bound(spec_.address, false);
  reserved_ = bound(spec_.address, true);
  sockaddr_in got{};
  socklen_t size = sizeof got;
  if (::getsockname(reserved_.get(), reinterpret_cast<sockaddr*>(&got), &size) != 0)
    fail_with_errno("a server's port");
  spec_.address.port = ntohs(got.sin_port);
  stop_ = OwnedFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (stop_.get() < 0) fail_with_errno("no descriptor to stop a server by");
  for (int w = 0; w < spec_.workers; ++w) tallies_.push_back(LiveTally::make());
  void* const memory =
      ::mmap(nullptr, sizeof(IngestControl), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail_with_errno("no memory to share with a server");
  control_ = static_cast<IngestControl*>(memory);  // zeroed pages are what it begins as
}

IngestStream::~IngestStream() { ::munmap(control_, sizeof(IngestControl)); }

int IngestStream::listen() const {
  OwnedFd socket = bound(spec_.address, true);
  if (::listen(socket.get(), SOMAXCONN) != 0) fail_with_errno("cannot listen on " + text(spec_.address));
  return socket.release();
}

void IngestStream::stop() const noexcept {
  std::uint64_t const one = 1;
  // Fails only where it is as readable as can be.
  [[maybe_unused]] ssize_t const written = ::write(stop_.get(), &one, sizeof one);
}

bool IngestStream::stopped() const noexcept {
  pollfd stop{.fd = stop_.get(), .events = POLLIN, .revents = 0};
  return ::poll(&stop, 1, 0) > 0;
}

bool IngestStream::open() const noexcept {
  // What has ended first, so that it is never more than what had been opened.
  std::uint64_t const ended = control_->ended.load(std::memory_order_acquire);
  std::uint64_t const opened = control_->opened.fetch_add(1, std::memory_order_acq_rel);
  if (opened - ended < spec_.connections_max) return true;
  reject();
  return false;
}

void IngestStream::reject() const noexcept {
  control_->opened.fetch_sub(1, std::memory_order_acq_rel);
  refuse();
}

void IngestStream::receive(int worker, std::string_view bytes, LineRest& rest) const {
  tally(worker).count(bytes, rest, spec_.rules);
}

void IngestStream::read(int worker, std::string_view bytes, LineRest& rest,
                        std::vector<PendingEvent>& events) const {
  tally(worker).read(bytes, rest, spec_.rules, events);
}

void IngestStream::count_looked_up(int worker, PendingEvent const& event, std::span<char const> reply) const {
  tally(worker).count_looked_up(event, spec_.lookups->key_in(event.number, reply), spec_.rules);
}

void IngestStream::end(int worker, LineRest& rest, bool broken) const {
  tally(worker).end(rest);
  if (broken) control_->broken.fetch_add(1, std::memory_order_relaxed);
  if (control_->ended.fetch_add(1, std::memory_order_acq_rel) + 1 == spec_.connections) stop();
}

std::chrono::steady_clock::time_point IngestStream::began() const noexcept {
  return std::chrono::steady_clock::time_point(
      std::chrono::nanoseconds(control_->began_ns.load(std::memory_order_acquire)));
}

Counts IngestStream::counts() const {
  Counts counts = Counts::text();
  if (spec_.counts_stay) return counts;
  for (auto const& tally : tallies_) {
    tally->take_windows(std::chrono::nanoseconds::max(), counts);
    LiveTally::Totals const totals = tally->totals();
    counts.events += totals.events;
    counts.checksum += totals.checksum;
    counts.pairs += totals.pairs;
    counts.malformed += totals.malformed;
    counts.replies += totals.looked_up;
  }
  return counts;
}

void IngestStream::add_latencies(LatencyHistogram& corrected, LatencyHistogram& uncorrected) const {
  for (auto const& tally : tallies_) tally->add_latencies(corrected, uncorrected);
}

}  // namespace tally
