// CSV as RFC 4180 has it: where a record ends, and what stands in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "workloads/text/parsed_line.hpp"
#include "workloads/text/times.hpp"

namespace tally {

/// A quoted field is closed within so many bytes of its record's beginning, or is not closed at all: then the
/// record is its first line, malformed, so that one stray quote takes no more with it than its own line.
inline constexpr std::size_t kMaxQuotedRecordBytes = std::size_t{1} << 20;

/// One past the end of the record that begins at text[begin], its line end (LF or CRLF) included; line breaks
/// in a quoted field end no record. A quote opens a field only at its beginning. If `last`, nothing follows
/// `text`; else, none if more bytes are needed to say.
std::optional<std::size_t> csv_record_end(std::string_view text, std::size_t begin, bool last) noexcept;

/// Where the last record of `text`, which begins with one, ends, as csv_record_end() has it; 0 if none does.
std::size_t csv_last_record_end(std::string_view text, bool last) noexcept;

/// The fields of a record without its line end, quotes resolved; none if a quote stands where it may not.
std::optional<std::vector<std::string>> csv_fields(std::string_view record);

/// Which columns of a file are read.
struct CsvColumns {
  std::size_t count = 0;  ///< that every record has
  std::size_t key = 0;    ///< from 0
  std::optional<std::size_t> time{};
};

/// The column called `name` in `header`; or its number, from 1, if no column is called so and `name` is a
/// number. `option` is what it was given for: "key". Throws std::invalid_argument, one line, if there is none
/// or the header has it twice.
std::size_t csv_column(std::vector<std::string> const& header, std::string const& name, char const* option);

/// The number of a column, from 1, as its place, from 0; none if `name` is no number.
std::optional<std::size_t> csv_column_number(std::string const& name) noexcept;

/// Reads a record without its line end. A key with doubled quotes is a copy, good until the next call on this
/// thread. Fields that are not quoted are as they stand, blanks and all. Throws std::bad_alloc.
ParsedLine parse_csv(std::string_view record, CsvColumns const& columns, TimeFormat const& time_format);

}  // namespace tally
