#include "workloads/text/csv.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <stdexcept>

namespace tally {
namespace {

constexpr std::string_view kStrayQuote = "a quote inside a field that does not begin with one";
constexpr std::string_view kMoreAfterQuote = "more after a closing quote";
constexpr std::string_view kNotClosed = "a quote is not closed";

std::size_t find_byte(std::string_view text, std::size_t from, char c) noexcept {
  if (from >= text.size()) return std::string_view::npos;
  auto const* const at = static_cast<char const*>(std::memchr(text.data() + from, c, text.size() - from));
  return at == nullptr ? std::string_view::npos : static_cast<std::size_t>(at - text.data());
}

/// Where the quoted field whose content begins at `from` is closed: its last quote; npos if it is not.
std::size_t closing_quote(std::string_view text, std::size_t from) noexcept {
  for (;;) {
    std::size_t const quote = find_byte(text, from, '"');
    if (quote == std::string_view::npos || quote + 1 == text.size() || text[quote + 1] != '"') return quote;
    from = quote + 2;
  }
}

/// A field of a record, as it stands in it.
struct Field {
  std::string_view content;
  bool quoted = false;
  bool doubled = false;  ///< there are doubled quotes in it
};

/// Takes the fields of a record one after the other.
class Fields {
 public:
  explicit Fields(std::string_view record) noexcept : rest_(record) {}

  /// False after the last one, and where a quote stands as it may not: then problem() says why.
  bool next(Field& field) noexcept {
    if (ended_) return false;
    return !rest_.empty() && rest_[0] == '"' ? next_quoted(field) : next_bare(field);
  }
  std::string_view problem() const noexcept { return problem_; }

 private:
  bool next_bare(Field& field) noexcept {
    std::size_t const comma = find_byte(rest_, 0, ',');
    std::string_view const content = rest_.substr(0, comma);
    if (find_byte(content, 0, '"') != std::string_view::npos) return fail(kStrayQuote);
    field = {content, false, false};
    ended_ = comma == std::string_view::npos;
    if (!ended_) rest_.remove_prefix(comma + 1);
    return true;
  }
  bool next_quoted(Field& field) noexcept {
    std::size_t const quote = closing_quote(rest_, 1);
    if (quote == std::string_view::npos) return fail(kNotClosed);
    std::string_view const content = rest_.substr(1, quote - 1);
    field = {content, true, find_byte(content, 0, '"') != std::string_view::npos};
    rest_.remove_prefix(quote + 1);
    ended_ = rest_.empty();
    if (ended_) return true;
    if (rest_[0] != ',') return fail(kMoreAfterQuote);
    rest_.remove_prefix(1);
    return true;
  }
  bool fail(std::string_view why) noexcept {
    problem_ = why;
    ended_ = true;
    return false;
  }

