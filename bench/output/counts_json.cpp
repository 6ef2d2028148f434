#include "bench/output/counts_json.hpp"

#include <string>
#include <string_view>

#include "workloads/text/utf8.hpp"

namespace tally {

Json key_as_json(Counts::KeyCount const& entry) {
  Json json{{"key", entry.key}, {"count", entry.count}};
  if (!is_utf8(entry.key)) {
    std::string hex;
    for (char const c : entry.key) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      hex += kDigits[static_cast<unsigned char>(c) >> 4];
      hex += kDigits[static_cast<unsigned char>(c) & 15];
    }
    json["key_hex"] = hex;
  }
  return json;
}

}  // namespace tally
