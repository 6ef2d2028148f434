// NDJSON, against another reader of JSON: what we take, it takes, with the same key.
#include <nlohmann/json.hpp>
#include <string>

#include "tests/fuzz/fuzz.hpp"
#include "workloads/text/ndjson.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace tally;
  std::string_view const line(reinterpret_cast<char const*>(data), size);
  // Bytes behind the line that end whatever it may have begun.
  std::string const followed = std::string(line) + std::string(100, size % 2 == 0 ? '}' : '"');
  for (char const* const path : {"a", "a.b"}) {
    ParsedLine const parsed = parse_ndjson(line, JsonPath(path), {}, {});
    auto const json = nlohmann::json::parse(line, nullptr, false);
    if (parsed.problem.empty()) {
      fuzz::require(!json.is_discarded(), "what is taken is JSON");
      auto const& value = std::string_view(path) == "a" ? json.at("a") : json.at("a").at("b");
      fuzz::require(value.is_string() && value.get_ref<std::string const&>() == parsed.key,
                    "the key is the string there");
    } else if (parsed.problem.starts_with("the key is")) {
      fuzz::require(!json.is_discarded(), "of what is no JSON no more is said");
    }
  }
  ParsedLine const copied = parse_ndjson(line, JsonPath("a"), {}, {});
  std::string const key(copied.key);
  ParsedLine const in_place =
      parse_ndjson(std::string_view(followed).substr(0, size), JsonPath("a"), {}, {}, 100);
  fuzz::require(in_place.key == key && in_place.problem == copied.problem,
                "what stands behind a line means nothing");
  parse_ndjson(line, JsonPath("a"), JsonPath("t"), TimeFormat("epoch-ms"));
  parse_ndjson(line, JsonPath("a"), JsonPath("t"), {});
  return 0;
}
