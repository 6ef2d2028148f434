// A connection to a Redis server for all but lookups: to load keys, to check and remove them, to ask what the
// server is. Through hiredis.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/services/redis_url.hpp"

struct redisContext;

namespace tally {

/// What the server answered.
struct RedisReply {
  enum class Kind : std::uint8_t { text, number, null, list, error };
  Kind kind = Kind::null;
  std::string text;  ///< of a text, or an error: "ERR …"
  std::int64_t number = 0;
  std::vector<RedisReply> items;  ///< of a list
};

using RedisCommand = std::vector<std::string>;

/// What a new connection says first, so that it is whose it should be and sees the right database: AUTH and
/// SELECT, as far as the URL asks for them. They may hold a password.
std::vector<RedisCommand> greeting_of(RedisUrl const& url);
/// A command as it is sent.
std::string as_request(RedisCommand const& command);

/// One connection, ready to be used: greeted. Blocks, but no more than a few seconds at a time.
class RedisConnection {
 public:
  /// `address` is the URL's. Throws ServiceFailed: refused, or the greeting was answered with an error.
  RedisConnection(RedisUrl const& url, ServiceAddress const& address);
  ~RedisConnection();
  RedisConnection(RedisConnection&&) noexcept;
  RedisConnection& operator=(RedisConnection&&) noexcept;

  /// Sends all of them together, and returns their answers, errors included. Throws ServiceFailed if the
  /// connection ends; then it is of no more use.
  std::vector<RedisReply> ask_all(std::vector<RedisCommand> const& commands);
  /// The answer to one of them. Throws ServiceFailed also for an error.
  RedisReply ask(RedisCommand const& command);

  /// Throws ServiceFailed that says, of an error that the server answered with, which it is, and what to do
  /// about it.
  [[noreturn]] void fail_with(std::string const& error) const;

 private:
  struct Free {
    void operator()(redisContext* context) const noexcept;
  };
  [[noreturn]] void lost() const;

  std::string where_;
  std::unique_ptr<redisContext, Free> context_;
};

}  // namespace tally
