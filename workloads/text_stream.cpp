#include "workloads/text_stream.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include "workloads/line_formats.hpp"

namespace tally {
namespace {

/// One past the newline that ends the line which holds `text[at]`; the text's end where there is none.
std::uint64_t line_end(std::string_view text, std::uint64_t at) noexcept {
  auto const* const newline = static_cast<char const*>(std::memchr(text.data() + at, '\n', text.size() - at));
  return newline == nullptr ? text.size() : static_cast<std::uint64_t>(newline - text.data()) + 1;
}

/// a * b / c without overflow on the way; the greatest number there is where the result is larger.
std::uint64_t share(std::uint64_t a, std::uint64_t b, std::uint64_t c) noexcept {
  __extension__ using Wide = unsigned __int128;
  Wide const result = static_cast<Wide>(a) * b / c;
  return result > UINT64_MAX ? UINT64_MAX : static_cast<std::uint64_t>(result);
}

std::uint64_t count_newlines(std::string_view text) noexcept {
  return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

std::uint64_t count_lines(std::string_view text) noexcept {
  return count_newlines(text) + (!text.empty() && text.back() != '\n' ? 1 : 0);
}

/// The number of a blank-separated field; 0 for "".
unsigned field_number(std::string const& text, char const* option) {
  unsigned number = 0;
  if (text.empty()) return number;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number == 0) {
    throw std::invalid_argument(std::string(option) + " '" + text +
                                "' is no field of format lines: give the number of a field, from 1");
  }
  return number;
}

/// Calls `each(line, position)` for every line of `text`, without its end. `position` is that of text's first
/// byte.
template <typename Each>
void for_each_line(std::string_view text, std::uint64_t position, Each&& each) {
  for (std::uint64_t begin = 0; begin < text.size();) {
    std::uint64_t const next = line_end(text, begin);
    std::uint64_t end = next;
    if (text[end - 1] == '\n') --end;
    if (end > begin && text[end - 1] == '\r') --end;
    each(text.substr(begin, end - begin), position + begin);
    begin = next;
  }
}

class TextStream final : public CpuStream {
 public:
  TextStream(std::string_view text, TextSpec const& spec, Grain grain)
      : text_(text),
        size_(text.size() * spec.repeat),
        lines_(count_lines(text)),
        window_s_(spec.window.count()),
        grain_iterations_(grain.iterations),
        format_(line_format(spec)) {
    if (window_s_ == 0) format_.time_field = 0;
  }

  std::uint64_t size() const noexcept override { return size_; }
  Counts empty_tally() const override { return Counts::text(); }
  void count(Range range, Counts& tally) const override;
  std::uint64_t batch_end(std::uint64_t begin, std::uint64_t events) const noexcept override;
  std::vector<Range> split(std::size_t parts) const override;

 private:
  void count_in_copy(std::string_view lines, std::uint64_t position, Counts& tally) const;
  void add(ParsedLine const& line, std::uint64_t position, Counts& tally) const;
  /// The end of the line that holds the byte at `position`, which is before size().
  std::uint64_t end_of_line_at(std::uint64_t position) const noexcept {
    std::uint64_t const offset = position % text_.size();
    return position - offset + line_end(text_, offset);
  }

