#include "models/runtime/io/event_lookups.hpp"

#include <utility>

namespace tally {
namespace {

Connection connect(LookupTarget const& target, bool non_blocking) {
  return non_blocking ? connect_non_blocking(target) : Connection(Socket::connect(target));
}

}  // namespace

EventLookups::EventLookups(IngestStream const& stream, int worker, bool non_blocking)
    : stream_(stream),
      worker_(worker),
      non_blocking_(non_blocking),
      connection_(connect(stream.lookups()->service(), non_blocking)) {}

bool EventLookups::ask() {
  if (!any()) {
    events_.clear();
    next_ = 0;
    return false;
  }
  connection_.send(*stream_.lookups(), events_[next_].number);
  return true;
}

std::span<char const> EventLookups::receive(ReceiveBuffer& buffer) {
  return checked(connection_.receive(*stream_.lookups(), buffer));
}

std::span<char const> EventLookups::checked(std::span<char const> reply) const {
  if (!reply.empty() && !any()) throw LookupFailed("the lookup service sent an answer to no request");
  return reply;
}

void EventLookups::count(std::span<char const> reply, int worker) {
  stream_.count_looked_up(worker, events_[next_], reply);
  ++next_;
}

bool EventLookups::receive_and_count(ReceiveBuffer& buffer) { return count_if_whole(receive(buffer)); }

bool EventLookups::take_and_count(Received const& received, ReceiveBuffer& buffer) {
  return count_if_whole(checked(connection_.take(*stream_.lookups(), received, buffer)));
}

bool EventLookups::count_if_whole(std::span<char const> reply) {
  if (reply.empty()) return false;
  count(reply, worker_);
  return true;
}

void EventLookups::take(std::string_view bytes, LineRest& rest) {
  stream_.read(worker_, bytes, rest, events_);
  if (non_blocking_) return;
  ReceiveBuffer buffer;
  while (ask()) {
    while (!receive_and_count(buffer)) {
    }
  }
}

}  // namespace tally
