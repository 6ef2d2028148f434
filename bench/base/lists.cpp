#include "bench/base/lists.hpp"

namespace tally {

std::vector<std::string> split_list(std::string_view flag, std::string_view text) {
  std::vector<std::string> items;
  for (std::size_t begin = 0; begin <= text.size();) {
    std::size_t const end = std::min(text.find(',', begin), text.size());
    if (end == begin) {
      throw UsageError(std::string(flag) + " '" + std::string(text) +
                       "': an item is empty; write them with commas between, such as a,b");
    }
    items.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return items;
}

std::string join(std::vector<std::string> const& items) {
  std::string text;
  for (auto const& item : items) text += (text.empty() ? "" : ", ") + item;
  return text;
}

}  // namespace tally
