#include "bench/base/json.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>
#include <type_traits>

namespace tally {
namespace {

using Library = nlohmann::ordered_json;

Json from_library(Library const& value) {
  switch (value.type()) {
    case Library::value_t::boolean:
      return value.get<bool>();
    case Library::value_t::number_integer:
      return value.get<std::int64_t>();
    case Library::value_t::number_unsigned:
      return value.get<std::uint64_t>();
    case Library::value_t::number_float:
      return value.get<double>();
    case Library::value_t::string:
      return value.get_ref<std::string const&>();
    case Library::value_t::array: {
      Json array = Json::array();
      for (Library const& item : value) array.push_back(from_library(item));
      return array;
    }
    case Library::value_t::object: {
      Json object = Json::object();
      for (auto const& [key, item] : value.items()) object[key] = from_library(item);
      return object;
    }
    default:
      return nullptr;
  }
}

}  // namespace

Json::Json(std::initializer_list<Json> values) {
  bool const pairs = std::all_of(values.begin(), values.end(), [](Json const& value) {
    return value.is_array() && value.size() == 2 && value.at(0).is_string();
  });
  if (!pairs) {
    value_ = Array{values};
    return;
  }
  value_ = Object{};
  for (Json const& pair : values) (*this)[std::get<std::string>(pair.at(0).value_)] = pair.at(1);
}

Json Json::array() {
  Json json;
  json.value_ = Array{};
  return json;
}

Json Json::object() {
  Json json;
  json.value_ = Object{};
  return json;
}

Json Json::parse(std::string_view text) {
  try {
    return from_library(Library::parse(text));
  } catch (Library::exception const& e) {
    throw Error(e.what());
  }
}

Json Json::parse_or_null(std::string_view text) noexcept {
  return from_library(Library::parse(text, nullptr, false));
}

std::string Json::dump(int indent) const {
  // The library's value is made for the time of writing alone.
  auto const to_library = [](auto const& self, Json const& json) -> Library {
    return std::visit(
        [&](auto const& value) -> Library {
          using Value = std::decay_t<decltype(value)>;
          if constexpr (std::is_same_v<Value, Array>) {
            Library array = Library::array();
            for (Json const& item : value.items) array.push_back(self(self, item));
            return array;
          } else if constexpr (std::is_same_v<Value, Object>) {
            Library object = Library::object();
            for (std::size_t i = 0; i < value.keys.size(); ++i)
              object[value.keys[i]] = self(self, value.items[i]);
            return object;
          } else {
            return value;
          }
        },
        json.value_);
  };
  return to_library(to_library, *this).dump(indent, ' ', false, Library::error_handler_t::replace);
}

Json::Items const& Json::items() const noexcept {
  static Items const none;
  if (auto const* const array = std::get_if<Array>(&value_)) return array->items;
  if (auto const* const object = std::get_if<Object>(&value_)) return object->items;
  return none;
}

std::vector<std::pair<std::string const&, Json const&>> Json::members() const {
  std::vector<std::pair<std::string const&, Json const&>> all;
  if (auto const* const object = std::get_if<Object>(&value_))
    for (std::size_t i = 0; i < object->keys.size(); ++i) all.emplace_back(object->keys[i], object->items[i]);
  return all;
}

Json const* Json::find(std::string_view key) const noexcept {
  auto const* const object = std::get_if<Object>(&value_);
  if (!object) return nullptr;
  auto const found = std::find(object->keys.begin(), object->keys.end(), key);
  return found == object->keys.end() ? nullptr
                                     : &object->items[static_cast<std::size_t>(found - object->keys.begin())];
}

Json const& Json::at(std::string_view key) const {
  if (Json const* const member = find(key)) return *member;
  throw Error("there is no '" + std::string(key) + "'");
}

Json const& Json::at(std::size_t index) const {
  expect(is_array(), "an array");
  if (index < size()) return items()[index];
  throw Error("there is no element " + std::to_string(index) + " of " + std::to_string(size()));
}

Json& Json::operator[](std::string_view key) {
  if (is_null()) value_ = Object{};
  expect(is_object(), "an object");
  if (Json const* const member = find(key)) return const_cast<Json&>(*member);
  auto& object = std::get<Object>(value_);
  object.keys.emplace_back(key);
  return object.items.emplace_back();
}

void Json::push_back(Json value) {
  if (is_null()) value_ = Array{};
  expect(is_array(), "an array");
  std::get<Array>(value_).items.push_back(std::move(value));
}

void Json::update(Json const& other) {
  for (auto const& [key, value] : other.members()) (*this)[key] = value;
}

void Json::get_to(bool& value) const {
  expect(std::holds_alternative<bool>(value_), "true or false");
  value = std::get<bool>(value_);
}

void Json::get_to(std::string& value) const {
  expect(is_string(), "a text");
  value = std::get<std::string>(value_);
}

Json::Number Json::number() const {
  if (auto const* const value = std::get_if<std::int64_t>(&value_)) return *value;
  if (auto const* const value = std::get_if<std::uint64_t>(&value_)) return *value;
  expect(std::holds_alternative<double>(value_), "a number");
  return std::get<double>(value_);
}

void Json::expect(bool is, char const* type) const {
  if (!is) throw Error(dump().substr(0, 40) + " is not " + type);
}

bool operator==(Json const& a, Json const& b) {
  auto const as_number = [](Json const& json) {
    return std::holds_alternative<std::int64_t>(json.value_) ||
           std::holds_alternative<std::uint64_t>(json.value_) || std::holds_alternative<double>(json.value_);
  };
  if (as_number(a) && as_number(b)) {
    return std::visit(
        [](auto x, auto y) {
          if constexpr (std::is_integral_v<decltype(x)> && std::is_integral_v<decltype(y)>)
            return std::cmp_equal(x, y);
          else
            return static_cast<double>(x) == static_cast<double>(y);
        },
        a.number(), b.number());
  }
  if (a.value_.index() != b.value_.index()) return false;
  if (a.is_null()) return true;
  if (auto const* const value = std::get_if<bool>(&a.value_)) return *value == std::get<bool>(b.value_);
  if (auto const* const text = std::get_if<std::string>(&a.value_))
    return *text == std::get<std::string>(b.value_);
  if (a.is_array()) return a.items() == b.items();
  return a.size() == b.size() && std::ranges::all_of(a.members(), [&](auto const& member) {
           Json const* const other = b.find(member.first);
           return other != nullptr && member.second == *other;
         });
}

std::ostream& operator<<(std::ostream& out, Json const& json) { return out << json.dump(); }

}  // namespace tally
