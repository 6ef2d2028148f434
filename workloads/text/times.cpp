#include "workloads/text/times.hpp"

#include <array>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "workloads/text/digits.hpp"

namespace tally {
namespace {

constexpr bool is_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }
constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

constexpr std::size_t kDateBytes = 10;
/// Times are at most so far from the epoch, about three million years: arithmetic with them cannot overflow.
constexpr std::int64_t kMostSeconds = 100'000'000'000'000;

/// Seconds east of Greenwich of "Z", "+hh", "+hhmm" or "+hh:mm".
std::optional<std::int64_t> read_zone(std::string_view text) noexcept {
  if (text == "Z") return 0;
  if (text.size() == 3) return zone_seconds(text[0], fixed_number(text.data() + 1, 2), 0);
  if (text.size() == 6 && text[3] == ':') {
    return zone_seconds(text[0], fixed_number(text.data() + 1, 2), fixed_number(text.data() + 4, 2));
  }
  if (text.size() != 5) return std::nullopt;
  return zone_seconds(text[0], fixed_number(text.data() + 1, 2), fixed_number(text.data() + 3, 2));
}

/// Midnight of the date that `text`, of at least kDateBytes, begins with.
std::optional<std::int64_t> read_date(std::string_view text) noexcept {
  if (text[4] != '-' || text[7] != '-') return std::nullopt;
  return day_seconds(fixed_number(text.data(), 4), fixed_number(text.data() + 5, 2),
                     fixed_number(text.data() + 8, 2));
}

std::optional<std::int64_t> read_iso(std::string_view text) noexcept {
  if (text.size() < kDateBytes) return std::nullopt;
  auto const day = read_date(text);
  if (!day || text.size() == kDateBytes) return day;
  if (text[kDateBytes] != 'T' && text[kDateBytes] != ' ') return std::nullopt;
  auto const time_of_day = read_time_of_day(text.substr(kDateBytes + 1));
  if (!time_of_day) return std::nullopt;
  return *day + *time_of_day;
}

/// The whole number of seconds at or below the number in `text`, of which `per_second` are a second.
std::optional<std::int64_t> read_epoch(std::string_view text, std::int64_t per_second) noexcept {
  bool const negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  std::int64_t units = 0;
  std::size_t at = 0;
  for (; at < text.size() && is_digit(text[at]); ++at) {
    if (units > (INT64_MAX - 9) / 10) return std::nullopt;
    units = units * 10 + (text[at] - '0');
  }
  if (at == 0) return std::nullopt;
  bool fraction = false;
  if (at < text.size()) {
    if (text[at] != '.' || ++at == text.size()) return std::nullopt;
    for (; at < text.size(); ++at) {
      if (!is_digit(text[at])) return std::nullopt;
      fraction = fraction || text[at] != '0';
    }
  }
  std::int64_t seconds = units / per_second;
  if (seconds > kMostSeconds) return std::nullopt;
  if (!negative) return seconds;
  if (fraction || units % per_second != 0) ++seconds;
  return -seconds;
}

constexpr std::array<std::string_view, 12> kMonths{"january",   "february", "march",    "april",
                                                   "may",       "june",     "july",     "august",
                                                   "september", "october",  "november", "december"};
constexpr std::array<std::string_view, 7> kDays{"sunday",   "monday", "tuesday", "wednesday",
                                                "thursday", "friday", "saturday"};

/// Reads a text from left to right, as a pattern has it.
class Scanner {
 public:
  explicit Scanner(std::string_view text) noexcept : text_(text) {}

