// One line of a text file: what it is keyed by, when it happened, or what is wrong with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tally {

enum class TextFormat { lines, clf };

/// What a line says. Views are into the line, or to string literals.
struct ParsedLine {
  std::string_view key;
  std::int64_t time_s = 0;   ///< seconds since the epoch, UTC; 0 where the time is not read
  std::string_view problem;  ///< why the line is malformed, a string literal; empty: it is well formed
};

/// The fields of the Common and Combined Log Format that a line can be keyed by.
enum class ClfKey : std::uint8_t { host, method, target, status, agent };

/// The field called `name`, if there is one.
std::optional<ClfKey> clf_key(std::string_view name) noexcept;

/// Reads bracketed log times, and remembers the hour it read last: log lines stand in order of time.
class ClfClock {
 public:
  static constexpr std::size_t kTimeBytes = 26;
  /// Reads the kTimeBytes at `text`, "10/Oct/2000:13:55:36 -0700" (a second 60 is a leap second). False if
  /// they are no such time.
  bool read(char const* text, std::int64_t& time_s) noexcept;

 private:
  static constexpr std::size_t kHourBytes = 14;
  static constexpr std::size_t kZoneBytes = 6;
  bool read_hour(char const* text) noexcept;
  char hour_[kHourBytes + 1] = "01/Jan/1970:00";
  char zone_[kZoneBytes + 1] = " +0000";
  std::int64_t hour_s_ = 0;  ///< when that hour begins
};

/// Parses a line of Apache's Common or Combined Log Format (Apache HTTP Server, mod_log_config):
///
///     host ident authuser [10/Oct/2000:13:55:36 -0700] "request" status bytes
///     host ident authuser [10/Oct/2000:13:55:36 -0700] "request" status bytes "referer" "agent"
///
/// with one space between fields. In quotes, a backslash escapes a quote or a backslash. The whole line is
/// checked, whatever is asked for, so that a file has the same malformed lines under every key. A request
/// that is not `METHOD TARGET` or `METHOD TARGET HTTP/…`, as a TLS greeting on a plain port gives, has the
/// method "-" and is itself the target; so has "-", a connection closed without a request. Keys are as they
/// stand in the file, escapes and all. A Common line has no agent, and is malformed where that is the key.
ParsedLine parse_clf(std::string_view line, ClfKey key, ClfClock& clock) noexcept;

/// Parses a line of fields separated by blanks (spaces and tabs; those at either end are no field), numbered
/// from 1. The key is field `key_field`, or the whole line if that is 0. The time, if `time_field` is not 0,
/// begins with field `time_field`: an ISO 8601 date, `2024-05-01`, and the time of day, `12:00`, `12:00:00`
/// or `12:00:00.5`, after a `T` or as the next field, then optionally the zone, `Z` or `+02:00` or `+0200` or
/// `+02`; UTC without it. A date that no time of day follows is its midnight.
ParsedLine parse_fields(std::string_view line, unsigned key_field, unsigned time_field) noexcept;

/// What is read of each line.
struct LineFormat {
  TextFormat format = TextFormat::lines;
  ClfKey clf_key = ClfKey::target;  ///< clf
  unsigned key_field = 0;           ///< lines, as parse_fields() has it
  unsigned time_field = 0;          ///< lines, as parse_fields() has it

  /// Whether the lines' times are read.
  bool timed() const noexcept { return format == TextFormat::clf || time_field != 0; }
  /// `clock` is to be the same for lines that follow each other.
  ParsedLine parse(std::string_view line, ClfClock& clock) const noexcept {
    return format == TextFormat::clf ? parse_clf(line, clf_key, clock)
                                     : parse_fields(line, key_field, time_field);
  }
};

}  // namespace tally
