#include "workloads/line_formats.hpp"

#include <array>
#include <chrono>
#include <cstring>

namespace tally {
namespace {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t'; }

/// The number in the `digits` characters at `p`, or -1 if they are not all digits.
int number(char const* p, int digits) noexcept {
  int value = 0;
  for (int i = 0; i < digits; ++i) {
    if (!is_digit(p[i])) return -1;
    value = value * 10 + (p[i] - '0');
  }
  return value;
}

/// Seconds from the epoch to midnight of a day of the Gregorian calendar; none if there is no such day.
std::optional<std::int64_t> day_seconds(int year, int month, int day) noexcept {
  if (year < 0 || month < 0 || day < 0) return std::nullopt;
  std::chrono::year_month_day const date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::seconds(std::chrono::sys_days(date).time_since_epoch()).count();
}

/// Seconds east of Greenwich of "+hhmm", where hh and mm are given as numbers; none if they are not such.
std::optional<std::int64_t> zone_seconds(char sign, int hours, int minutes) noexcept {
  if ((sign != '+' && sign != '-') || hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
    return std::nullopt;
  std::int64_t const seconds = hours * 3600 + minutes * 60;
  return sign == '+' ? seconds : -seconds;
}

int month_number(char const* name) noexcept {
  static constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  for (std::size_t i = 0; i < 12; ++i) {
    if (std::memcmp(kMonths.data() + 3 * i, name, 3) == 0) return static_cast<int>(i) + 1;
  }
  return -1;
}

}  // namespace

bool ClfClock::read_hour(char const* text) noexcept {
  if (text[2] != '/' || text[6] != '/' || text[11] != ':' || text[20] != ' ') return false;
  auto const day = day_seconds(number(text + 7, 4), month_number(text + 3), number(text, 2));
  int const hour = number(text + 12, 2);
  auto const zone = zone_seconds(text[21], number(text + 22, 2), number(text + 24, 2));
  if (!day || hour < 0 || hour > 23 || !zone) return false;
  hour_s_ = *day + hour * 3600 - *zone;
  std::memcpy(hour_, text, kHourBytes);
  std::memcpy(zone_, text + 20, kZoneBytes);
  return true;
}

bool ClfClock::read(char const* text, std::int64_t& time_s) noexcept {
  bool const same_hour =
      std::memcmp(text, hour_, kHourBytes) == 0 && std::memcmp(text + 20, zone_, kZoneBytes) == 0;
  if (!same_hour && !read_hour(text)) return false;
  int const minute = number(text + 15, 2);
  int const second = number(text + 18, 2);
  if (text[14] != ':' || text[17] != ':' || minute < 0 || minute > 59 || second < 0 || second > 60)
    return false;
  time_s = hour_s_ + minute * 60 + second;
  return true;
}

std::optional<ClfKey> clf_key(std::string_view name) noexcept {
  static constexpr std::array<std::string_view, 5> kNames{"host", "method", "target", "status", "agent"};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<ClfKey>(i);
  }
  return std::nullopt;
}

namespace {

/// Reads a line from left to right. Every function leaves the place alone unless what it reads is there.
class Cursor {
 public:
  explicit Cursor(std::string_view line) noexcept : at_(line.data()), end_(line.data() + line.size()) {}

  bool at_end() const noexcept { return at_ == end_; }
  std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - at_); }
  char const* at() const noexcept { return at_; }
  void skip(std::size_t bytes) noexcept { at_ += bytes; }

