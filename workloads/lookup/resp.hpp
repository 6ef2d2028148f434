// RESP2, the Redis protocol, as far as Tally speaks it: reading requests (the service) and replies (its
// clients). https://redis.io/docs/latest/develop/reference/protocol-spec/
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tally {

/// A request that a client sent: an array of bulk strings, or an inline command (blank-separated words on one
/// line).
struct RespRequest {
  enum class State : std::uint8_t {
    incomplete,  ///< more bytes are needed
    complete,
    broken,  ///< not the protocol: `error` is what to answer before closing
  };
  static constexpr std::size_t kArgumentsKept = 4;

  State state = State::incomplete;
  std::size_t length = 0;  ///< bytes that a complete request takes
  std::size_t count =
      0;  ///< words, the command's name included; 0 for an empty request, which gets no answer
  std::array<std::string_view, kArgumentsKept> words;  ///< the first of them, in the bytes that were read
  std::string error;                                   ///< "Protocol error: ..."
};

/// No request is longer, in bytes, and none has more words: what is, is broken. Far below Redis's limits (512
/// MB, 1 M), for what a lookup needs is a line.
inline constexpr std::size_t kMaxRespRequestBytes = 16 * 1024;
inline constexpr std::size_t kMaxRespWords = 1024;

/// Reads the request that `bytes` begins with. Keeps nothing between calls: with more bytes, give all of them
/// again. The errors are Redis's own words. Inline words cannot be quoted, which Redis would allow.
RespRequest parse_resp_request(std::string_view bytes);

/// What a server answered.
struct RespReply {
  enum class Kind : std::uint8_t {
    incomplete,  ///< more bytes are needed
    bulk,        ///< `text` is the string
    null,        ///< the null bulk string, $-1
    error,       ///< `text` is the message, "ERR ..."
    other,       ///< valid to begin with, but of a type that answers no GET: +, : or *
    broken,      ///< not the protocol
  };
  Kind kind = Kind::incomplete;
  std::size_t length = 0;  ///< bytes of a whole bulk, null or error reply. A bulk's is known from its header
                           ///< on: it may exceed what is there while `kind` is incomplete
  std::string_view text;
};

/// Reads the reply that `bytes` begins with. An error without its line's end yet is incomplete.
RespReply parse_resp_reply(std::string_view bytes) noexcept;

/// Appends `text` as a bulk string.
void append_resp_bulk(std::string& out, std::string_view text);
/// Appends an error reply, "-ERR message"; bytes that could end the line or are not printable are escaped.
void append_resp_error(std::string& out, std::string_view message);

/// `bytes` for a person: printable ASCII as it is, the rest as \r, \n, \t or \xNN; cut with "..." after
/// `most` bytes.
std::string printable(std::string_view bytes, std::size_t most = 64);

}  // namespace tally
