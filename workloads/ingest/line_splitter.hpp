// Lines of events in bytes that come in pieces: where they end, and what they say.
#pragma once

#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

#include "workloads/ingest/line_rules.hpp"
#include "workloads/text/byte_marks.hpp"
#include "workloads/text/event_lines.hpp"
#include "workloads/text/line_formats.hpp"

namespace tally {

/// Why a line that is longer than allowed is malformed.
inline constexpr std::string_view kLineTooLong = "longer than a line may be";

namespace line_splitter {

inline constexpr std::string_view kEmptyKey = "its key is empty";
inline constexpr std::string_view kOutOfTime = "its time is before 1970, or after 2262";

inline std::int64_t wall_ns() noexcept {
  using namespace std::chrono;
  return duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
}

/// The bits of a block of 64 bytes that are line ends, and tabs.
struct Marks {
  std::uint64_t ends = 0, tabs = 0;
};

}  // namespace line_splitter

/// Splits bytes into lines and hands what they say to `Sink`, which is derived from this, so that all of it
/// is one loop: add(key, time in ns) for a key with or without a time, add_stamped(line) for one with a stamp
/// too, malformed(line, why) for what cannot be read. Views are into the bytes. Line ends are found 64 bytes
/// at a time.
template <class Sink>
class LineSplitter {
 public:
  /// The rules must outlive this.
  explicit LineSplitter(LineRules const& rules) : rules_(rules) {}
  LineSplitter(LineSplitter const&) = delete;
  LineSplitter& operator=(LineSplitter const&) = delete;

  /// Hands on all lines that end in [begin, end), beyond which kReadAheadBytes must be there to be read;
  /// returns where the last, unended one begins.
  char const* split(char const* begin, char const* end) {
    char const* line = begin;
    // In the part of the line that lies in earlier blocks. Lines of another format are looked at whole, as if
    // they had.
    bool const whole = rules_.format.has_value();
    bool tabs_before = whole;
    for (char const* block = begin; block < end; block += 64) {
      line_splitter::Marks marks{marks_of<'\n'>(block), marks_of<'\t'>(block)};
      if (end - block < 64) {
        std::uint64_t const within = (std::uint64_t{1} << (end - block)) - 1;
        marks.ends &= within;
        marks.tabs &= within;
      }
      if (marks.tabs == 0 && !tabs_before) {
        for (; marks.ends != 0; marks.ends &= marks.ends - 1) {
          char const* const at = block + std::countr_zero(marks.ends);
          bare(line, static_cast<std::size_t>(at - line));
          line = at + 1;
        }
        continue;
      }
      for (; marks.ends != 0; marks.ends &= marks.ends - 1) {
        std::uint64_t const below = (marks.ends & (0 - marks.ends)) - 1;
        char const* const at = block + std::countr_zero(marks.ends);
        auto const length = static_cast<std::size_t>(at - line);
        if (tabs_before || (marks.tabs & below) != 0)
          with_tabs(line, length);
        else
          bare(line, length);
        tabs_before = whole;
        marks.tabs &= ~below;
        line = at + 1;
      }
      tabs_before = tabs_before || marks.tabs != 0;
    }
    return line;
  }

  /// One line, without its LF.
  void one(std::string_view line) {
    if (line.find('\t') == std::string_view::npos && !rules_.format)
      bare(line.data(), line.size());
    else
      with_tabs(line.data(), line.size());
  }

 protected:
  LineRules const& rules_;

 private:
  /// A line that is a key alone.
  void bare(char const* line, std::size_t length) {
    if (length > 0 && line[length - 1] == '\r') --length;
    if (length == 0) return sink().malformed({}, parse_event_line({}).problem);
    sink().add({line, length}, untimed_ns());
  }

  void with_tabs(char const* text, std::size_t length) {
    if (length > 0 && text[length - 1] == '\r') --length;
    if (length > rules_.line_max) return sink().malformed({text, length}, kLineTooLong);
    if (rules_.format) return formatted({text, length});
    EventLine const line = parse_event_line({text, length});
    if (!line.problem.empty()) return sink().malformed({text, length}, line.problem);
    if (line.stamped)
      sink().add_stamped(line);
    else
      sink().add(line.key, line.time.count());
  }

  /// A line of another format.
  void formatted(std::string_view text) {
    ParsedLine const line = rules_.format->parse(text, clock_);
    if (!line.problem.empty()) return sink().malformed(text, line.problem);
    if (line.key.empty()) return sink().malformed(text, line_splitter::kEmptyKey);
    if (!rules_.format->timed) return sink().add(line.key, untimed_ns());
    constexpr std::int64_t kMost_s = std::numeric_limits<std::int64_t>::max() / 1'000'000'000;
    if (line.time_s < 0 || line.time_s > kMost_s) return sink().malformed(text, line_splitter::kOutOfTime);
    sink().add(line.key, line.time_s * 1'000'000'000);
  }

  std::int64_t untimed_ns() {
    if (untimed_ns_ == kUnset) untimed_ns_ = rules_.untimed_now ? line_splitter::wall_ns() : 0;
    return untimed_ns_;
  }

  Sink& sink() noexcept { return static_cast<Sink&>(*this); }

  static constexpr std::int64_t kUnset = -1;
  std::int64_t untimed_ns_ = kUnset;  // of this call's lines without a time
  ClfClock clock_;
};

}  // namespace tally
