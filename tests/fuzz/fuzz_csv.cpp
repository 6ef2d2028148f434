// CSV: records found in pieces are those found whole; fields are those of a reader that goes byte by byte, as
// RFC 4180's grammar does.
#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "tests/fuzz/fuzz.hpp"
#include "workloads/text/csv.hpp"

namespace {

using Fields = std::vector<std::string>;

std::optional<Fields> fields_by_grammar(std::string_view record) {
  enum class At { begin, bare, quoted, closed } at = At::begin;
  Fields fields(1);
  for (char const c : record) {
    if (at == At::quoted) {
      if (c == '"') {
        at = At::closed;
      } else {
        fields.back() += c;
      }
    } else if (c == '"') {
      if (at == At::bare) return std::nullopt;
      if (at == At::closed) fields.back() += c;
      at = At::quoted;
    } else if (c == ',') {
      fields.emplace_back();
      at = At::begin;
    } else {
      if (at == At::closed) return std::nullopt;
      fields.back() += c;
      at = At::bare;
    }
  }
  return at == At::quoted ? std::nullopt : std::optional(fields);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace tally;
  fuzz::Input input(data, size);
  std::size_t const cut_by = input.below(256);
  std::string_view const text = input.rest();
  std::set<std::size_t> ends{0};
  for (std::size_t at = 0; at < text.size();) {
    std::size_t const end = csv_record_end(text, at, true).value();
    fuzz::require(end > at && end <= text.size(), "a record has bytes");
    std::string_view record = text.substr(at, end - at);
    if (record.ends_with('\n')) record.remove_suffix(1);
    if (record.ends_with('\r')) record.remove_suffix(1);
    auto const expected = fields_by_grammar(record);
    fuzz::require(csv_fields(record) == expected, "fields are as the grammar has them");
    for (std::size_t const count : {std::size_t{1}, std::size_t{2}, std::size_t{3}}) {
      CsvColumns const columns{.count = count, .key = count - 1};
      ParsedLine const parsed = parse_csv(record, columns, {});
      bool const well = expected && expected->size() == count && (!record.empty() || count == 1);
      fuzz::require(parsed.problem.empty() == well,
                    "a record is well formed if it has as many fields as the first");
      if (well) fuzz::require(parsed.key == (*expected)[count - 1], "the key is its column");
      if (well && !parsed.key_is_copy)
        fuzz::require(fuzz::within(parsed.key, record), "the key is of the record");
    }
    at = end;
    ends.insert(at);
  }
  fuzz::require(csv_last_record_end(text, true) == text.size(), "at the end the last record ends");
  std::size_t const cut = std::min(text.size(), cut_by * text.size() / 255);
  fuzz::require(ends.contains(csv_last_record_end(text.substr(0, cut), false)),
                "a piece ends where a record does");
  return 0;
}
