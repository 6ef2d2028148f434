#include "workloads/text/records.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include "workloads/text/byte_marks.hpp"
#include "workloads/text/utf8.hpp"

namespace tally {
namespace {

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

/// Text without its line end.
std::string_view without_end(std::string_view line) noexcept {
  if (!line.empty() && line.back() == '\n') line.remove_suffix(1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

/// One past the newline that ends the line which holds `text[at]`; npos where there is none.
std::size_t line_end(std::string_view text, std::size_t at) noexcept {
  if (at >= text.size()) return std::string_view::npos;
  auto const* const newline = static_cast<char const*>(std::memchr(text.data() + at, '\n', text.size() - at));
  return newline == nullptr ? std::string_view::npos : static_cast<std::size_t>(newline - text.data()) + 1;
}

void check_clf(TextSpec const& spec) {
  if (!spec.key.empty() && !clf_key(spec.key)) {
    throw std::invalid_argument("key '" + spec.key +
                                "' is no field of format clf: give host, method, target, status or agent");
  }
  if (!spec.time.empty() && spec.time != "time") {
    throw std::invalid_argument("time '" + spec.time +
                                "' is no time of format clf: give time, the bracketed one, or leave it out");
  }
  if (!spec.time_format.empty())
    throw std::invalid_argument("time format '" + spec.time_format +
                                "': clf has one of its own; leave it out");
}

/// What windows need where the format does not say by itself where a time stands.
void check_time(TextSpec const& spec, char const* what) {
  if (spec.time.empty() && !spec.time_format.empty()) {
    throw std::invalid_argument("time format '" + spec.time_format +
                                "' is of a time, and none is given: give " + what);
  }
  if (spec.time.empty() && spec.window.count() > 0)
    throw std::invalid_argument("windows need a time: give " + std::string(what));
}

void check_columns(TextSpec const& spec) {
  if (spec.key.empty())
    throw std::invalid_argument("format csv needs a key: give a column, by name or number");
  if (spec.header) return;
  for (auto const& [option, column] : {std::pair{"key", &spec.key}, {"time", &spec.time}}) {
    if (column->empty() || csv_column_number(*column)) continue;
    throw std::invalid_argument(std::string(option) + " '" + *column +
                                "': without a header columns have no names; give a number, from 1");
  }
}

}  // namespace

std::uint64_t count_newlines(std::string_view text) noexcept {
  std::uint64_t newlines = 0;
  std::size_t at = 0;
  for (; text.size() - at >= kMarkedBytes; at += kMarkedBytes)
    newlines += static_cast<std::uint64_t>(std::popcount(marks_of<'\n'>(text.data() + at)));
  return newlines +
         static_cast<std::uint64_t>(std::popcount(marks_of_rest<'\n'>(text.data() + at, text.size() - at)));
}

void check(TextSpec const& spec) { line_format(spec); }

LineFormat line_format(TextSpec const& spec) {
  if (spec.repeat == 0) throw std::invalid_argument("repeat 0 makes no stream: give 1 or more");
  if (spec.window.count() < 0) {
    throw std::invalid_argument("window " + std::to_string(spec.window.count()) +
                                "s is negative: give 0 for one window over everything, or a span of time");
  }
  std::string const named(name_of(spec.format));
  if (spec.format != TextFormat::regex && !spec.key_regex.empty())
    throw std::invalid_argument("a key regex is for format regex, not " + named + ": leave it out");
  if (spec.format != TextFormat::csv && !spec.header)
    throw std::invalid_argument("format " + named + " has no header to leave out: that is of csv");
  LineFormat format{.format = spec.format};
  format.timed = spec.format == TextFormat::clf || !spec.time.empty();
  if (spec.format == TextFormat::clf) {
    check_clf(spec);
    format.clf_key = clf_key(spec.key).value_or(ClfKey::target);
    return format;
  }
  format.time_format = TimeFormat(spec.time_format);
  switch (spec.format) {
    case TextFormat::lines:
      format.key_field = field_number(spec.key, "key");
      format.time_field = field_number(spec.time, "time");
      check_time(spec, "the number of the field where the time stands, such as an ISO 8601 date, from 1");
      break;
    case TextFormat::csv:
      check_columns(spec);
      check_time(spec, "the column where it stands");
      break;
    case TextFormat::ndjson:
      if (spec.key.empty())
        throw std::invalid_argument("format ndjson needs a key: give a path, such as user.id");
      format.json_key = JsonPath(spec.key);
      if (!spec.time.empty()) format.json_time = JsonPath(spec.time);
      check_time(spec, "the path to it, such as event.time");
      break;
    case TextFormat::regex:
      if (spec.key_regex.empty())
        throw std::invalid_argument(
            "format regex needs a key regex: give one with a group, (...), around the key");
      if (!spec.key.empty())
        throw std::invalid_argument("key '" + spec.key +
                                    "': the key of format regex is the group of its key regex");
      format.regex.emplace(spec.key_regex, spec.time);
      check_time(spec, "the name of its group, (?P<name>...)");
      break;
    case TextFormat::clf:
      break;
  }
  return format;
}

Records::Records(TextSpec const& spec, Grain grain)
    : format_(line_format(spec)),
      key_(spec.key),
      time_(spec.time),
      header_(spec.header),
      window_s_(spec.window.count()),
      grain_iterations_(grain.iterations) {
  if (window_s_ != 0) return;
  format_.time_field = 0;
  format_.json_time = {};
  time_.clear();
}

bool Records::begin(std::string_view text, bool last) {
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  if (format_.format == TextFormat::lines || format_.format == TextFormat::clf) return true;
  if (text.size() < kMark.size() && !last) return false;
  std::size_t const mark = text.starts_with(kMark) ? kMark.size() : 0;
  if (format_.format != TextFormat::csv || (last && text.size() == mark)) {
    first_ = mark;
    return true;
  }
  auto const end = csv_record_end(text, mark, last);
  if (!end) return false;
  auto const row = csv_fields(without_end(text.substr(mark, *end - mark)));
  if (!row)
    throw std::invalid_argument(
        "the first row is malformed: a quote stands where it may not, or is not closed");
  format_.csv.count = row->size();
  // Without a header its fields are no names, and a number is no name either.
  std::vector<std::string> const names = header_ ? *row : std::vector<std::string>(row->size());
  format_.csv.key = csv_column(names, key_, "key");
  if (!time_.empty()) format_.csv.time = csv_column(names, time_, "time");
  first_ = header_ ? *end : mark;
  return true;
}

std::optional<std::size_t> Records::record_end(std::string_view text, std::size_t at,
                                               bool last) const noexcept {
  if (!are_lines()) return csv_record_end(text, at, last);
  std::size_t const end = line_end(text, at);
  if (end != std::string_view::npos) return end;
  return last ? std::optional(text.size()) : std::nullopt;
}

std::size_t Records::last_record_end(std::string_view text, bool last) const noexcept {
  if (!are_lines()) return csv_last_record_end(text, last);
  if (last) return text.size();
  std::size_t const newline = text.rfind('\n');
  return newline == std::string_view::npos ? 0 : newline + 1;
}

/// Events of a worker that are not counted yet: meanwhile the memory that counting them takes is fetched.
template <bool keys_stay>
class Records::Pending {
 public:
  Pending(Counts& tally, std::uint64_t grain_iterations) noexcept
      : grind(grain_iterations, tally.chain), tally_(tally) {}

  Grinder grind;

  Counts& tally() noexcept { return tally_; }
  /// An event at `position` of the key of `line`, which, unless it is a copy, stays where it is until it is
  /// counted.
  void add(TextMap& window, std::uint64_t position, ParsedLine const& line) {
    std::string_view key = line.key;
    std::uint64_t const hash = TextHash{}(key);
    tally_.pairs += Counts::pair_mark(position, hash);
    if (line.key_is_copy) {
      if (key.size() > kCopies) {
        ++tally_.count_of_copied(window, key, hash);
        return;
      }
      if (key.size() > kCopies - copied_) count();
      char* const copy = copies_ + copied_;
      std::memcpy(copy, key.data(), key.size());
      copied_ += key.size();
      key = {copy, key.size()};
    }
    window.prefetch(hash);
    waiting_[count_++] = {&window, key, hash, keys_stay && !line.key_is_copy};
    if (count_ == kMost) count();
  }
  /// Counts what waits.
  void count() {
    for (std::size_t i = 0; i < count_; ++i) waiting_[i].window->prefetch_key(waiting_[i].hash);
    for (std::size_t i = 0; i < count_; ++i) {
      auto const& [window, key, hash, stays] = waiting_[i];
      if (stays)
        ++window->count_of_hashed(key, hash, [](std::string_view is_new) { return is_new; });
      else
        ++tally_.count_of_copied(*window, key, hash);
    }
    count_ = 0;
    copied_ = 0;
  }

 private:
  struct Event {
    TextMap* window;
    std::string_view key;
    std::uint64_t hash;
    bool stays;
  };
  static constexpr std::size_t kMost = 32;
  static constexpr std::size_t kCopies = 4096;
  Counts& tally_;
  std::size_t count_ = 0;
  std::size_t copied_ = 0;
  Event waiting_[kMost];
  char copies_[kCopies];  // of keys that are in no line
};

template <bool keys_stay>
inline void Records::add(ParsedLine const& line, std::uint64_t position, Pending<keys_stay>& pending) const {
  Counts& tally = pending.tally();
  if (!line.problem.empty()) {
    tally.add_malformed({position, line.problem});
    return;
  }
  std::int64_t window_start = 0;
  if (window_s_ != 0) {
    std::int64_t const into_window = line.time_s % window_s_;
    window_start = line.time_s - (into_window < 0 ? into_window + window_s_ : into_window);
  }
  TextMap& window = tally.text_window(window_start);
  pending.add(window, position, line);
  ++tally.events;
  if (grain_iterations_ != 0) tally.checksum += pending.grind(position);
}

template <bool keys_stay>
void Records::count_all(std::string_view records, std::uint64_t position, Counts& tally) const {
  Pending<keys_stay> pending(tally, grain_iterations_);
  auto const each = [&](auto const& end_of, auto const& parse) {
    for (std::size_t begin = 0; begin < records.size();) {
      std::size_t const next = end_of(begin);
      add<keys_stay>(parse(without_end(records.substr(begin, next - begin))), position + begin, pending);
      begin = next;
    }
    pending.count();
  };
  auto const line = [&](std::size_t begin) { return std::min(line_end(records, begin), records.size()); };
  ClfClock clock;
  // Apart, so that each loop is of one format.
  switch (format_.format) {
    case TextFormat::clf: {
      ClfLines lines(records);
      for (ClfLine text; lines.next(text);) {
        auto const at = static_cast<std::uint64_t>(text.text.data() - records.data());
        add<keys_stay>(parse_clf(text, format_.clf_key, clock), position + at, pending);
      }
      return pending.count();
    }
    case TextFormat::lines:
      return each(line, [&](std::string_view text) {
        return parse_fields(text, format_.key_field, format_.time_field, format_.time_format);
      });
    case TextFormat::ndjson:
      return each(line, [&](std::string_view text) {
        auto const behind =
            static_cast<std::size_t>(records.data() + records.size() - text.data()) - text.size();
        return parse_ndjson(text, format_.json_key, format_.json_time, format_.time_format, behind);
      });
    case TextFormat::regex:
    case TextFormat::csv:
      break;
  }
  // Nearly always all of it is, which is faster to see of all at once.
  bool const utf8 = is_utf8(records);
  auto const parse = [&](std::string_view text) { return format_.parse(text, clock, utf8); };
  if (are_lines()) return each(line, parse);
  each([&](std::size_t begin) { return csv_record_end(records, begin, true).value_or(records.size()); },
       parse);
}

void Records::count(std::string_view records, std::uint64_t position, bool keys_stay, Counts& tally) const {
  if (keys_stay)
    count_all<true>(records, position, tally);
  else
    count_all<false>(records, position, tally);
}

}  // namespace tally
