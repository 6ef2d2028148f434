#include "bench/counts_json.hpp"

#include <string>
#include <string_view>

namespace tally {

using Json = nlohmann::ordered_json;

Json key_as_json(Counts::KeyCount const& entry) {
  Json json{{"key", entry.key}, {"count", entry.count}};
  try {
    json.dump();
  } catch (Json::type_error const&) {
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
