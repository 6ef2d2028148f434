// The lookup service's requests and replies.
#include <strings.h>

#include <algorithm>
#include <charconv>

#include "workloads/lookup/lookup_server.hpp"

namespace tally {
namespace {

/// Replies of one connection that may wait; a client that asks for more at once is read again when half are
/// sent.
constexpr std::size_t kMaxWaiting = 1024;
/// Bytes that are gathered before they are sent.
constexpr std::size_t kSendBytes = 32 * 1024;
/// The null bulk string.
constexpr char kNull[] = "$-1\r\n";

bool is(std::string_view word, std::string_view command) noexcept {
  return word.size() == command.size() && ::strncasecmp(word.data(), command.data(), word.size()) == 0;
}

}  // namespace

/// Sends what is due, and takes the requests that a full connection had to leave, until neither goes on.
void LookupServer::advance(int fd, std::int64_t now_ns) {
  while (send_due(fd, now_ns)) {
    Connection& connection = connections_[static_cast<std::size_t>(fd)];
    std::string const unread = std::move(connection.backlog->unread);
    connection.backlog->unread.clear();
    take_requests(connection, unread, now_ns);
    if (!connection.full && !connection.ending) report_again(fd);
  }
}

/// Sends what is due, and sets the timer of what is not. True if the connection had been full and no longer
/// is.
bool LookupServer::send_due(int fd, std::int64_t now_ns) {
  Connection& connection = connections_[static_cast<std::size_t>(fd)];
  // What the socket has not taken goes first, when it takes it: handle() comes here again.
  if (connection.backlog && !connection.backlog->unsent.empty()) return false;
  out_.clear();
  while (connection.has_next && connection.next.due_ns <= now_ns && out_.size() < kSendBytes) {
    write_reply(connection.next, now_ns);
    pop_next(connection);
  }
  if (!out_.empty() && !send_bytes(fd, out_)) return false;
  bool const all_sent = !connection.backlog || connection.backlog->unsent.empty();
  if (connection.ending && !connection.has_next && all_sent) {
    close(fd);
    return false;
  }
  if (connection.has_next && !connection.timer_set && all_sent) {
    timers_.push({connection.next.due_ns, fd, connection.generation});
    connection.timer_set = true;
  }
  bool const room_again = connection.full && all_sent && connection.backlog->replies.size() < kMaxWaiting / 2;
  if (room_again) connection.full = false;
  return room_again;
}

/// Takes the whole requests in `bytes`, received at `now_ns`, as far as there is room for their replies, and
/// keeps the rest. `bytes` must not be the connection's own.
void LookupServer::take_requests(Connection& connection, std::string_view bytes, std::int64_t now_ns) {
  while (!bytes.empty() && !connection.ending) {
    if (connection.backlog && connection.backlog->replies.size() >= kMaxWaiting) {
      connection.full = true;
      break;
    }
    RespRequest const request = parse_resp_request(bytes);
    if (request.state == RespRequest::State::incomplete) break;
    if (request.state == RespRequest::State::broken) {
      queue_error(connection, request.error);
      connection.ending = true;
      break;
    }
    if (request.count > 0) answer(connection, request, now_ns);
    bytes.remove_prefix(request.length);
  }
  if (connection.ending || bytes.empty()) {
    if (connection.backlog) connection.backlog->unread.clear();
  } else {
    backlog(connection).unread.assign(bytes);
  }
}

void LookupServer::answer(Connection& connection, RespRequest const& request, std::int64_t now_ns) {
  std::string_view const command = request.words[0];
  if (is(command, "GET")) {
    if (request.count != 2) return queue_error(connection, "wrong number of arguments for 'get' command");
    add_relaxed<std::uint64_t>(control_.requests, 1);
    return queue(connection, get(request.words[1], now_ns));
  }
  if (is(command, "PING")) {
    if (request.count > 2) return queue_error(connection, "wrong number of arguments for 'ping' command");
    Reply reply;
    if (request.count == 1) {
      reply.text = "+PONG\r\n";
    } else {
      append_resp_bulk(reply.text, request.words[1]);
    }
    return queue(connection, std::move(reply));
  }
  if (is(command, "QUIT")) {
    connection.ending = true;
    return queue(connection, {.text = "+OK\r\n"});
  }
  queue_error(connection, "unknown command '" + printable(command, 128) + "'");
}

/// The answer to GET `name`: of `event:<number>` its key, after its wait; of anything else null, at once.
LookupServer::Reply LookupServer::get(std::string_view name, std::int64_t now_ns) {
  constexpr std::string_view kPrefix = "event:";
  std::uint64_t event = 0;
  char const* const end = name.data() + name.size();
  if (!name.starts_with(kPrefix)) return {.text = kNull};
  auto const [stopped, error] = std::from_chars(name.data() + kPrefix.size(), end, event);
  if (error != std::errc{} || stopped != end) return {.text = kNull};
  WaitSpec const spec{std::chrono::nanoseconds{control_.wait_ns.load(std::memory_order_relaxed)},
                      WaitDistribution{control_.distribution.load(std::memory_order_relaxed)}};
  return {.due_ns = now_ns + draw_wait(spec, config_.keys.seed, event).count(), .key = keys_.key(event)};
}

/// Appends `reply` to what is about to be sent, and accounts for it: before it is sent, so that whoever has
/// the answer finds it counted.
void LookupServer::write_reply(Reply const& reply, std::int64_t now_ns) {
  if (!reply.text.empty()) {
    if (reply.text == kNull) add_relaxed<std::uint64_t>(control_.replies, 1);
    out_ += reply.text;
    return;
  }
  char digits[12];
  auto const length =
      static_cast<std::size_t>(std::to_chars(digits, digits + sizeof digits, reply.key).ptr - digits);
  append_resp_bulk(out_, {digits, length});
  add_relaxed<std::uint64_t>(control_.replies, 1);
  std::int64_t const bucket = (now_ns - reply.due_ns) / ServiceControl::kLatenessStep.count();
  auto const last = std::int64_t{ServiceControl::kLatenessBuckets - 1};
  add_relaxed<std::uint64_t>(control_.lateness[std::min(bucket, last)], 1);
}

void LookupServer::queue(Connection& connection, Reply&& reply) {
  if (connection.has_next) {
    backlog(connection).replies.push_back(std::move(reply));
  } else {
    connection.next = std::move(reply);
    connection.has_next = true;
  }
}

void LookupServer::queue_error(Connection& connection, std::string_view message) {
  Reply reply;
  append_resp_error(reply.text, message);
  queue(connection, std::move(reply));
}

void LookupServer::pop_next(Connection& connection) {
  if (!connection.backlog || connection.backlog->replies.empty()) {
    connection.has_next = false;
    return;
  }
  connection.next = std::move(connection.backlog->replies.front());
  connection.backlog->replies.pop_front();
}

LookupServer::Backlog& LookupServer::backlog(Connection& connection) {
  if (!connection.backlog) connection.backlog = std::make_unique<Backlog>();
  return *connection.backlog;
}

}  // namespace tally
