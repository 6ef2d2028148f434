#include "workloads/text/event_lines.hpp"

#include <charconv>
#include <limits>

#include "workloads/text/digits.hpp"

namespace tally {
namespace {

constexpr std::int64_t kPerSecond = 1'000'000'000;
/// Nanoseconds since the epoch fit into 64 bits until 2262.
constexpr std::int64_t kMostEventSeconds = 9'000'000'000;

constexpr std::string_view kNoKey = "no key: the line is empty, or nothing follows the tab";
constexpr std::string_view kNoTime =
    "what stands before the tab is no time: seconds since the epoch, as in 1714564800 or 1714564800.25";
constexpr std::string_view kNoStamp =
    "what follows the key is no stamp: two numbers of nanoseconds, with a tab between";

EventLine malformed(std::string_view why) noexcept {
  EventLine line;
  line.problem = why;
  return line;
}

/// All of `text` as a number that is not below 0.
bool read_number(std::string_view text, std::int64_t& number) noexcept {
  if (text.empty() || !is_digit(text.front())) return false;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

/// `seconds` or `seconds.decimals`, up to nine of these.
bool read_time(std::string_view text, std::chrono::nanoseconds& time) noexcept {
  constexpr std::size_t kDecimals = 9;
  std::size_t const point = text.find('.');
  std::int64_t seconds = 0, fraction = 0;
  if (!read_number(text.substr(0, point), seconds) || seconds > kMostEventSeconds) return false;
  if (point != std::string_view::npos) {
    std::string_view const decimals = text.substr(point + 1);
    if (decimals.size() > kDecimals || !read_number(decimals, fraction)) return false;
    for (std::size_t i = decimals.size(); i < kDecimals; ++i) fraction *= 10;
  }
  time = std::chrono::nanoseconds(seconds * kPerSecond + fraction);
  return true;
}

char* put(char* to, std::int64_t number) noexcept { return std::to_chars(to, to + 20, number).ptr; }

char* put_time(char* to, std::chrono::nanoseconds time) noexcept {
  to = put(to, time.count() / kPerSecond);
  // With a 1 in front, which the point then takes the place of: so the zeros after it are written.
  char* const end = put(to, kPerSecond + time.count() % kPerSecond);
  *to = '.';
  return end;
}

std::size_t finish(char const* begin, char* end) noexcept {
  *end++ = '\n';
  return static_cast<std::size_t>(end - begin);
}

}  // namespace

EventLine parse_event_line(std::string_view text) noexcept {
  EventLine line;
  std::size_t const first = text.find('\t');
  if (first == std::string_view::npos) {
    if (text.empty()) return malformed(kNoKey);
    line.key = text;
    return line;
  }
  if (!read_time(text.substr(0, first), line.time)) return malformed(kNoTime);
  line.timed = true;
  text.remove_prefix(first + 1);
  std::size_t const second = text.find('\t');
  line.key = text.substr(0, second);
  if (line.key.empty()) return malformed(kNoKey);
  if (second == std::string_view::npos) return line;
  text.remove_prefix(second + 1);
  std::size_t const third = text.find('\t');
  std::int64_t due = 0, late = 0;
  if (third == std::string_view::npos || !read_number(text.substr(0, third), due) ||
      !read_number(text.substr(third + 1), late) || late > std::numeric_limits<std::int64_t>::max() - due)
    return malformed(kNoStamp);
  line.stamped = true;
  line.due = std::chrono::nanoseconds(due);
  line.late = std::chrono::nanoseconds(late);
  return line;
}

std::size_t write_event_line(std::span<char, kMaxEventLineBytes> out, std::uint32_t key) noexcept {
  return finish(out.data(), put(out.data(), key));
}

std::size_t write_event_line(std::span<char, kMaxEventLineBytes> out, std::uint32_t key,
                             std::chrono::nanoseconds time) noexcept {
  char* end = put_time(out.data(), time);
  *end++ = '\t';
  return finish(out.data(), put(end, key));
}

std::size_t write_event_line(std::span<char, kMaxEventLineBytes> out, std::uint32_t key,
                             std::chrono::nanoseconds time, SendStamp const& stamp) noexcept {
  char* end = put_time(out.data(), time);
  *end++ = '\t';
  end = put(end, key);
  *end++ = '\t';
  end = put(end, stamp.due.count());
  *end++ = '\t';
  return finish(out.data(), put(end, stamp.late.count()));
}

}  // namespace tally