  std::string_view text_;
  std::uint64_t size_;
  std::uint64_t lines_;
  std::int64_t window_s_;
  std::uint64_t grain_iterations_;
  LineFormat format_;
};

inline void TextStream::add(ParsedLine const& line, std::uint64_t position, Counts& tally) const {
  if (!line.problem.empty()) {
    tally.add_malformed({position, line.problem});
    return;
  }
  std::int64_t window_start = 0;
  if (window_s_ != 0) {
    std::int64_t const into_window = line.time_s % window_s_;
    window_start = line.time_s - (into_window < 0 ? into_window + window_s_ : into_window);
  }
  ++tally.text_window(window_start)[line.key];
  ++tally.events;
  if (grain_iterations_ != 0) tally.checksum += grind(position, grain_iterations_);
}

void TextStream::count_in_copy(std::string_view lines, std::uint64_t position, Counts& tally) const {
  // Apart, so that each loop is of one format.
  if (format_.format == TextFormat::clf) {
    ClfClock clock;
    for_each_line(lines, position, [&](std::string_view line, std::uint64_t at) {
      add(parse_clf(line, format_.clf_key, clock), at, tally);
    });
  } else {
    for_each_line(lines, position, [&](std::string_view line, std::uint64_t at) {
      add(parse_fields(line, format_.key_field, format_.time_field), at, tally);
    });
  }
}

void TextStream::count(Range range, Counts& tally) const {
  if (range.empty()) return;
  for (std::uint64_t position = range.begin; position < range.end;) {
    std::uint64_t const offset = position % text_.size();
    std::uint64_t const length = std::min(text_.size() - offset, range.end - position);
    count_in_copy(text_.substr(offset, length), position, tally);
    position += length;
  }
  tally.cover(range.begin, range.end);
}

std::uint64_t TextStream::batch_end(std::uint64_t begin, std::uint64_t events) const noexcept {
  if (begin >= size_) return size_;
  // The line that the last event falls into, were all lines of mean length; for one event, the line at
  // `begin`.
  std::uint64_t const ahead = share(events - 1, text_.size(), lines_);
  if (ahead >= size_ - begin) return size_;
  return end_of_line_at(begin + ahead);
}

std::vector<Range> TextStream::split(std::size_t parts) const {
  if (parts == 0) throw std::invalid_argument("a stream cannot be split into 0 parts: ask for at least 1");
  std::vector<Range> ranges;
  ranges.reserve(parts);
  std::uint64_t begin = 0;
  for (std::size_t i = 1; i <= parts; ++i) {
    std::uint64_t const even = share(size_, i, parts);
    // The line that the cut falls into goes whole to the part before it, unless an earlier cut took it.
    std::uint64_t const end = even <= begin ? begin : end_of_line_at(even - 1);
    ranges.push_back({begin, end});
    begin = end;
  }
  return ranges;
}

}  // namespace

void check(TextSpec const& spec) {
  if (spec.repeat == 0) throw std::invalid_argument("repeat 0 makes no stream: give 1 or more");
  if (spec.window.count() < 0) {
    throw std::invalid_argument("window " + std::to_string(spec.window.count()) +
                                "s is negative: give 0 for one window over everything, or a span of time");
  }
  if (spec.format == TextFormat::clf) {
    if (!spec.key.empty() && !clf_key(spec.key)) {
      throw std::invalid_argument("key '" + spec.key +
                                  "' is no field of format clf: give host, method, target, status or agent");
    }
    if (!spec.time.empty() && spec.time != "time") {
      throw std::invalid_argument(
          "time '" + spec.time + "' is no time of format clf: give time, the bracketed one, or leave it out");
    }
    return;
  }
  field_number(spec.key, "key");
  field_number(spec.time, "time");
  if (spec.window.count() > 0 && spec.time.empty()) {
    throw std::invalid_argument(
        "windows need a time: give the number of the field where an ISO 8601 date stands, from 1");
  }
}

LineFormat line_format(TextSpec const& spec) {
  check(spec);
  LineFormat format{.format = spec.format};
  if (spec.format == TextFormat::clf) {
    format.clf_key = clf_key(spec.key).value_or(ClfKey::target);
  } else {
    format.key_field = field_number(spec.key, "key");
    format.time_field = field_number(spec.time, "time");
  }
  return format;
}

std::unique_ptr<CpuStream> make_text_stream(std::string_view text, TextSpec const& spec, Grain grain) {
  check(spec);
  if (!text.empty() && spec.repeat > INT64_MAX / text.size()) {
    throw std::invalid_argument(
        "repeat " + std::to_string(spec.repeat) + " of " + std::to_string(text.size()) +
        " bytes is more than 2^63 bytes: give at most " + std::to_string(INT64_MAX / text.size()));
  }
  return std::make_unique<TextStream>(text, spec, grain);
}

std::uint64_t line_number(std::string_view text, std::uint64_t position) {
  if (text.empty()) return 1;
  return count_newlines(text.substr(0, position % text.size())) + 1;
}

}  // namespace tally
