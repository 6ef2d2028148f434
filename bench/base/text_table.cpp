#include "bench/base/text_table.hpp"

#include <algorithm>
#include <stdexcept>

namespace tally {
namespace {

constexpr std::string_view kGap = "  ";

}  // namespace

std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string wrap(std::string_view text, std::size_t width, std::size_t indent) {
  std::string out;
  std::size_t used = 0;
  while (!text.empty()) {
    std::size_t const end = std::min(text.find(' '), text.size());
    std::string_view const word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.empty()) continue;
    if (used > 0 && used + 1 + display_width(word) > width) {
      out += "\n" + std::string(indent, ' ');
      used = indent;
    } else if (used > 0) {
      out += ' ';
      ++used;
    }
    out += word;
    used += display_width(word);
  }
  return out;
}

void TextTable::row(std::vector<std::string> cells) { spanning_row(std::move(cells), ""); }

void TextTable::spanning_row(std::vector<std::string> first, std::string text) {
  if (first.size() > columns_.size()) throw std::logic_error("a table row has more cells than columns");
  rows_.push_back({std::move(first), std::move(text)});
}

std::string TextTable::str(std::size_t width) const {
  std::vector<std::size_t> widths;
  std::vector<std::string> headings;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    headings.push_back(columns_[c].heading);
    std::size_t widest = display_width(columns_[c].heading);
    for (Row const& row : rows_) {
      if (c < row.cells.size()) widest = std::max(widest, display_width(row.cells[c]));
    }
    widths.push_back(widest);
  }
  auto const render = [&](std::vector<std::string> const& cells, std::string const& rest) {
    std::string line;
    for (std::size_t c = 0; c < cells.size(); ++c) {
      std::string const blanks(widths[c] - display_width(cells[c]), ' ');
      line += (c > 0 ? std::string(kGap) : "") +
              (columns_[c].align == Align::left ? cells[c] + blanks : blanks + cells[c]);
    }
    if (!rest.empty()) {
      std::size_t const indent = display_width(line) + kGap.size();
      line += std::string(kGap) + wrap(rest, width > indent + 20 ? width - indent : 20, 0);
      // The lines after the first begin below the text, not below the cells.
      for (auto at = line.find('\n'); at != std::string::npos; at = line.find('\n', at + 1)) {
        line.insert(at + 1, std::string(indent, ' '));
      }
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line + "\n";
  };
  std::string out = render(headings, "");
  for (Row const& row : rows_) out += render(row.cells, row.rest);
  return out;
}

}  // namespace tally