  std::string_view rest_;
  std::string_view problem_;
  bool ended_ = false;
};

void resolve(std::string_view content, std::string& into) {
  into.clear();
  for (std::size_t i = 0; i < content.size(); ++i) {
    into += content[i];
    if (content[i] == '"') ++i;
  }
}

/// The end of the record that begins at `begin` and has a quote at or after it, before the next line end.
std::optional<std::size_t> end_with_quotes(std::string_view text, std::size_t begin, bool last) noexcept {
  std::size_t at = begin;
  for (;;) {
    // At a field's beginning.
    if (at < text.size() && text[at] == '"') {
      std::string_view const within = text.substr(0, begin + kMaxQuotedRecordBytes);
      std::size_t const quote = closing_quote(within, at + 1);
      bool const cut = within.size() == text.size() && !last;
      // Whether a quote at the end of what there is closes a field, or is half of a doubled one, the next
      // byte says.
      if (cut && (quote == std::string_view::npos || quote + 1 == text.size())) return std::nullopt;
      if (quote == std::string_view::npos) {
        std::size_t const line = find_byte(text, begin, '\n');
        return line == std::string_view::npos ? text.size() : line + 1;
      }
      at = quote + 1;
    }
    std::size_t const line = find_byte(text, at, '\n');
    std::size_t const comma = find_byte(text.substr(0, line), at, ',');
    if (comma != std::string_view::npos) {
      at = comma + 1;
    } else if (line != std::string_view::npos) {
      return line + 1;
    } else {
      return last ? std::optional(text.size()) : std::nullopt;
    }
  }
}

}  // namespace

std::optional<std::size_t> csv_record_end(std::string_view text, std::size_t begin, bool last) noexcept {
  std::size_t const line = find_byte(text, begin, '\n');
  std::size_t const end = line == std::string_view::npos ? text.size() : line + 1;
  if (find_byte(text.substr(0, end), begin, '"') != std::string_view::npos)
    return end_with_quotes(text, begin, last);
  if (line == std::string_view::npos && !last) return std::nullopt;
  return end;
}

std::size_t csv_last_record_end(std::string_view text, bool last) noexcept {
  if (find_byte(text, 0, '"') == std::string_view::npos) {
    if (last) return text.size();
    std::size_t const line = text.rfind('\n');
    return line == std::string_view::npos ? 0 : line + 1;
  }
  std::size_t end = 0;
  while (end < text.size()) {
    auto const next = csv_record_end(text, end, last);
    if (!next) break;
    end = *next;
  }
  return end;
}

std::optional<std::vector<std::string>> csv_fields(std::string_view record) {
  std::vector<std::string> all;
  Fields fields(record);
  for (Field field; fields.next(field);) {
    all.emplace_back(field.content);
    if (field.doubled) resolve(field.content, all.back());
  }
  if (!fields.problem().empty()) return std::nullopt;
  return all;
}

std::optional<std::size_t> csv_column_number(std::string const& name) noexcept {
  std::size_t number = 0;
  auto const [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || number == 0) return std::nullopt;
  return number - 1;
}

std::size_t csv_column(std::vector<std::string> const& header, std::string const& name, char const* option) {
  auto const times = std::count(header.begin(), header.end(), name);
  if (times > 1) {
    throw std::invalid_argument(std::string(option) + " '" + name + "': the header has this column " +
                                std::to_string(times) + " times; give its number, from 1");
  }
  if (times == 1)
    return static_cast<std::size_t>(std::find(header.begin(), header.end(), name) - header.begin());
  if (auto const number = csv_column_number(name); number && *number < header.size()) return *number;
  if (std::all_of(header.begin(), header.end(), [](std::string const& column) { return column.empty(); })) {
    throw std::invalid_argument(std::string(option) + " '" + name + "': no such column; the first row has " +
                                std::to_string(header.size()));
  }
  std::string names;
  for (std::string const& column : header) names += (names.empty() ? "" : ", ") + column;
  constexpr std::size_t kShown = 200;
  if (names.size() > kShown) names = names.substr(0, kShown) + " ...";
  throw std::invalid_argument(std::string(option) + " '" + name + "': no such column; the header has " +
                              names);
}

ParsedLine parse_csv(std::string_view record, CsvColumns const& columns, TimeFormat const& time_format) {
  if (record.empty() && columns.count != 1) return malformed_line("empty line");
  static thread_local std::string key_copy, time_copy;
  Fields fields(record);
  ParsedLine parsed;
  std::size_t number = 0;
  bool time_read = true;
  for (Field field; fields.next(field); ++number) {
    if (number == columns.key) {
      parsed.key = field.content;
      if (field.doubled) {
        resolve(field.content, key_copy);
        parsed.key = key_copy;
        parsed.key_is_copy = true;
      }
    }
    if (number == columns.time) {
      if (field.doubled) resolve(field.content, time_copy);
      auto const time = time_format.read(field.doubled ? std::string_view(time_copy) : field.content);
      time_read = time.has_value();
      parsed.time_s = time.value_or(0);
    }
  }
  if (!fields.problem().empty()) return malformed_line(fields.problem());
  if (number < columns.count) return malformed_line("fewer fields than the first row");
  if (number > columns.count) return malformed_line("more fields than the first row");
  if (!time_read) return malformed_line(time_format.problem());
  return parsed;
}

}  // namespace tally
