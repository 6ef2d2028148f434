#include "bench/services/redis_url.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

#include "bench/base/usage_error.hpp"
#include "bench/services/ping.hpp"

namespace tally {
namespace {

constexpr std::string_view kScheme = "redis://";
constexpr std::string_view kHost = "://";  // what host, or user and password, follow

/// A decimal number that is all of `text`, and at most `most`.
std::optional<int> whole_number(std::string_view text, int most) {
  int value = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value < 0 || value > most)
    return std::nullopt;
  return value;
}

bool is_unreserved(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == '_' || c == '~';
}

/// None where a % is not followed by two hexadecimal digits.
std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned byte = 0;
    char const* const digits = text.data() + i + 1;
    if (i + 2 >= text.size() || std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2)
      return std::nullopt;
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

std::string percent_encoded(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (char const c : text) {
    auto const byte = static_cast<unsigned char>(c);
    if (is_unreserved(c))
      out += c;
    else
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
  }
  return out;
}

struct Span {
  std::size_t begin = 0, end = 0;
};

/// Where in `text` the password of a redis:// URL stands, if there is one: up to the last @; or where that
/// was forgotten, to the end.
Span password_in(std::string_view text) noexcept {
  auto const scheme = text.find(kHost);
  std::string_view const before = text.substr(0, scheme);
  if (scheme == std::string_view::npos || !(before.ends_with("redis") || before.ends_with("rediss")))
    return {};
  auto const begin = scheme + kHost.size();
  auto const colon = text.find(':', begin);
  auto const at = text.rfind('@');
  if (at == std::string_view::npos || at < begin) {
    // Of host and port, the port is what follows the colon.
    return colon == begin ? Span{colon + 1, text.size()} : Span{};
  }
  return colon < at ? Span{colon + 1, at} : Span{};
}

[[noreturn]] void refuse_service(std::string_view flag, std::string_view text, std::string const& what) {
  throw UsageError(
      std::string(flag) + " '" + without_password(text) + "': " + what +
      "; write embedded, or redis://HOST:PORT, with a password redis://:PASSWORD@HOST:PORT (or in " +
      kRedisPasswordVariable + "), with a database redis://HOST:PORT/DB");
}

}  // namespace

std::string RedisUrl::shown() const {
  return std::string(kScheme) + (user.empty() ? "" : percent_encoded(user) + "@") + host + ":" +
         std::to_string(port) + (database ? "/" + std::to_string(*database) : "");
}

RedisUrl parse_redis_url(std::string_view flag, std::string_view text) {
  auto const wrong = [&](std::string const& what) { refuse_service(flag, text, what); };
  if (text.starts_with("rediss://")) wrong("redis over TLS is not spoken here");
  if (!text.starts_with(kScheme)) wrong("no service");
  std::string_view rest = text.substr(kScheme.size());
  RedisUrl url;
  // The last @, since a password that was not encoded may hold others.
  if (auto const at = rest.rfind('@'); at != std::string_view::npos) {
    std::string_view const who = rest.substr(0, at);
    rest.remove_prefix(at + 1);
    auto const colon = std::min(who.find(':'), who.size());
    auto const user = percent_decoded(who.substr(0, colon));
    auto const password = percent_decoded(who.substr(std::min(colon + 1, who.size())));
    if (!user || !password) wrong("a % in user or password is written %25");
    url.user = *user;
    url.password = *password;
  }
  if (auto const slash = rest.find('/'); slash != std::string_view::npos) {
    std::string_view const database = rest.substr(slash + 1);
    rest = rest.substr(0, slash);
    if (!database.empty()) {
      url.database = whole_number(database, 1'000'000);
      if (!url.database) wrong("a database is a number, such as 0");
    }
  }
  if (rest.starts_with('[')) wrong("an IPv4 address or a name is wanted");
  auto const colon = rest.find(':');
  if (colon == std::string_view::npos) wrong("the port is missing");
  auto const port = whole_number(rest.substr(colon + 1), 65'535);
  if (!port || *port == 0) wrong("a port is a number from 1 to 65535");
  url.port = static_cast<std::uint16_t>(*port);
  url.host = rest.substr(0, colon);
  if (url.host.empty() || !std::all_of(url.host.begin(), url.host.end(), is_unreserved))
    wrong("that is no host");
  return url;
}

std::string without_password(std::string_view text) {
  auto const [begin, end] = password_in(text);
  if (begin == end) return std::string(text);
  // With its colon, and where nothing else stands before the @, that too.
  bool const alone = text.substr(0, begin - 1).ends_with(kHost);
  std::string out(text.substr(0, begin - 1));
  if (end == text.size()) return out + "...";
  return out.append(text.substr(alone ? end + 1 : end));
}

void hide_password(char* argument) noexcept {
  auto const [begin, end] = password_in(argument);
  std::fill(argument + begin, argument + end, '*');
}

ServiceAddress resolve(RedisUrl const& url) {
  addrinfo wanted{};
  wanted.ai_family = AF_INET;
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  int const error = ::getaddrinfo(url.host.c_str(), nullptr, &wanted, &found);
  if (error != 0)
    throw ServiceFailed("no lookup service at " + url.shown() + ": " +
                        (error == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(error)));
  std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> const list(found, &::freeaddrinfo);
  sockaddr_in address{};
  std::memcpy(&address, list->ai_addr, sizeof address);
  return {.host = ntohl(address.sin_addr.s_addr), .port = url.port};
}

}  // namespace tally
