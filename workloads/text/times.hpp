// Event times as files write them: ISO 8601, a number since the epoch, or as a strptime(3) pattern says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tally {

/// Seconds since the epoch to midnight UTC of a day of the Gregorian calendar; none if there is no such day.
std::optional<std::int64_t> day_seconds(int year, int month, int day) noexcept;

/// Seconds east of Greenwich of a zone whose sign, hours and minutes are given; none if they are no such.
std::optional<std::int64_t> zone_seconds(char sign, int hours, int minutes) noexcept;

/// The number of the month that the three bytes at `name` abbreviate in English ("Jan"), or -1.
int month_number(char const* name) noexcept;

/// The number in the `digits` bytes at `p`, or -1 if they are not all digits.
inline int fixed_number(char const* p, int digits) noexcept {
  int value = 0;
  for (int i = 0; i < digits; ++i) {
    if (p[i] < '0' || p[i] > '9') return -1;
    value = value * 10 + (p[i] - '0');
  }
  return value;
}

/// How a time is written. Every time is read as seconds since the epoch, UTC, its fraction cut off downwards.
///
/// - iso: `2024-05-01`, optionally a `T` or a blank and `12:00`, `12:00:00` or `12:00:00.5`, and then
///   optionally the zone, `Z`, `+02`, `+0200` or `+02:00`; UTC without it. A date alone is its midnight.
/// - epoch_s, epoch_ms, epoch_us, epoch_ns: a decimal number since the epoch, with a sign and decimals if it
///   has them.
/// - pattern: as strptime(3) of POSIX reads it in the C locale, with %z and %s as glibc and %f (the digits of
///   a fraction) as Python have them. UTC unless %z says otherwise. Other than there, a day that is none (30
///   February) is no time.
class TimeFormat {
 public:
  /// ISO 8601.
  TimeFormat() = default;
  /// `text`: "" or "iso", "epoch-s", "epoch-ms", "epoch-us", "epoch-ns", or a pattern, which has a %. Throws
  /// std::invalid_argument, one line, for what is none, for a directive that is not known, and for a pattern
  /// that names no date.
  explicit TimeFormat(std::string_view text);

  bool iso() const noexcept { return kind_ == Kind::iso; }
  bool epoch() const noexcept { return kind_ == Kind::epoch; }
  bool pattern() const noexcept { return kind_ == Kind::pattern; }

  /// The time that the whole of `text` is; none if it is not one.
  std::optional<std::int64_t> read(std::string_view text) const noexcept;
  /// The time that `text` begins with, of a pattern; `length` becomes the number of its bytes.
  std::optional<std::int64_t> read_prefix(std::string_view text, std::size_t& length) const noexcept;
  /// Why a text is no such time: a string literal.
  std::string_view problem() const noexcept;

 private:
  enum class Kind : std::uint8_t { iso, epoch, pattern };
  Kind kind_ = Kind::iso;
  std::int64_t per_second_ = 1;  // epoch
  std::string pattern_;
};

/// Seconds since midnight UTC of "hh:mm[:ss[.fraction]][zone]"; none if `text` is not that.
std::optional<std::int64_t> read_time_of_day(std::string_view text) noexcept;

/// The time that begins with the blank-separated `field`, an ISO 8601 date, and may go on in the field after
/// it, `next`.
std::optional<std::int64_t> read_iso_fields(std::string_view field, std::string_view next) noexcept;

}  // namespace tally
