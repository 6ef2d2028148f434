#include "workloads/text/line_formats.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "workloads/text/byte_marks.hpp"
#include "workloads/text/digits.hpp"
#include "workloads/text/utf8.hpp"

namespace tally {
namespace {

constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t'; }

/// The bytes at `p` as a number, whatever their order.
template <class Word>
Word word(char const* p) noexcept {
  Word value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

}  // namespace

bool ClfClock::read_hour(char const* text) noexcept {
  if (text[2] != '/' || text[6] != '/' || text[11] != ':' || text[20] != ' ') return false;
  auto const day = day_seconds(fixed_number(text + 7, 4), month_number(text + 3), fixed_number(text, 2));
  int const hour = fixed_number(text + 12, 2);
  auto const zone = zone_seconds(text[21], fixed_number(text + 22, 2), fixed_number(text + 24, 2));
  if (!day || hour < 0 || hour > 23 || !zone) return false;
  hour_s_ = *day + hour * 3600 - *zone;
  std::memcpy(hour_, text, kHourBytes);
  std::memcpy(zone_, text + 20, kZoneBytes);
  return true;
}

bool ClfClock::read(char const* text, std::int64_t& time_s) noexcept {
  // In words that overlap: memcmp() of so many bytes is a call.
  bool const same_hour = word<std::uint64_t>(text) == word<std::uint64_t>(hour_) &&
                         word<std::uint64_t>(text + 6) == word<std::uint64_t>(hour_ + 6) &&
                         word<std::uint32_t>(text + 20) == word<std::uint32_t>(zone_) &&
                         word<std::uint32_t>(text + 22) == word<std::uint32_t>(zone_ + 2);
  if (!same_hour && !read_hour(text)) return false;
  int const minute = fixed_number(text + 15, 2);
  int const second = fixed_number(text + 18, 2);
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

/// Inline, as what uses it: parts handed over in memory would be read in other pieces than they were written
/// in, for which the processor waits.
[[gnu::always_inline]] inline Request split_request(std::string_view request) noexcept {
  // Eight bytes may be read from where a key begins.
  Request const unknown{std::string_view("-\0\0\0\0\0\0", 1), request};
  std::size_t method_end = 0;
  while (method_end < request.size() && is_method_byte(request[method_end])) ++method_end;
  if (method_end == 0 || method_end == request.size() || request[method_end] != ' ') return unknown;
  std::string_view const method = request.substr(0, method_end);
  std::string_view const rest = request.substr(method_end + 1);
  // Nearly all of them end like this.
  constexpr std::size_t kVersion = 9;  // " HTTP/1.1"
  if (rest.size() > kVersion &&
      word<std::uint64_t>(rest.data() + rest.size() - kVersion) == word<std::uint64_t>(" HTTP/1.") &&
      rest.back() != ' ') {
    std::string_view const target = rest.substr(0, rest.size() - kVersion);
    return std::memchr(target.data(), ' ', target.size()) == nullptr ? Request{method, target} : unknown;
  }
  std::size_t const target_end = rest.find(' ');
  if (rest.empty() || target_end == 0) return unknown;
  if (target_end == std::string_view::npos) return {method, rest};
  std::string_view const protocol = rest.substr(target_end + 1);
  if (!protocol.starts_with("HTTP/") || protocol.find(' ') != std::string_view::npos) return unknown;
  return {method, rest.substr(0, target_end)};
}

constexpr std::string_view kOpenQuote = "quoted field has no closing quote";

/// The fields of one line that a key can be made of.
struct ClfFields {
  std::string_view host, request, status, agent;
  bool has_agent = false;
};

/// Sets the key, or why there is none.
[[gnu::always_inline]] inline void take_key(ClfFields const& fields, ClfKey key,
                                            ParsedLine& parsed) noexcept {
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
      if (fields.has_agent)
        parsed.key = fields.agent;
      else
        parsed = malformed_line("no agent: a line of the Common Log Format");
      break;
  }
}

/// status, size and, in the Combined format, referer and agent. Returns what is wrong, or nothing.
std::string_view parse_after_request(Cursor& line, ClfFields& fields) noexcept {
  if (!line.take(' ') || line.left() < 3 || fixed_number(line.at(), 3) < 0)
    return "status is not three digits";
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
  if (text.empty()) return malformed_line("empty line");
  Cursor line(text);
  ClfFields fields;
  std::string_view ident, user;
  ParsedLine parsed;
  if (!line.take_field(fields.host) || !line.take_field(ident) || !line.take_field(user) || !line.take('[')) {
    return malformed_line("does not begin with host, ident, user and a bracketed time");
  }
  if (line.left() <= ClfClock::kTimeBytes || line.at()[ClfClock::kTimeBytes] != ']' ||
      !clock.read(line.at(), parsed.time_s)) {
    return malformed_line("time is not like [10/Oct/2000:13:55:36 -0700]");
  }
  line.skip(ClfClock::kTimeBytes + 1);
  if (!line.take(' ') || !line.take('"')) return malformed_line("no quoted request after the time");
  if (!line.take_quoted(fields.request)) return malformed_line(kOpenQuote);
  std::string_view const problem = parse_after_request(line, fields);
  if (!problem.empty()) return malformed_line(problem);
  take_key(fields, key, parsed);
  return parsed;
}

bool ClfLines::look_ahead() noexcept {
  if (ahead_ == end_) return false;
  looked_ = ahead_;
  auto const left = static_cast<std::size_t>(end_ - ahead_);
  std::size_t const bytes = std::min(left, kAhead);
  found_ = quote_positions(looked_, bytes, marks_);
  given_ = 0;
  ahead_ += bytes;
  return true;
}

bool ClfLines::next_combined(ClfLine& line) noexcept {
  constexpr std::size_t kMarks = ClfLine::kQuotes + 1;
  if (found_ - given_ < kMarks) return false;
  std::uint16_t const* const marks = marks_ + given_;
  char const* const newline = looked_ + marks[ClfLine::kQuotes];
  int others = *newline ^ '\n';
  for (std::size_t i = 0; i < ClfLine::kQuotes; ++i) {
    line.quotes[i] = looked_ + marks[i];
    others |= *line.quotes[i] ^ '"';
  }
  if (others != 0) return false;
  given_ += kMarks;
  line.found = ClfLine::kQuotes;
  line.escapes = false;
  take(line, newline, newline + 1);
  return true;
}

void ClfLines::take(ClfLine& line, char const* line_end, char const* next) noexcept {
  if (line_end != line_ && line_end[-1] == '\r') --line_end;
  line.text = {line_, static_cast<std::size_t>(line_end - line_)};
  line_ = next;
}

bool ClfLines::next(ClfLine& line) noexcept {
  if (line_ == end_) return false;
  if (next_combined(line)) return true;
  std::size_t found = 0;
  line.escapes = false;
  char const* line_end = end_;
  char const* next = end_;
  for (;;) {
    if (given_ == found_) {
      if (!look_ahead()) break;
      continue;
    }
    char const* const at = looked_ + marks_[given_++];
    if (*at == '"') {
      if (found < ClfLine::kQuotes) line.quotes[found] = at;
      ++found;
    } else if (*at == '\n') {
      line_end = at;
      next = at + 1;
      break;
    } else {
      line.escapes = true;
    }
  }
  line.found = found;
  take(line, line_end, next);
  return true;
}

namespace {

/// Whether the bytes from `begin` to `end` are three fields that are not empty, with a space after each:
/// host, ident, user. `host_end` becomes the first of these. No more than kMarkedBytes from `begin` are
/// looked at, and must be there; it says no where these do not suffice.
bool three_fields(char const* begin, char const* end, char const*& host_end) noexcept {
  auto const length = static_cast<std::size_t>(end - begin);
  if (length >= kMarkedBytes) return false;
  std::uint64_t const spaces = marks_of<' '>(begin) & ((std::uint64_t{1} << length) - 1);
  host_end = begin + std::countr_zero(spaces);
  // Taken away one by one: counting bits is a call where the processor may not have an instruction for it.
  std::uint64_t const last = (spaces & (spaces - 1)) & ((spaces & (spaces - 1)) - 1);
  return last == std::uint64_t{1} << (length - 1) && (spaces & 1) == 0 && (spaces & (spaces >> 1)) == 0;
}

/// The fields of a line without escapes that has all its quotes where they are expected, and its time; false
/// where anything is otherwise.
bool parse_plain(ClfLine const& line, ClfFields& fields, char const*& time) noexcept {
  bool const combined = line.found == ClfLine::kQuotes;
  if ((!combined && line.found != 2) || line.escapes) return false;
  char const *const begin = line.text.data(), *const end = begin + line.text.size();
  char const *const opened = line.quotes[0], *const closed = line.quotes[1];
  constexpr std::size_t kBefore = ClfClock::kTimeBytes + 3;  // "[time] "
  constexpr std::ptrdiff_t kAfter = 7;                       // " 200 1" and what it follows
  if (static_cast<std::size_t>(opened - begin) < kBefore + 6 || end - closed < kAfter) return false;
  if (line.text.size() < kMarkedBytes) return false;
  char const* const bracket = opened - kBefore;
  char const* host_end = nullptr;
  if (*bracket != '[' || opened[-2] != ']' || opened[-1] != ' ' || !three_fields(begin, bracket, host_end))
    return false;
  if (closed[1] != ' ' || fixed_number(closed + 2, 3) < 0 || closed[5] != ' ') return false;
  char const* at = closed + 6;
  if (*at == '-') {
    ++at;
  } else {
    if (!is_digit(*at)) return false;
    while (at != end && is_digit(*at)) ++at;
  }
  if (combined) {
    char const* const* const quotes = line.quotes;
    if (*at != ' ' || at + 1 != quotes[2] || quotes[3][1] != ' ' || quotes[3] + 2 != quotes[4] ||
        quotes[5] + 1 != end)
      return false;
    fields.agent = {quotes[4] + 1, static_cast<std::size_t>(quotes[5] - quotes[4] - 1)};
    fields.has_agent = true;
  } else if (at != end) {
    return false;
  }
  time = bracket + 1;
  fields.host = {begin, static_cast<std::size_t>(host_end - begin)};
  fields.request = {opened + 1, static_cast<std::size_t>(closed - opened - 1)};
  fields.status = {closed + 2, 3};
  return true;
}

}  // namespace

ParsedLine parse_clf(ClfLine const& line, ClfKey key, ClfClock& clock) noexcept {
  ClfFields fields;
  char const* time = nullptr;
  ParsedLine parsed;
  // What is not so plain, the thorough reader looks at, and says what is wrong with it if anything is.
  if (parse_plain(line, fields, time) && clock.read(time, parsed.time_s))
    take_key(fields, key, parsed);
  else
    parsed = parse_clf(line.text, key, clock);
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

/// The time of a pattern that begins where `field` does in a line that ends with `rest`, up to a field's end.
std::optional<std::int64_t> read_pattern(std::string_view field, std::string_view rest,
                                         TimeFormat const& format) noexcept {
  std::string_view const text(field.data(), field.size() + rest.size());
  std::size_t length = 0;
  auto const time = format.read_prefix(text, length);
  return length == text.size() || is_blank(text[length]) ? time : std::nullopt;
}

std::optional<std::int64_t> read_field_time(std::string_view field, std::string_view rest,
                                            TimeFormat const& format) noexcept {
  if (format.pattern()) return read_pattern(field, rest, format);
  if (format.epoch()) return format.read(field);
  return read_iso_fields(field, next_field(rest));
}

}  // namespace

ParsedLine parse_fields(std::string_view line, unsigned key_field, unsigned time_field,
                        TimeFormat const& time_format) noexcept {
  ParsedLine parsed;
  parsed.key = line;
  std::string_view rest = line;
  unsigned const last = key_field > time_field ? key_field : time_field;
  for (unsigned i = 1; i <= last; ++i) {
    std::string_view const field = next_field(rest);
    if (field.empty()) return malformed_line("no such field: the line has fewer");
    if (i == key_field) parsed.key = field;
    if (i == time_field) {
      auto const time = read_field_time(field, rest, time_format);
      if (!time) return malformed_line(time_format.problem());
      parsed.time_s = *time;
    }
  }
  return parsed;
}

std::string_view name_of(TextFormat format) noexcept {
  static constexpr std::array<std::string_view, 5> kNames{"lines", "clf", "csv", "ndjson", "regex"};
  return kNames[static_cast<std::size_t>(format)];
}

ParsedLine LineFormat::parse(std::string_view line, ClfClock& clock, bool known_utf8) const {
  switch (format) {
    case TextFormat::lines:
      return parse_fields(line, key_field, time_field, time_format);
    case TextFormat::clf:
      return parse_clf(line, clf_key, clock);
    case TextFormat::ndjson:
      return parse_ndjson(line, json_key, json_time, time_format);
    case TextFormat::csv:
    case TextFormat::regex:
      break;
  }
  if (!known_utf8 && !is_utf8(line)) return malformed_line("invalid UTF-8");
  return format == TextFormat::csv ? parse_csv(line, csv, time_format) : regex->parse(line, time_format);
}

}  // namespace tally
