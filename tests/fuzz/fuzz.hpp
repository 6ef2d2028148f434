// What fuzz targets share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace tally::fuzz {

/// Ends the process, so that the fuzzer keeps the input, unless `holds`.
inline void require(bool holds, char const* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

/// Whether `part` lies within `whole`.
inline bool within(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

/// The input as text, and numbers taken off its front.
class Input {
 public:
  Input(std::uint8_t const* data, std::size_t size) : text_(reinterpret_cast<char const*>(data), size) {}
  /// A number below `end`, 0 at the input's end.
  std::size_t below(std::size_t end) {
    if (text_.empty()) return 0;
    auto const byte = static_cast<unsigned char>(text_.front());
    text_.remove_prefix(1);
    return byte % end;
  }
  /// What comes before the next `end`, which is taken too.
  std::string_view until(char end) {
    std::size_t const at = text_.find(end);
    std::string_view const found = text_.substr(0, at);
    text_.remove_prefix(at == std::string_view::npos ? text_.size() : at + 1);
    return found;
  }
  std::string_view rest() const { return text_; }

 private:
  std::string_view text_;
};

}  // namespace tally::fuzz
