// A real file's bytes, plain or gzip, in memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

#include "workloads/memory.hpp"

namespace tally {

/// The file is missing, a directory, unreadable, too large for memory, or gzip that is damaged, cut off, or
/// followed by something else. what() is one line for the user that names the file and, for gzip, how many of
/// its bytes were read and how many came out.
struct InputFailed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The whole content of a file or pipe, decompressed if it begins with gzip's magic number (several members
/// one after the other are one file, as gzip -d has it; zeros after the last are ignored, anything else there
/// is an error). Shared by forked samples. Throws InputFailed.
class InputFile {
 public:
  explicit InputFile(std::filesystem::path const& path);
  /// Good as long as this object, wherever it is moved.
  std::string_view text() const noexcept { return text_; }
  std::filesystem::path const& path() const noexcept { return path_; }
  bool was_gzip() const noexcept { return was_gzip_; }

 private:
  std::filesystem::path path_;
  SharedPages memory_;
  std::string_view text_;
  bool was_gzip_ = false;
};

}  // namespace tally