  bool take(char c) noexcept {
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  /// A field that is not empty, and the space after it.
  bool take_field(std::string_view& field) noexcept {
    auto const* const space = find(at_, ' ');
    if (space == nullptr || space == at_) return false;
    field = {at_, static_cast<std::size_t>(space - at_)};
    at_ = space + 1;
    return true;
  }

  /// What stands in quotes up to the next quote that is not escaped; the opening one was taken.
  bool take_quoted(std::string_view& content) noexcept {
    char const* quote = at_;
    while ((quote = find(quote, '"')) != nullptr) {
      char const* first_backslash = quote;
      while (first_backslash != at_ && first_backslash[-1] == '\\') --first_backslash;
      if ((quote - first_backslash) % 2 == 0) {
        content = {at_, static_cast<std::size_t>(quote - at_)};
        at_ = quote + 1;
        return true;
      }
      ++quote;
    }
    return false;
  }

 private:
  char const* find(char const* from, char c) const noexcept {
    return static_cast<char const*>(std::memchr(from, c, static_cast<std::size_t>(end_ - from)));
  }
  char const* at_;
  char const* end_;
};

constexpr bool is_method_byte(char c) noexcept {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
}

struct Request {
  std::string_view method;
  std::string_view target;
};

Request split_request(std::string_view request) noexcept {
  // Eight bytes may be read from where a key begins.
  Request const unknown{std::string_view("-\0\0\0\0\0\0", 1), request};
  std::size_t const method_end = request.find(' ');
  if (method_end == 0 || method_end == std::string_view::npos) return unknown;
  std::string_view const method = request.substr(0, method_end);
  for (char const c : method) {
    if (!is_method_byte(c)) return unknown;
  }
  std::string_view const rest = request.substr(method_end + 1);
  std::size_t const target_end = rest.find(' ');
  if (rest.empty() || target_end == 0) return unknown;
  if (target_end == std::string_view::npos) return {method, rest};
  std::string_view const protocol = rest.substr(target_end + 1);
  if (!protocol.starts_with("HTTP/") || protocol.find(' ') != std::string_view::npos) return unknown;
  return {method, rest.substr(0, target_end)};
}

constexpr std::string_view kOpenQuote = "quoted field has no closing quote";

ParsedLine malformed(std::string_view problem) noexcept { return {{}, 0, problem}; }

/// The fields of one line that a key can be made of.
struct ClfFields {
  std::string_view host, request, status, agent;
  bool has_agent = false;
};

/// status, size and, in the Combined format, referer and agent. Returns what is wrong, or nothing.
std::string_view parse_after_request(Cursor& line, ClfFields& fields) noexcept {
  if (!line.take(' ') || line.left() < 3 || number(line.at(), 3) < 0) return "status is not three digits";
  fields.status = {line.at(), 3};
  line.skip(3);
  if (!line.take(' ')) return "no size after the status, or a status longer than three digits";
  if (!line.take('-')) {
    std::size_t digits = 0;
    while (digits < line.left() && is_digit(line.at()[digits])) ++digits;
    if (digits == 0) return "size is neither a number nor -";
    line.skip(digits);
  }
  if (line.at_end()) return {};
  if (!line.take(' ') || !line.take('"')) return "no quoted referer after the size";
  std::string_view referer;
  if (!line.take_quoted(referer)) return kOpenQuote;
  if (!line.take(' ') || !line.take('"')) return "no quoted agent after the referer";
  if (!line.take_quoted(fields.agent)) return kOpenQuote;
  fields.has_agent = true;
  if (!line.at_end()) return "more after the agent, the last field";
  return {};
}

}  // namespace

ParsedLine parse_clf(std::string_view text, ClfKey key, ClfClock& clock) noexcept {
  if (text.empty()) return malformed("empty line");
  Cursor line(text);
  ClfFields fields;
  std::string_view ident, user;
  ParsedLine parsed;
  if (!line.take_field(fields.host) || !line.take_field(ident) || !line.take_field(user) || !line.take('[')) {
    return malformed("does not begin with host, ident, user and a bracketed time");
  }
  if (line.left() <= ClfClock::kTimeBytes || line.at()[ClfClock::kTimeBytes] != ']' ||
      !clock.read(line.at(), parsed.time_s)) {
    return malformed("time is not like [10/Oct/2000:13:55:36 -0700]");
  }
  line.skip(ClfClock::kTimeBytes + 1);
  if (!line.take(' ') || !line.take('"')) return malformed("no quoted request after the time");
  if (!line.take_quoted(fields.request)) return malformed(kOpenQuote);
  std::string_view const problem = parse_after_request(line, fields);
  if (!problem.empty()) return malformed(problem);
  switch (key) {
    case ClfKey::host:
      parsed.key = fields.host;
      break;
    case ClfKey::method:
      parsed.key = split_request(fields.request).method;
      break;
    case ClfKey::target:
      parsed.key = split_request(fields.request).target;
      break;
    case ClfKey::status:
      parsed.key = fields.status;
      break;
    case ClfKey::agent:
      if (!fields.has_agent) return malformed("no agent: a line of the Common Log Format");
      parsed.key = fields.agent;
      break;
  }
  return parsed;
}

