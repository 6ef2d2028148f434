// A text in memory as a `cpu` stream: the work per event is parsing its line, or record.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "workloads/stream.hpp"
#include "workloads/text/records.hpp"

namespace tally {

/// The records of `text` as a stream. Positions are byte offsets in `repeat` virtual copies of the text. A
/// final line without newline counts; a line's trailing CR does not belong to it; with `lines`, an empty line
/// is an event with an empty key if the key is the whole line, else malformed (no such field). Malformed
/// lines are counted as such, not as events. A window begins at a multiple of its length since the epoch.
/// Without windows no time is read, but that of `clf`, whose lines are checked whole. Throws as check() and
/// Records::begin() do, and for more than 2^63 bytes. `text` must outlive the stream and its counts, whose
/// keys are views into it.
std::unique_ptr<CpuStream> make_text_stream(std::string_view text, TextSpec const& spec, Grain grain);

/// Whole records of a larger text, which has been begun: `block` begins at `position` of it, and has about
/// `lines` lines. What is counted is at its position in the larger text; batches and splits are of the block
/// alone. It is counted `repeat` times over, as if it stood there as often, one copy after the other. `block`
/// must outlive the stream and its counts.
std::unique_ptr<CpuStream> make_block_stream(std::string_view block, std::uint64_t position,
                                             std::uint64_t lines, Records const& records,
                                             std::uint64_t repeat = 1);

/// Number of the line (from 1) that begins at `position` of a stream over `text`, for messages; positions in
/// later copies map to the first.
std::uint64_t line_number(std::string_view text, std::uint64_t position);

/// a * b / c without overflow on the way; the greatest number there is where the result is larger. c > 0.
std::uint64_t share(std::uint64_t a, std::uint64_t b, std::uint64_t c) noexcept;

/// `parts` ranges that follow each other over `size` bytes, about as long each, for CpuStream::split():
/// `record_end(begin, at)` is where the record that holds the byte `at` ends, where one begins at `begin`.
/// Throws std::invalid_argument for no parts, and what `record_end` throws.
template <class RecordEnd>
std::vector<Range> split_at_records(std::uint64_t size, std::size_t parts, RecordEnd record_end) {
  if (parts == 0) throw std::invalid_argument("a stream cannot be split into 0 parts: ask for at least 1");
  std::vector<Range> ranges;
  ranges.reserve(parts);
  std::uint64_t begin = 0;
  for (std::size_t i = 1; i <= parts; ++i) {
    std::uint64_t const even = share(size, i, parts);
    // The record that the cut falls into goes whole to the part before it, unless an earlier cut took it.
    std::uint64_t const end = even <= begin ? begin : record_end(begin, even - 1);
    ranges.push_back({begin, end});
    begin = end;
  }
  return ranges;
}

}  // namespace tally
