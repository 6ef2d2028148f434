// Aligned columns of text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tally {

/// Columns of what commands print.
inline constexpr std::size_t kTextWidth = 120;

/// Columns that a UTF-8 text takes on a terminal, as far as Tally's own texts go: one per code point.
std::size_t display_width(std::string_view text);

/// `text` in lines of at most `width` columns, broken at blanks (a longer word stands alone), every line
/// after the first indented by `indent`. No newline at the end.
std::string wrap(std::string_view text, std::size_t width, std::size_t indent);

/// Rows of cells, as wide as their widest; or a line of free text between rows.
class TextTable {
 public:
  enum class Align { left, right };
  /// One column per heading.
  struct Column {
    std::string heading;
    Align align = Align::right;
  };
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// Cells that are missing at the end stay empty; more than there are columns are a std::logic_error.
  void row(std::vector<std::string> cells);
  /// `first` as cells, then `text` across the rest of the line, wrapped at `width`.
  void spanning_row(std::vector<std::string> first, std::string text);
  /// The whole, each line ending in a newline, without blanks at line ends.
  std::string str(std::size_t width) const;

 private:
  struct Row {
    std::vector<std::string> cells;
    std::string rest;
  };
  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

}  // namespace tally
