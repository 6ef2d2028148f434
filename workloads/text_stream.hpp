// A real file's lines as a `cpu` stream: the work per event is parsing its line.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "workloads/grain.hpp"
#include "workloads/line_formats.hpp"
#include "workloads/stream.hpp"

namespace tally {

/// What is read from each line.
struct TextSpec {
  TextFormat format = TextFormat::lines;
  /// lines: "" (the whole line) or the number of a blank-separated field, from 1.
  /// clf: host, method, target, status or agent; "" is target.
  std::string key;
  /// Which field is the event time, needed for windows. clf: "" or "time", the bracketed time. lines: the
  /// number of the blank-separated field where an ISO 8601 date stands, which may be followed by a blank and
  /// the time of day (as in dpkg.log: "2024-05-01 12:00:00"); UTC unless it says otherwise.
  std::string time;
  std::chrono::seconds window{0};  ///< 0: one window over everything
  std::uint64_t repeat = 1;        ///< the file is replayed this many times; >= 1
};

/// Throws std::invalid_argument, one line naming the valid values, for a spec that makes no sense or names
/// what its format does not have.
void check(TextSpec const& spec);

/// What `spec` reads of a line: of `lines`, the time only if it names a field for it. Throws as check() does.
LineFormat line_format(TextSpec const& spec);

/// The lines of `text` as a stream. Positions are byte offsets in `repeat` virtual copies of the text. A
/// final line without newline counts; a line's trailing CR does not belong to it; with `lines`, an empty line
/// is an event with an empty key if the key is the whole line, else malformed (no such field). Malformed
/// lines are counted as such, not as events. A window begins at a multiple of its length since the epoch.
/// Without windows no time is read, but that of `clf`, whose lines are checked whole. Throws as check() does,
/// and for more than 2^63 bytes. `text` must outlive the stream and its counts, whose keys are views into it.
std::unique_ptr<CpuStream> make_text_stream(std::string_view text, TextSpec const& spec, Grain grain);

/// Number of the line (from 1) that begins at `position` of a stream over `text`, for messages; positions in
/// later copies map to the first.
std::uint64_t line_number(std::string_view text, std::uint64_t position);

}  // namespace tally
