// A JSON value. nlohmann's library reads and writes its text, in json.cpp alone: its header takes a compiler
// seconds for every file that includes it.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace tally {

/// Null, a truth value, a number, a text, an array or an object, whose members keep the order in which they
/// were added. As in nlohmann's library, a braced list of pairs that begin with a text is an object, and any
/// other one an array.
class Json {
 public:
  /// What is missing, of another type, or no JSON; what() is one line.
  class Error : public std::runtime_error {
   public:
    using std::runtime_error::runtime_error;
  };
  using Items = std::vector<Json>;

  Json() = default;
  Json(std::nullptr_t) {}
  template <std::same_as<bool> T>
  Json(T value) : value_(value) {}
  template <std::integral T>
  requires(!std::same_as<T, bool>) Json(T value) {
    if constexpr (std::signed_integral<T>)
      value_ = std::int64_t{value};
    else
      value_ = std::uint64_t{value};
  }
  Json(double value) : value_(value) {}
  Json(char const* text) : value_(std::string(text)) {}
  Json(std::string_view text) : value_(std::string(text)) {}
  Json(std::string text) : value_(std::move(text)) {}
  /// An array of these.
  template <class T>
  Json(std::vector<T> const& values) : Json(array()) {
    auto& items = std::get<Array>(value_).items;
    for (auto const& value : values) items.emplace_back(value);
  }
  /// An object of these.
  template <class T>
  Json(std::map<std::string, T> const& values) : Json(object()) {
    for (auto const& [key, value] : values) (*this)[key] = value;
  }
  Json(std::initializer_list<Json> values);

  static Json array();
  static Json object();

  /// The value that is written in `text`. Throws Error that says where it is no JSON.
  static Json parse(std::string_view text);
  /// The same; none where it is no JSON.
  static Json parse_or_null(std::string_view text) noexcept;
  /// Its text: on one line, or with so many columns of indentation. Bytes that are no UTF-8 are replaced by
  /// U+FFFD; a number that is not finite is null.
  std::string dump(int indent = -1) const;

  bool is_null() const noexcept { return std::holds_alternative<std::nullptr_t>(value_); }
  bool is_string() const noexcept { return std::holds_alternative<std::string>(value_); }
  bool is_array() const noexcept { return std::holds_alternative<Array>(value_); }
  bool is_object() const noexcept { return std::holds_alternative<Object>(value_); }

  /// Elements of an array, or values of an object, in order; of anything else none.
  Items const& items() const noexcept;
  Items::const_iterator begin() const noexcept { return items().begin(); }
  Items::const_iterator end() const noexcept { return items().end(); }
  std::size_t size() const noexcept { return items().size(); }
  bool empty() const noexcept { return items().empty(); }
  /// Key and value of each member of an object, in order; of anything else none.
  std::vector<std::pair<std::string const&, Json const&>> members() const;

  bool contains(std::string_view key) const noexcept { return find(key) != nullptr; }
  /// The member of an object. Throws Error if there is none.
  Json const& at(std::string_view key) const;
  Json const& operator[](std::string_view key) const { return at(key); }
  Json const& operator[](char const* key) const { return at(key); }
  /// The element of an array. Throws Error if there is none.
  Json const& at(std::size_t index) const;
  template <std::integral T>
  Json const& operator[](T index) const {
    return at(static_cast<std::size_t>(index));
  }
  Json const& back() const { return at(size() - 1); }
  /// The member of an object, added as null if there is none; null becomes an object. Throws Error for
  /// anything else.
  Json& operator[](std::string_view key);
  Json& operator[](char const* key) { return (*this)[std::string_view(key)]; }
  /// Adds to an array; null becomes one. Throws Error for anything else.
  void push_back(Json value);
  /// Sets the members of `other`, an object, in this one.
  void update(Json const& other);

  /// The value as T: bool, a number, std::string, std::vector or std::map from std::string of such. Numbers
  /// are converted to T; any other type than asked for throws Error.
  template <class T>
  T get() const {
    T value;
    get_to(value);
    return value;
  }
  void get_to(bool& value) const;
  void get_to(std::string& value) const;
  template <class T>
  requires std::integral<T> || std::floating_point<T>
  void get_to(T& value) const {
    std::visit([&](auto number) { value = static_cast<T>(number); }, number());
  }
  template <class T>
  void get_to(std::vector<T>& values) const {
    expect(is_array(), "an array");
    values.clear();
    for (Json const& item : items()) values.push_back(item.get<T>());
  }
  template <class T>
  void get_to(std::map<std::string, T>& values) const {
    expect(is_object(), "an object");
    values.clear();
    for (auto const& [key, value] : members()) values.emplace(key, value.template get<T>());
  }
  void get_to(Json& value) const { value = *this; }

  /// The member as T, or `fallback` where there is none.
  template <class T>
  T value(std::string_view key, T const& fallback) const {
    Json const* const member = find(key);
    return member ? member->get<T>() : fallback;
  }
  std::string value(std::string_view key, char const* fallback) const {
    return value(key, std::string(fallback));
  }

  /// Numbers are compared by value, whatever their type; the order of members does not matter.
  friend bool operator==(Json const& a, Json const& b);
  friend std::ostream& operator<<(std::ostream& out, Json const& json);

 private:
  using Number = std::variant<std::int64_t, std::uint64_t, double>;
  struct Array {
    Items items;
  };
  struct Object {
    std::vector<std::string> keys;
    Items items;
  };

  Json const* find(std::string_view key) const noexcept;
  Number number() const;
  void expect(bool is, char const* type) const;

  std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string, Array, Object> value_;
};

}  // namespace tally
