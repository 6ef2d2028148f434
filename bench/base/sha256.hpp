// SHA-256 (FIPS 180-4), for the identity of files and results.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace tally {

/// The digest of bytes that come in pieces.
class Sha256 {
 public:
  Sha256();
  void add(std::string_view bytes);
  /// 64 hexadecimal digits. Call once, last.
  std::string hex();

 private:
  void block(unsigned char const* bytes);

  std::array<std::uint32_t, 8> state_;
  std::array<unsigned char, 64> buffer_;
  std::uint64_t length_ = 0;  // in bytes
};

std::string sha256(std::string_view bytes);
/// Of a file's content. Throws std::runtime_error that names the file if it cannot be read.
std::string sha256_of_file(std::filesystem::path const& path);
/// The same, or "unknown: " and why.
std::string hash_or_reason(std::filesystem::path const& path);

}  // namespace tally
