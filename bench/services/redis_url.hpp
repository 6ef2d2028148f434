// redis://… as --service takes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "workloads/base/service_address.hpp"

namespace tally {

/// Read where a URL has no password, so that none need stand on a command line.
inline constexpr char const* kRedisPasswordVariable = "TALLY_REDIS_PASSWORD";

/// redis://[[USER]:PASSWORD@]HOST:PORT[/DB], as https://www.iana.org/assignments/uri-schemes/prov/redis has
/// it, but that the port is said.
struct RedisUrl {
  std::string host = "127.0.0.1";  ///< an IPv4 address, or a name
  std::uint16_t port = 6379;
  std::string user;             ///< "": none
  std::string password;         ///< "": none
  std::optional<int> database;  ///< none: the one that a new connection has, which is 0

  /// As it was written, but for the password: for everything that anybody reads.
  std::string shown() const;
};

/// Reads `text`, the value of `flag`. What is percent-encoded in user and password is decoded. Looks up no
/// name and no password elsewhere. Throws UsageError, which shows no password.
RedisUrl parse_redis_url(std::string_view flag, std::string_view text);

/// `text` with the password of a redis:// URL in it left out; of what is no whole URL, all that could be one.
std::string without_password(std::string_view text);

/// Overwrites it where it stands, in the argument that this program was given: processes forked from now on
/// show the same command line to everybody.
void hide_password(char* argument) noexcept;

/// The address of the URL's host, looked up where it is a name; the first, if there are several. Blocks as
/// long as the resolver does. Throws ServiceFailed that names host and reason.
ServiceAddress resolve(RedisUrl const& url);

}  // namespace tally
