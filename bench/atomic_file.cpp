#include "bench/atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <system_error>
#include <utility>

namespace tally {
namespace {

/// A new file in the directory of the one that it is to replace; removed unless it takes its place.
class Replacement {
 public:
  explicit Replacement(std::filesystem::path const& path) : path_(path) {
    // A symbolic link stays one: what it points to is replaced.
    std::error_code none;
    if (auto const target = std::filesystem::canonical(path, none); !none) path_ = target;
    if (std::filesystem::is_directory(path_, none)) fail(EISDIR);
    name_ = path_.string() + ".XXXXXX";
    fd_ = ::mkostemp(name_.data(), O_CLOEXEC);
    if (fd_ < 0) fail(errno);
  }
  ~Replacement() {
    if (fd_ >= 0) ::close(fd_);
    if (!in_place_) ::unlink(name_.c_str());
  }
  Replacement(Replacement const&) = delete;
  Replacement& operator=(Replacement const&) = delete;

  void write(std::string_view content) {
    while (!content.empty()) {
      ssize_t const n = ::write(fd_, content.data(), content.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail(errno);
      content.remove_prefix(static_cast<std::size_t>(n));
    }
  }

  void take_place() {
    struct stat before {};
    mode_t const mask = ::umask(0);
    ::umask(mask);
    // As the file was, or as any new one would be; mkostemp's is private.
    ::fchmod(fd_, ::stat(path_.c_str(), &before) == 0 ? before.st_mode & 07777 : 0666 & ~mask);
    if (::fsync(fd_) != 0) fail(errno);
    if (int const fd = std::exchange(fd_, -1); ::close(fd) != 0) fail(errno);
    if (::rename(name_.c_str(), path_.c_str()) != 0) fail(errno);
    in_place_ = true;
  }

 private:
  [[noreturn]] void fail(int error) const {
    throw std::system_error(error, std::generic_category(), "cannot write " + path_.string());
  }

  std::filesystem::path path_;
  std::string name_;
  int fd_ = -1;
  bool in_place_ = false;
};

/// Not a file that can be replaced: a terminal, a pipe, /dev/null.
bool is_special(std::filesystem::path const& path) {
  std::error_code none;
  auto const status = std::filesystem::status(path, none);
  return std::filesystem::exists(status) && !std::filesystem::is_regular_file(status) &&
         !std::filesystem::is_directory(status);
}

void write_special(std::filesystem::path const& path, std::string_view content) {
  std::FILE* const file = std::fopen(path.c_str(), "w");
  bool const whole = file && std::fwrite(content.data(), 1, content.size(), file) == content.size();
  int error = errno;
  if (file && std::fclose(file) != 0)
    error = errno;
  else if (whole)
    return;
  throw std::system_error(error, std::generic_category(), "cannot write " + path.string());
}

}  // namespace

void write_whole(std::filesystem::path const& path, std::string_view content) {
  if (is_special(path)) return write_special(path, content);
  Replacement file(path);
  file.write(content);
  file.take_place();
}

}  // namespace tally
