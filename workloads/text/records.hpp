// The records of a text, whatever its format: where they end, and how they are counted. What streams of text
// share.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "workloads/counting/counts.hpp"
#include "workloads/counting/grain.hpp"
#include "workloads/text/line_formats.hpp"

namespace tally {

/// What is read from each record.
struct TextSpec {
  TextFormat format = TextFormat::lines;
  /// lines: "" (the whole line) or the number of a blank-separated field, from 1.
  /// clf: host, method, target, status or agent; "" is target.
  /// csv: a column, by its name in the header row or its number, from 1. ndjson: a path, "a.b.c". regex: "".
  std::string key{};
  /// regex: the expression, in RE2's syntax, with one group, which is the key; and with another, if `time`
  /// names it.
  std::string key_regex{};
  /// Which field is the event time, needed for windows. clf: "" or "time", the bracketed time. lines: the
  /// number of the blank-separated field where the time stands; an ISO 8601 date may be followed by a blank
  /// and the time of day (as in dpkg.log: "2024-05-01 12:00:00"); UTC unless it says otherwise. csv: a
  /// column, as the key. ndjson: a path. regex: the name of a group.
  std::string time{};
  std::string time_format{};       ///< as TimeFormat has it; "" is ISO 8601, and all that clf has
  bool header = true;              ///< csv: the first row names the columns
  std::chrono::seconds window{0};  ///< 0: one window over everything
  std::uint64_t repeat = 1;        ///< the text is replayed this many times; >= 1
};

/// Throws std::invalid_argument, one line naming the valid values, for a spec that makes no sense or names
/// what its format does not have. The columns of csv are known only to its header.
void check(TextSpec const& spec);

/// What `spec` reads of a line. The columns of csv are not known yet. Throws as check() does.
LineFormat line_format(TextSpec const& spec);

/// How the records of a text are found and counted. Lines end with LF or CRLF, and a record of `csv` may be
/// several. After begin(), immutable: any thread may use it. Copies are cheap.
class Records {
 public:
  /// Of the time nothing is read without windows, but what `clf` and `regex` check of a line. Throws as
  /// check() does.
  Records(TextSpec const& spec, Grain grain);

  /// Looks at the beginning of the text, once, before all else: at a byte order mark (csv, ndjson, regex),
  /// and at the first row (csv), which says how many columns there are, and their names if it is a header.
  /// False if more of the text is needed to say; if `last`, there is no more. Throws std::invalid_argument,
  /// one line, if the header has not the columns that are read, or has one of them twice.
  bool begin(std::string_view text, bool last);
  /// Where the first record begins.
  std::size_t first() const noexcept { return first_; }

  /// One past the end of the record, its line end included, that begins at text[at]; none if more bytes are
  /// needed to say, which they never are if `last`: then nothing follows `text`.
  std::optional<std::size_t> record_end(std::string_view text, std::size_t at, bool last) const noexcept;
  /// Where the last record of `text`, which begins with one, ends; 0 if none does.
  std::size_t last_record_end(std::string_view text, bool last) const noexcept;
  /// Whether every line is a record, so that one ends at every line end, wherever one looks.
  bool are_lines() const noexcept { return format_.format != TextFormat::csv; }

  /// Counts whole records, which begin at `position` of the stream, into `tally`, but for what it covers. If
  /// `keys_stay`, `records` outlives the counts, and keys are views into it. Throws std::bad_alloc.
  void count(std::string_view records, std::uint64_t position, bool keys_stay, Counts& tally) const;

 private:
  template <bool keys_stay>
  class Pending;
  template <bool keys_stay>
  void count_all(std::string_view records, std::uint64_t position, Counts& tally) const;
  template <bool keys_stay>
  void add(ParsedLine const& line, std::uint64_t position, Pending<keys_stay>& pending) const;

  LineFormat format_;
  std::string key_, time_;  // columns, until the header is known
  bool header_;
  std::int64_t window_s_;
  std::uint64_t grain_iterations_;
  std::size_t first_ = 0;
};

/// A record of a file that is not in memory as a whole may be so long; what is longer is an error. Bounds
/// memory.
inline constexpr std::size_t kMaxRecordBytes = std::size_t{64} << 20;

/// The number of line ends in `text`.
std::uint64_t count_newlines(std::string_view text) noexcept;

}  // namespace tally
