// A real file's bytes, decompressed, in memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "workloads/input/byte_source.hpp"
#include "workloads/base/memory.hpp"

namespace tally {

/// The whole content of a file or pipe, decompressed as ByteSource has it. Shared by forked samples. Throws
/// InputFailed.
class InputFile {
 public:
  explicit InputFile(std::filesystem::path const& path);
  /// Good as long as this object, wherever it is moved.
  std::string_view text() const noexcept { return text_; }
  std::filesystem::path const& path() const noexcept { return path_; }
  Compression compression() const noexcept { return compression_; }

 private:
  std::filesystem::path path_;
  SharedPages memory_;
  std::string_view text_;
  Compression compression_ = Compression::none;
};

}  // namespace tally