namespace {

/// Takes the next blank-separated field off the front of `line`; empty at its end.
std::string_view next_field(std::string_view& line) noexcept {
  std::size_t begin = 0;
  while (begin < line.size() && is_blank(line[begin])) ++begin;
  std::size_t end = begin;
  while (end < line.size() && !is_blank(line[end])) ++end;
  std::string_view const field = line.substr(begin, end - begin);
  line.remove_prefix(end);
  return field;
}

bool begins_time_of_day(std::string_view text) noexcept {
  return text.size() >= 3 && is_digit(text[0]) && is_digit(text[1]) && text[2] == ':';
}

/// Seconds east of Greenwich of "", "Z", "+hh", "+hhmm" or "+hh:mm".
std::optional<std::int64_t> read_zone(std::string_view text) noexcept {
  if (text.empty() || text == "Z") return 0;
  if (text.size() == 3) return zone_seconds(text[0], number(text.data() + 1, 2), 0);
  if (text.size() == 6 && text[3] == ':') {
    return zone_seconds(text[0], number(text.data() + 1, 2), number(text.data() + 4, 2));
  }
  if (text.size() != 5) return std::nullopt;
  return zone_seconds(text[0], number(text.data() + 1, 2), number(text.data() + 3, 2));
}

/// Seconds since midnight UTC of "hh:mm[:ss[.fraction]][zone]"; none if `text` is not that.
std::optional<std::int64_t> read_time_of_day(std::string_view text) noexcept {
  if (text.size() < 5 || text[2] != ':') return std::nullopt;
  int const hour = number(text.data(), 2);
  int const minute = number(text.data() + 3, 2);
  int second = 0;
  text.remove_prefix(5);
  if (text.size() >= 3 && text[0] == ':') {
    second = number(text.data() + 1, 2);
    text.remove_prefix(3);
    if (text.size() >= 2 && (text[0] == '.' || text[0] == ',') && is_digit(text[1])) {
      text.remove_prefix(2);
      while (!text.empty() && is_digit(text[0])) text.remove_prefix(1);
    }
  }
  auto const zone = read_zone(text);
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 || !zone)
    return std::nullopt;
  return hour * 3600 + minute * 60 + second - *zone;
}

/// The time that begins with `field` and may go on in `next`.
std::optional<std::int64_t> read_iso_time(std::string_view field, std::string_view next) noexcept {
  constexpr std::size_t kDateBytes = 10;
  if (field.size() < kDateBytes || field[4] != '-' || field[7] != '-') return std::nullopt;
  auto const day =
      day_seconds(number(field.data(), 4), number(field.data() + 5, 2), number(field.data() + 8, 2));
  if (!day) return std::nullopt;
  std::optional<std::int64_t> time_of_day = 0;
  if (field.size() > kDateBytes) {
    if (field[kDateBytes] != 'T') return std::nullopt;
    time_of_day = read_time_of_day(field.substr(kDateBytes + 1));
  } else if (begins_time_of_day(next)) {
    time_of_day = read_time_of_day(next);
  }
  if (!time_of_day) return std::nullopt;
  return *day + *time_of_day;
}

}  // namespace

ParsedLine parse_fields(std::string_view line, unsigned key_field, unsigned time_field) noexcept {
  ParsedLine parsed;
  parsed.key = line;
  std::string_view rest = line;
  unsigned const last = key_field > time_field ? key_field : time_field;
  for (unsigned i = 1; i <= last; ++i) {
    std::string_view const field = next_field(rest);
    if (field.empty()) return malformed("no such field: the line has fewer");
    if (i == key_field) parsed.key = field;
    if (i == time_field) {
      std::string_view after = rest;
      auto const time = read_iso_time(field, next_field(after));
      if (!time) return malformed("time is not like 2024-05-01 12:00:00 or 2024-05-01T12:00:00Z");
      parsed.time_s = *time;
    }
  }
  return parsed;
}

}  // namespace tally
