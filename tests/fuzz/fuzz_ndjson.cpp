// NDJSON, against another reader of JSON: what we take, it takes, with the same key.
#include <nlohmann/json.hpp>

#include "tests/fuzz/fuzz.hpp"
#include "workloads/ndjson.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace tally;
  std::string_view const line(reinterpret_cast<char const*>(data), size);
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
  parse_ndjson(line, JsonPath("a"), JsonPath("t"), TimeFormat("epoch-ms"));
  parse_ndjson(line, JsonPath("a"), JsonPath("t"), {});
  return 0;
}
