#include "workloads/lookup/resp.hpp"

#include <charconv>
#include <optional>

namespace tally {
namespace {

using State = RespRequest::State;

RespRequest broken_request(std::string what) {
  RespRequest request;
  request.state = State::broken;
  request.error = "Protocol error: " + std::move(what);
  return request;
}

/// Incomplete, unless the request is already longer than any may be.
RespRequest incomplete(std::string_view bytes, char const* too_big) {
  if (bytes.size() >= kMaxRespRequestBytes) return broken_request(too_big);
  return {};
}

/// A decimal number that is all of `digits`, with a minus or none.
std::optional<std::int64_t> whole_number(std::string_view digits) noexcept {
  std::int64_t value = 0;
  auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

/// The number in the line `<type><number>\r\n` at the beginning of `bytes`.
struct Header {
  enum class State : std::uint8_t { incomplete, good, broken } state;
  std::int64_t value = 0;
  std::size_t length = 0;
};

Header parse_header(std::string_view bytes) noexcept {
  // A 64-bit number has at most 20 characters: what has no line end after that never becomes one.
  constexpr std::size_t kLongest = 1 + 20 + 2;
  std::size_t const end = bytes.substr(0, kLongest).find('\r');
  if (end == std::string_view::npos)
    return {bytes.size() < kLongest ? Header::State::incomplete : Header::State::broken};
  auto const value = whole_number(bytes.substr(1, end - 1));
  if (!value) return {Header::State::broken};
  if (end + 1 == bytes.size()) return {Header::State::incomplete};
  if (bytes[end + 1] != '\n') return {Header::State::broken};
  return {Header::State::good, *value, end + 2};
}

RespRequest parse_inline(std::string_view bytes) {
  std::size_t const newline = bytes.substr(0, kMaxRespRequestBytes).find('\n');
  if (newline == std::string_view::npos) return incomplete(bytes, "too big inline request");
  RespRequest request;
  request.state = State::complete;
  request.length = newline + 1;
  std::string_view line = bytes.substr(0, newline);
  if (line.ends_with('\r')) line.remove_suffix(1);
  while (true) {
    std::size_t const begin = line.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return request;
    line.remove_prefix(begin);
    std::string_view const word = line.substr(0, line.find_first_of(" \t"));
    if (request.count < RespRequest::kArgumentsKept) request.words[request.count] = word;
    ++request.count;
    line.remove_prefix(word.size());
  }
}

}  // namespace

RespRequest parse_resp_request(std::string_view bytes) {
  if (bytes.empty()) return {};
  if (bytes[0] != '*') return parse_inline(bytes);
  Header const array = parse_header(bytes);
  if (array.state == Header::State::incomplete) return {};
  if (array.state == Header::State::broken || array.value > static_cast<std::int64_t>(kMaxRespWords))
    return broken_request("invalid multibulk length");

  RespRequest request;
  std::size_t at = array.length;
  for (std::int64_t i = 0; i < array.value; ++i) {
    if (at == bytes.size()) return incomplete(bytes, "too big request");
    if (bytes[at] != '$') return broken_request("expected '$', got '" + printable(bytes.substr(at, 1)) + "'");
    Header const bulk = parse_header(bytes.substr(at));
    if (bulk.state == Header::State::incomplete) return incomplete(bytes, "too big request");
    if (bulk.state == Header::State::broken || bulk.value < 0) return broken_request("invalid bulk length");
    at += bulk.length;
    auto const size = static_cast<std::size_t>(bulk.value);
    if (size > kMaxRespRequestBytes || at + size + 2 > kMaxRespRequestBytes)
      return broken_request("invalid bulk length");
    if (bytes.size() < at + size + 2) return incomplete(bytes, "too big request");
    if (bytes.substr(at + size, 2) != "\r\n") return broken_request("bulk string is not followed by CRLF");
    if (request.count < RespRequest::kArgumentsKept) request.words[request.count] = bytes.substr(at, size);
    ++request.count;
    at += size + 2;
  }
  request.state = State::complete;
  request.length = at;
  return request;
}

RespReply parse_resp_reply(std::string_view bytes) noexcept {
  using Kind = RespReply::Kind;
  if (bytes.empty()) return {};
  switch (bytes[0]) {
    case '$': {
      Header const header = parse_header(bytes);
      if (header.state == Header::State::incomplete) return {};
      if (header.state == Header::State::broken || header.value < -1) return {Kind::broken, 0, {}};
      if (header.value == -1) return {Kind::null, header.length, {}};
      auto const size = static_cast<std::size_t>(header.value);
      std::size_t const length = header.length + size + 2;
      if (bytes.size() < length) return {Kind::incomplete, length, {}};
      if (bytes.substr(header.length + size, 2) != "\r\n") return {Kind::broken, 0, {}};
      return {Kind::bulk, length, bytes.substr(header.length, size)};
    }
    case '-': {
      std::size_t const end = bytes.find("\r\n");
      if (end == std::string_view::npos) return {};
      return {Kind::error, end + 2, bytes.substr(1, end - 1)};
    }
    case '+':
    case ':':
    case '*':
      return {Kind::other, 0, {}};
    default:
      return {Kind::broken, 0, {}};
  }
}

void append_resp_bulk(std::string& out, std::string_view text) {
  std::array<char, 24> head;
  head[0] = '$';
  char* const end = std::to_chars(head.data() + 1, head.data() + head.size(), text.size()).ptr;
  out.append(head.data(), end).append("\r\n").append(text).append("\r\n");
}

void append_resp_error(std::string& out, std::string_view message) {
  out.append("-ERR ").append(printable(message, 512)).append("\r\n");
}

std::string printable(std::string_view bytes, std::size_t most) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (char const c : bytes.substr(0, most)) {
    auto const byte = static_cast<unsigned char>(c);
    if (c == '\r') {
      out += "\\r";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte >= 0x7f) {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      out += c;
    }
  }
  if (bytes.size() > most) out += "...";
  return out;
}

}  // namespace tally
