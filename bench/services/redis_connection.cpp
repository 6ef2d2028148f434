#include "bench/services/redis_connection.hpp"

#include <hiredis/hiredis.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <new>
#include <string_view>
#include <utility>

#include "bench/services/ping.hpp"
#include "workloads/lookup/resp.hpp"

namespace tally {
namespace {

constexpr timeval kConnectWithin{.tv_sec = 2, .tv_usec = 0};
/// A server that saves a snapshot, or runs somebody's long script, answers nobody meanwhile.
constexpr timeval kAnswerWithin{.tv_sec = 10, .tv_usec = 0};

struct ErrorAdvice {
  std::string_view code;  // an error's first word
  std::string_view what;
};
constexpr std::array<ErrorAdvice, 7> kErrorAdvice{
    {{"NOAUTH", "it wants a password: write redis://:PASSWORD@HOST:PORT, or set TALLY_REDIS_PASSWORD"},
     {"WRONGPASS", "the user or the password is wrong"},
     {"READONLY", "it is a replica that takes no keys: name its primary"},
     {"OOM", "it is full: give it more maxmemory, or name another"},
     {"LOADING", "it is still loading its own data: try again when it has"},
     {"NOPERM", "this user may not do what a run has to: SET, GET, MGET, EXISTS, DEL, SELECT and INFO"},
     {"MOVED", "it is one of a cluster, over which lookups do not go"}}};

RedisReply copy(redisReply const& reply) {
  using Kind = RedisReply::Kind;
  RedisReply out;
  switch (reply.type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
      out.kind = reply.type == REDIS_REPLY_ERROR ? Kind::error : Kind::text;
      out.text.assign(reply.str, static_cast<std::size_t>(reply.len));
      break;
    case REDIS_REPLY_INTEGER:
      out.kind = Kind::number;
      out.number = reply.integer;
      break;
    case REDIS_REPLY_ARRAY:
      out.kind = Kind::list;
      for (std::size_t i = 0; i < reply.elements; ++i) out.items.push_back(copy(*reply.element[i]));
      break;
    default:
      break;
  }
  return out;
}

}  // namespace

std::vector<RedisCommand> greeting_of(RedisUrl const& url) {
  std::vector<RedisCommand> greeting;
  if (!url.user.empty())
    greeting.push_back({"AUTH", url.user, url.password});
  else if (!url.password.empty())
    greeting.push_back({"AUTH", url.password});
  if (url.database) greeting.push_back({"SELECT", std::to_string(*url.database)});
  return greeting;
}

std::string as_request(RedisCommand const& command) {
  std::string out = "*" + std::to_string(command.size()) + "\r\n";
  for (std::string const& word : command) append_resp_bulk(out, word);
  return out;
}

void RedisConnection::Free::operator()(redisContext* context) const noexcept { ::redisFree(context); }
RedisConnection::~RedisConnection() = default;
RedisConnection::RedisConnection(RedisConnection&&) noexcept = default;
RedisConnection& RedisConnection::operator=(RedisConnection&&) noexcept = default;

RedisConnection::RedisConnection(RedisUrl const& url, ServiceAddress const& address) : where_(url.shown()) {
  std::string host = describe(address);
  host.resize(host.rfind(':'));
  context_.reset(::redisConnectWithTimeout(host.c_str(), address.port, kConnectWithin));
  if (!context_) throw std::bad_alloc();
  if (context_->err != 0) lost();
  ::redisSetTimeout(context_.get(), kAnswerWithin);
  for (RedisCommand const& command : greeting_of(url)) ask(command);
}

std::vector<RedisReply> RedisConnection::ask_all(std::vector<RedisCommand> const& commands) {
  for (RedisCommand const& command : commands) {
    std::vector<char const*> words;
    std::vector<std::size_t> lengths;
    for (std::string const& word : command) {
      words.push_back(word.data());
      lengths.push_back(word.size());
    }
    if (::redisAppendCommandArgv(context_.get(), static_cast<int>(words.size()), words.data(),
                                 lengths.data()) != REDIS_OK)
      lost();
  }
  std::vector<RedisReply> replies;
  for (std::size_t i = 0; i < commands.size(); ++i) {
    void* reply = nullptr;
    if (::redisGetReply(context_.get(), &reply) != REDIS_OK || reply == nullptr) lost();
    std::unique_ptr<void, decltype(&::freeReplyObject)> const owned(reply, &::freeReplyObject);
    replies.push_back(copy(*static_cast<redisReply const*>(reply)));
  }
  return replies;
}

RedisReply RedisConnection::ask(RedisCommand const& command) {
  RedisReply reply = ask_all({command}).front();
  if (reply.kind == RedisReply::Kind::error) fail_with(reply.text);
  return reply;
}

void RedisConnection::fail_with(std::string const& error) const {
  std::string text = where_ + " answered " + printable(error, 160);
  std::string_view const code = std::string_view(error).substr(0, error.find(' '));
  for (ErrorAdvice const& advice : kErrorAdvice)
    if (advice.code == code) text.append(": ").append(advice.what);
  throw ServiceFailed(text);
}

void RedisConnection::lost() const {
  bool const silent = context_->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK);
  throw ServiceFailed("no lookup service at " + where_ + ": " +
                      (silent ? "no answer in time" : printable(context_->errstr, 160)));
}

}  // namespace tally