  std::size_t at() const noexcept { return at_; }
  std::string_view rest() const noexcept { return text_.substr(at_); }
  void skip_space() noexcept {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  bool take(char c) noexcept {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  /// A number of one digit to `most` digits, within bounds.
  bool take_number(int most, int low, int high, int& value) noexcept {
    int digits = 0, found = 0;
    while (digits < most && at_ < text_.size() && is_digit(text_[at_])) {
      found = found * 10 + (text_[at_++] - '0');
      ++digits;
    }
    if (digits == 0 || found < low || found > high) return false;
    value = found;
    return true;
  }
  /// A name, whole or its first three letters, in any case; its index.
  template <std::size_t N>
  bool take_name(std::array<std::string_view, N> const& names, int& index) noexcept {
    for (std::size_t i = 0; i < N; ++i) {
      for (std::size_t const length : {names[i].size(), std::size_t{3}}) {
        if (!begins_with(names[i].substr(0, length))) continue;
        at_ += length;
        index = static_cast<int>(i);
        return true;
      }
    }
    return false;
  }
  /// Whether `name`, in small letters, is next, in any case.
  bool begins_with(std::string_view name) const noexcept {
    if (text_.size() - at_ < name.size()) return false;
    for (std::size_t i = 0; i < name.size(); ++i) {
      if (lower(text_[at_ + i]) != name[i]) return false;
    }
    return true;
  }
  void skip(std::size_t bytes) noexcept { at_ += bytes; }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

/// What a pattern has read.
struct Parts {
  int year = 1970, month = 1, day = 1, day_of_year = 0;
  int hour = 0, minute = 0, second = 0;
  bool half_day = false, afternoon = false;
  std::int64_t zone_s = 0;
  std::optional<std::int64_t> epoch_s;

  std::optional<std::int64_t> seconds() const noexcept {
    if (epoch_s) return epoch_s;
    auto date = day_seconds(year, month, day);
    if (day_of_year > 0) {
      date = day_seconds(year, 1, 1);
      bool const leap = day_seconds(year, 2, 29).has_value();
      if (day_of_year > (leap ? 366 : 365)) return std::nullopt;
      if (date) *date += (day_of_year - 1) * 86'400;
    }
    if (!date) return std::nullopt;
    int const hours = half_day ? hour % 12 + (afternoon ? 12 : 0) : hour;
    return *date + hours * 3600 + minute * 60 + second - zone_s;
  }
};

/// The pattern that a directive stands for, of those that stand for several; else "".
constexpr std::string_view meaning(char directive) noexcept {
  switch (directive) {
    case 'T':
      return "%H:%M:%S";
    case 'R':
      return "%H:%M";
    case 'D':
      return "%m/%d/%y";
    case 'F':
      return "%Y-%m-%d";
    default:
      return "";
  }
}

bool take_zone(Scanner& text, std::int64_t& zone_s) noexcept {
  if (text.take('Z')) {
    zone_s = 0;
    return true;
  }
  std::string_view const rest = text.rest();
  for (std::size_t const length : {std::size_t{6}, std::size_t{5}, std::size_t{3}}) {
    if (rest.size() < length) continue;
    if (auto const zone = read_zone(rest.substr(0, length))) {
      // As strptime(3), hours are not all of it where digits of minutes follow, however few or great.
      std::string_view const behind = rest.substr(length);
      std::size_t const colon = behind.starts_with(':') ? 1 : 0;
      if (length == 3 && behind.size() > colon && is_digit(behind[colon])) return false;
      zone_s = *zone;
      text.skip(length);
      return true;
    }
  }
  return false;
}

bool take_zone_name(Scanner& text) noexcept {
  for (std::string_view const name : {"utc", "gmt", "z"}) {
    if (!text.begins_with(name)) continue;
    text.skip(name.size());
    return true;
  }
  return false;
}

bool take_epoch(Scanner& text, Parts& parts) noexcept {
  std::string_view const rest = text.rest();
  std::size_t length = !rest.empty() && rest[0] == '-' ? 1 : 0;
  while (length < rest.size() && is_digit(rest[length])) ++length;
  parts.epoch_s = read_epoch(rest.substr(0, length), 1);
  text.skip(length);
  return parts.epoch_s.has_value();
}

bool take_fraction(Scanner& text) noexcept {
  std::size_t length = 0;
  while (length < text.rest().size() && is_digit(text.rest()[length])) ++length;
  text.skip(length);
  return length > 0;
}

bool follow(std::string_view pattern, Scanner& text, Parts& parts) noexcept;

/// Reads what one directive stands for.
bool follow_directive(char directive, Scanner& text, Parts& parts) noexcept {
  int ignored = 0;
  switch (directive) {
    case 'Y':
      return text.take_number(4, 0, 9999, parts.year);
    case 'y':
      if (!text.take_number(2, 0, 99, parts.year)) return false;
      parts.year += parts.year < 69 ? 2000 : 1900;  // as POSIX has it
      return true;
    case 'm':
      return text.take_number(2, 1, 12, parts.month);
    case 'd':
    case 'e':
      text.skip_space();
      return text.take_number(2, 1, 31, parts.day);
    case 'j':
      return text.take_number(3, 1, 366, parts.day_of_year);
    case 'H':
    case 'k':
      text.skip_space();
      return text.take_number(2, 0, 23, parts.hour);
    case 'I':
    case 'l':
      text.skip_space();
      parts.half_day = true;
      return text.take_number(2, 1, 12, parts.hour);
    case 'p':
      parts.afternoon = text.begins_with("pm");
      if (!parts.afternoon && !text.begins_with("am")) return false;
      text.skip(2);
      return true;
    case 'M':
      return text.take_number(2, 0, 59, parts.minute);
    case 'S':
      return text.take_number(2, 0, 60, parts.second);
    case 'f':
      return take_fraction(text);
    case 'b':
    case 'B':
    case 'h':
      if (!text.take_name(kMonths, parts.month)) return false;
      ++parts.month;
      return true;
    case 'a':
    case 'A':
      return text.take_name(kDays, ignored);
    case 'z':
      return take_zone(text, parts.zone_s);
    case 'Z':
      return take_zone_name(text);
    case 's':
      return take_epoch(text, parts);
    case 'n':
    case 't':
      text.skip_space();
      return true;
    case '%':
      return text.take('%');
    default:
      return follow(meaning(directive), text, parts);
  }
}

bool follow(std::string_view pattern, Scanner& text, Parts& parts) noexcept {
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (is_space(pattern[i])) {
      text.skip_space();
    } else if (pattern[i] != '%') {
      if (!text.take(pattern[i])) return false;
    } else if (!follow_directive(pattern[++i], text, parts)) {
      return false;
    }
  }
  return true;
}

void check_pattern(std::string const& pattern) {
  constexpr std::string_view kKnown = "YymdejHkIlpMSfbBhaAzZsntTRDF%";
  std::string found;
  for (std::size_t i = pattern.find('%'); i < pattern.size(); i = pattern.find('%', i + 2)) {
    char const directive = i + 1 < pattern.size() ? pattern[i + 1] : '\0';
    if (directive == '\0' || kKnown.find(directive) == std::string_view::npos) {
      throw std::invalid_argument("time format '" + pattern + "': there is no %" +
                                  (directive == '\0' ? std::string() : std::string(1, directive)) +
                                  "; there are % with one of " + std::string(kKnown));
    }
    found += directive;
  }
  auto const has = [&](char const* any) { return found.find_first_of(any) != std::string::npos; };
  bool const day = has("DF") || has("j") || (has("mbBh") && has("de"));
  if (!has("s") && !(has("YyDF") && day)) {
    throw std::invalid_argument(
        "time format '" + pattern +
        "' names no date: it needs a year, a month and a day, such as %Y-%m-%d, or %s");
  }
}

}  // namespace

std::optional<std::int64_t> day_seconds(int year, int month, int day) noexcept {
  if (year < 0 || month < 0 || day < 0) return std::nullopt;
  std::chrono::year_month_day const date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::seconds(std::chrono::sys_days(date).time_since_epoch()).count();
}

std::optional<std::int64_t> zone_seconds(char sign, int hours, int minutes) noexcept {
  if ((sign != '+' && sign != '-') || hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
    return std::nullopt;
  std::int64_t const seconds = hours * 3600 + minutes * 60;
  return sign == '+' ? seconds : -seconds;
}

int month_number(char const* name) noexcept {
  static constexpr std::string_view kNames = "JanFebMarAprMayJunJulAugSepOctNovDec";
  for (std::size_t i = 0; i < 12; ++i) {
    if (std::memcmp(kNames.data() + 3 * i, name, 3) == 0) return static_cast<int>(i) + 1;
  }
  return -1;
}

std::optional<std::int64_t> read_time_of_day(std::string_view text) noexcept {
  if (text.size() < 5 || text[2] != ':') return std::nullopt;
  int const hour = fixed_number(text.data(), 2);
  int const minute = fixed_number(text.data() + 3, 2);
  int second = 0;
  text.remove_prefix(5);
  if (text.size() >= 3 && text[0] == ':') {
    second = fixed_number(text.data() + 1, 2);
    text.remove_prefix(3);
    if (text.size() >= 2 && (text[0] == '.' || text[0] == ',') && is_digit(text[1])) {
      text.remove_prefix(2);
      while (!text.empty() && is_digit(text[0])) text.remove_prefix(1);
    }
  }
  auto const zone = text.empty() ? 0 : read_zone(text);
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 || !zone)
    return std::nullopt;
  return hour * 3600 + minute * 60 + second - *zone;
}

std::optional<std::int64_t> read_iso_fields(std::string_view field, std::string_view next) noexcept {
  if (field.size() < kDateBytes) return std::nullopt;
  auto const day = read_date(field);
  if (!day) return std::nullopt;
  std::optional<std::int64_t> time_of_day = 0;
  if (field.size() > kDateBytes) {
    if (field[kDateBytes] != 'T') return std::nullopt;
    time_of_day = read_time_of_day(field.substr(kDateBytes + 1));
  } else if (next.size() >= 3 && is_digit(next[0]) && is_digit(next[1]) && next[2] == ':') {
    time_of_day = read_time_of_day(next);
  }
  if (!time_of_day) return std::nullopt;
  return *day + *time_of_day;
}

TimeFormat::TimeFormat(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, std::int64_t>, 4> kEpochs{
      {{"epoch-s", 1}, {"epoch-ms", 1'000}, {"epoch-us", 1'000'000}, {"epoch-ns", 1'000'000'000}}};
  if (text.empty() || text == "iso") return;
  for (auto const& [name, per_second] : kEpochs) {
    if (name != text) continue;
    kind_ = Kind::epoch;
    per_second_ = per_second;
    return;
  }
  kind_ = Kind::pattern;
  pattern_ = text;
  if (pattern_.find('%') == std::string::npos) {
    throw std::invalid_argument(
        "time format '" + pattern_ +
        "': write iso, epoch-s, epoch-ms, epoch-us, epoch-ns, or a strptime pattern such as "
        "'%Y-%m-%d %H:%M:%S'");
  }
  check_pattern(pattern_);
}

std::optional<std::int64_t> TimeFormat::read(std::string_view text) const noexcept {
  if (kind_ == Kind::iso) return read_iso(text);
  if (kind_ == Kind::epoch) return read_epoch(text, per_second_);
  std::size_t length = 0;
  auto const time = read_prefix(text, length);
  return length == text.size() ? time : std::nullopt;
}

std::optional<std::int64_t> TimeFormat::read_prefix(std::string_view text,
                                                    std::size_t& length) const noexcept {
  Scanner scanner(text);
  Parts parts;
  if (!follow(pattern_, scanner, parts)) return std::nullopt;
  length = scanner.at();
  return parts.seconds();
}

std::string_view TimeFormat::problem() const noexcept {
  switch (kind_) {
    case Kind::iso:
      return "time is not like 2024-05-01 12:00:00 or 2024-05-01T12:00:00Z";
    case Kind::epoch:
      return "time is not a number since 1970";
    case Kind::pattern:
      break;
  }
  return "time is not as --time-format has it";
}

}  // namespace tally
