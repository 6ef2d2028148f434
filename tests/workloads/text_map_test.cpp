// TextMap counts as std::map does, whatever the keys; and where quotes stand is found alike on every
// processor.
#include "workloads/counting/text_map.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "workloads/base/random.hpp"
#include "workloads/text/byte_marks.hpp"

namespace tally {
namespace {

std::map<std::string, std::uint64_t, std::less<>> all_of(TextMap const& map) {
  std::map<std::string, std::uint64_t, std::less<>> all;
  for (auto const& [key, count] : map) EXPECT_TRUE(all.emplace(key, count).second) << key << " twice";
  return all;
}

std::string key_of(IndexedRandom& random) {
  std::string key(random.below(80), 'a');
  for (char& c : key) c = static_cast<char>(random.below(random.below(4) == 0 ? 256 : 2));
  return key;
}

TEST(TextMap, CountsAsStdMapDoes) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    IndexedRandom random(seed, 0);
    std::vector<std::string> keys;
    for (std::uint64_t n = random.below(2'000); n > 0; --n) keys.push_back(key_of(random));
    keys.emplace_back();
    TextMap map;
    std::map<std::string, std::uint64_t, std::less<>> expected;
    if (seed % 2 == 0) map.reserve(random.below(3'000));
    for (int i = 0; i < 5'000; ++i) {
      std::string const& key = keys[random.below(keys.size())];
      map.prefetch(TextHash{}(key));
      map.prefetch_key(TextHash{}(key));
      ++map[key];
      ++expected[key];
    }
    EXPECT_EQ(all_of(map), expected);
    EXPECT_EQ(map.size(), expected.size());
    for (std::string const& key : keys) {
      auto const found = expected.find(key);
      EXPECT_EQ(map.count_of(key), found == expected.end() ? 0 : found->second);
    }
  }
}

TEST(TextMap, HasNothingAtFirst) {
  TextMap const map;
  EXPECT_TRUE(map.empty());
  EXPECT_EQ(map.count_of(""), 0u);
  EXPECT_EQ(map.count_of("a"), 0u);
  EXPECT_TRUE(all_of(map).empty());
  map.prefetch(1);
  map.prefetch_key(1);
}

TEST(TextMap, AKeyThatIsNewIsKeptAsItIsTold) {
  TextMap map;
  std::set<std::string> kept;  // whose strings stay
  int asked = 0;
  auto const keep = [&](std::string_view key) {
    ++asked;
    return std::string_view(*kept.emplace(key).first);
  };
  for (int i = 0; i < 300; ++i) {
    std::string passing = "key " + std::to_string(i % 100);
    ++map.count_of_hashed(passing, TextHash{}(passing), keep);
    passing.assign(passing.size(), '?');
  }
  EXPECT_EQ(asked, 100);
  EXPECT_EQ(map.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(map.count_of("key " + std::to_string(i)), 3u);
}

TEST(TextMap, KeysOfOneHashAreToldApart) {
  TextMap map;
  std::vector<std::string> keys;
  for (int i = 0; i < 200; ++i) keys.push_back(std::to_string(i));
  auto const as_it_is = [](std::string_view key) { return key; };
  for (int round = 0; round < 3; ++round)
    for (std::string const& key : keys) ++map.count_of_hashed(key, 42, as_it_is);
  EXPECT_EQ(map.size(), keys.size());
  for (auto const& [key, count] : map) EXPECT_EQ(count, 3u) << key;
}

TEST(TextMap, NothingHasChangedIfAKeyCannotBeKept) {
  TextMap map;
  map["a"] = 1;
  EXPECT_THROW(
      map.count_of_hashed("b", TextHash{}("b"), [](std::string_view) -> std::string_view { throw 1; }), int);
  EXPECT_EQ(all_of(map), (std::map<std::string, std::uint64_t, std::less<>>{{"a", 1}}));
  EXPECT_EQ(map.size(), 1u);
}

TEST(TextHash, EveryBitOfAKeyAndItsLengthMatter) {
  for (std::size_t length = 0; length <= 100; ++length) {
    std::string const key(length, '\0');
    std::set<std::uint64_t> hashes{TextHash{}(key), TextHash{}(key + '\0')};
    for (std::size_t bit = 0; bit < 8 * length; ++bit) {
      std::string other = key;
      other[bit / 8] = static_cast<char>(1U << bit % 8);
      hashes.insert(TextHash{}(other));
      EXPECT_FALSE(TextEqual{}(key, other));
      EXPECT_TRUE(TextEqual{}(other, std::string(other)));
    }
    EXPECT_EQ(hashes.size(), 8 * length + 2) << "of " << length << " bytes";
    EXPECT_FALSE(TextEqual{}(key, key + '\0'));
  }
}

TEST(TextMap, KeepsThoseThatAreToStayAndFindsThemAll) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    IndexedRandom random(seed, 0);
    std::vector<std::string> keys;
    for (std::uint64_t i = random.below(300); i > 0; --i)
      keys.push_back("key " + std::to_string(random.below(1000)));
    TextMap map;
    std::map<std::string, std::uint64_t, std::less<>> expected, others, taken;
    std::uint64_t const divisor = 1 + random.below(4);
    auto const kept = [&](std::uint64_t hash) { return hash / 3 % divisor == 0; };
    for (std::string const& key : keys) {
      ++map[key];
      ++(kept(TextHash{}(key)) ? expected : others)[key];
    }
    std::uint64_t stayed = 0, to_stay = 0;
    for (auto const& [key, count] : expected) to_stay += count;
    map.take_out(
        kept,
        [&](std::string_view key, std::uint64_t hash, std::uint64_t count) {
          EXPECT_EQ(hash, TextHash{}(key));
          taken[std::string(key)] += count;
        },
        [&stayed](std::uint64_t count) { stayed += count; });
    EXPECT_EQ(all_of(map), expected);
    EXPECT_EQ(taken, others);
    EXPECT_EQ(stayed, to_stay);
    EXPECT_EQ(map.size(), expected.size());
    for (std::string const& key : keys)
      EXPECT_EQ(map.count_of(key), expected.contains(key) ? expected[key] : 0) << key;
    // What was dropped may come again.
    for (std::string const& key : keys) {
      ++map[key];
      ++expected[key];
    }
    EXPECT_EQ(all_of(map), expected);
  }
}

TEST(TextMap, TellsItsKeysHashesAndSizes) {
  TextMap map;
  std::vector<std::string> keys;
  std::multiset<std::uint64_t> hashes, told;
  for (int i = 0; i < 500; ++i)
    keys.push_back(std::string(static_cast<std::size_t>(i % 40), 'k') + std::to_string(i));
  for (std::string const& key : keys) {
    map[key] += key.size();
    hashes.insert(TextHash{}(key));
  }
  map.each_size([&](std::size_t size, std::uint64_t hash, std::uint64_t count) {
    EXPECT_EQ(size, count);
    told.insert(hash);
  });
  EXPECT_EQ(told, hashes);
}

TEST(TextHash, NumberedKeysSpreadOverAllSlots) {
  constexpr int kSlots = 1024;
  for (char const* prefix :
       {"", "k", "event:", "/articles/2024/", "https://www.example.com/a/long/path/to/item/"}) {
    std::vector<int> taken(kSlots);
    for (int i = 0; i < 16 * kSlots; ++i) ++taken[TextHash{}(prefix + std::to_string(i)) % kSlots];
    // 16 on average; more than 50 in one of 1,024 comes by chance once in 10^8.
    EXPECT_LE(*std::max_element(taken.begin(), taken.end()), 50) << prefix;
  }
}

TEST(QuotePositions, AreThoseOfNewlinesQuotesAndBackslashes) {
  constexpr std::string_view kBytes = "\n\"\\a";
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    IndexedRandom random(seed, 0);
    std::string text(random.below(400), 'b');
    for (char& c : text)
      if (random.below(1 + seed % 9) == 0) c = kBytes[random.below(kBytes.size())];
    std::vector<std::uint16_t> expected, found(text.size() + 4), anywhere(text.size() + 4);
    for (std::size_t i = 0; i < text.size(); ++i)
      if (text[i] != 'a' && text[i] != 'b') expected.push_back(static_cast<std::uint16_t>(i));
    found.resize(quote_positions(text.data(), text.size(), found.data()));
    anywhere.resize(quote_positions_anywhere(text.data(), text.size(), anywhere.data()));
    EXPECT_EQ(found, expected);
    EXPECT_EQ(anywhere, expected);
  }
}

}  // namespace
}  // namespace tally
