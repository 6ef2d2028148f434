// One line of a text file: what it is keyed by, when it happened, or what is wrong with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "workloads/text/csv.hpp"
#include "workloads/text/key_regex.hpp"
#include "workloads/text/ndjson.hpp"
#include "workloads/text/parsed_line.hpp"
#include "workloads/text/times.hpp"

namespace tally {

enum class TextFormat { lines, clf, csv, ndjson, regex };

/// `lines`, `clf`, and so on, as users write them.
std::string_view name_of(TextFormat format) noexcept;

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

/// A line whose quotes are known.
struct ClfLine {
  static constexpr std::size_t kQuotes = 6;  ///< that a line of the Combined format has
  std::string_view text;                     ///< without its end
  char const* quotes[kQuotes];               ///< the first of them
  std::size_t found = 0;                     ///< how many there are
  bool escapes = false;                      ///< whether there is a backslash
};

/// The lines of a text, and where quotes stand in them. Where newlines, quotes and backslashes are is found
/// some thousand bytes ahead, 64 at a time and without a branch on how many there are: lines are alike, so
/// that going through what was found is then foreseen by the processor, as it is not where each block has
/// another number.
class ClfLines {
 public:
  explicit ClfLines(std::string_view text) noexcept
      : line_(text.data()), ahead_(text.data()), end_(text.data() + text.size()) {}
  /// False at the end. A final line may have no line end.
  bool next(ClfLine& line) noexcept;

 private:
  static constexpr std::size_t kAhead = 4096;
  bool look_ahead() noexcept;
  /// next(), if what follows is a line with six quotes and no escape, as nearly all of most logs are.
  bool next_combined(ClfLine& line) noexcept;
  void take(ClfLine& line, char const* line_end, char const* next) noexcept;
  char const* line_;              // where the next one begins
  char const* looked_ = nullptr;  // from here on it was looked ahead
  char const* ahead_;             // up to here
  char const* end_;
  std::size_t given_ = 0, found_ = 0;  // of what was found, the first have been gone through
  std::uint16_t marks_[kAhead + 4];    // bytes from looked_
};

/// As parse_clf() of its text, but faster where the line is as lines are.
ParsedLine parse_clf(ClfLine const& line, ClfKey key, ClfClock& clock) noexcept;

/// Parses a line of fields separated by blanks (spaces and tabs; those at either end are no field), numbered
/// from 1. The key is field `key_field`, or the whole line if that is 0. The time, if `time_field` is not 0,
/// begins with field `time_field`: an ISO 8601 date, `2024-05-01`, and the time of day, `12:00`, `12:00:00`
/// or `12:00:00.5`, after a `T` or as the next field, then optionally the zone, `Z` or `+02:00` or `+0200` or
/// `+02`; UTC without it. A date that no time of day follows is its midnight. In another format, it is the
/// field, or of a pattern as many fields as that takes.
ParsedLine parse_fields(std::string_view line, unsigned key_field, unsigned time_field,
                        TimeFormat const& time_format = {}) noexcept;

/// What is read of each line, or record.
struct LineFormat {
  TextFormat format = TextFormat::lines;
  ClfKey clf_key = ClfKey::target;   ///< clf
  unsigned key_field = 0;            ///< lines, as parse_fields() has it
  unsigned time_field = 0;           ///< lines, as parse_fields() has it
  CsvColumns csv{};                  ///< csv
  JsonPath json_key{}, json_time{};  ///< ndjson; no path: its time is not read
  std::optional<KeyRegex> regex{};   ///< regex
  TimeFormat time_format{};          ///< all but clf
  bool timed = false;                ///< whether the lines' times are read

  /// `clock` is to be the same for lines that follow each other. csv and regex: a line that is not UTF-8 is
  /// malformed unless `known_utf8`, that is, unless that was looked at before. Throws std::bad_alloc.
  ParsedLine parse(std::string_view line, ClfClock& clock, bool known_utf8 = false) const;
};

}  // namespace tally
