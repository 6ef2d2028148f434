// Events as lines of text: what senders write and servers read.
//
//     key
//     time<TAB>key
//     time<TAB>key<TAB>due<TAB>late
//
// A line ends with LF or CRLF. `time` is the event time in seconds since the epoch, with up to nine decimals.
// `due` and `late` are the load generator's stamp: when the event was to be sent, on this machine's steady
// clock, and how much later it was, both in nanoseconds.
#pragma once

#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string_view>

#include "workloads/base/random.hpp"

namespace tally {

/// What a line says. Views are into the line, or to string literals.
struct EventLine {
  std::string_view key;
  std::string_view problem{};  ///< why the line is malformed, a string literal; empty: it is well formed
  bool timed = false;
  bool stamped = false;
  std::chrono::nanoseconds time{0};  ///< since the epoch, if `timed`
  std::chrono::nanoseconds due{0};   ///< steady clock, if `stamped`
  std::chrono::nanoseconds late{0};  ///< if `stamped`
};

/// Reads a line without its end.
EventLine parse_event_line(std::string_view line) noexcept;

/// No written line is longer, its key of 10 digits at most, its end included.
inline constexpr std::size_t kMaxEventLineBytes = 96;

/// The stamp of a line.
struct SendStamp {
  std::chrono::nanoseconds due;   ///< steady clock, not before its beginning
  std::chrono::nanoseconds late;  ///< not below 0
};

/// Writes the line of an event, with its end; returns how many bytes. A time is not below 0.
std::size_t write_event_line(std::span<char, kMaxEventLineBytes> out, std::uint32_t key) noexcept;
std::size_t write_event_line(std::span<char, kMaxEventLineBytes> out, std::uint32_t key,
                             std::chrono::nanoseconds time) noexcept;
std::size_t write_event_line(std::span<char, kMaxEventLineBytes> out, std::uint32_t key,
                             std::chrono::nanoseconds time, SendStamp const& stamp) noexcept;

/// Keys of up to so many bytes fit into a word together with their length.
inline constexpr std::size_t kShortKeyBytes = 7;

/// The word of a key of 1 to kShortKeyBytes bytes: another for every such key, and never 0. Reads 8 bytes
/// from `key`.
inline std::uint64_t short_key(char const* key, std::size_t length) noexcept {
  static_assert(std::endian::native == std::endian::little, "bytes of a key stand in a word in their order");
  std::uint64_t word;
  std::memcpy(&word, key, sizeof word);
  return (word & ((std::uint64_t{1} << (8 * length)) - 1)) | static_cast<std::uint64_t>(length) << 56;
}

/// What stands for a longer key in event_number().
inline std::uint64_t long_key_hash(std::string_view key) noexcept {
  return std::hash<std::string_view>{}(key);
}

/// A number for an event that its line alone determines: what the grain's chain begins with. `key_word` is
/// short_key(), or of a longer key, long_key_hash().
constexpr std::uint64_t event_number(std::uint64_t key_word, std::chrono::nanoseconds time) noexcept {
  return key_word ^ mix64(static_cast<std::uint64_t>(time.count()));
}

}  // namespace tally
