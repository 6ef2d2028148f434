#include "bench/base/atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "bench/base/usage_error.hpp"

namespace tally {
namespace {

std::string what_failed(std::filesystem::path const& path) { return "cannot write " + path.string(); }

[[noreturn]] void fail_to_write(std::filesystem::path const& path, int error) {
  throw std::system_error(error, std::generic_category(), what_failed(path));
}

/// What a path leads to in the end, with every symbolic link followed, also to a file that is not there yet.
struct Target {
  std::filesystem::path path;
  /// This process's own descriptor where the path names one: /dev/stdout, /dev/fd/N.
  std::optional<int> descriptor;
};

Target target_of(std::filesystem::path const& path) {
  std::filesystem::path const own_descriptors = "/proc/" + std::to_string(::getpid()) + "/fd";
  constexpr int kMostLinks = 40;  // as many as the kernel follows: path_resolution(7)
  std::filesystem::path at = std::filesystem::absolute(path);
  for (int links = 0; links <= kMostLinks; ++links) {
    std::error_code error;
    std::filesystem::path const folder = std::filesystem::canonical(at.parent_path(), error);
    if (error) fail_to_write(path, error.value());
    std::string const name = at.filename().string();
    if (folder == own_descriptors && !name.empty() &&
        name.find_first_not_of("0123456789") == std::string::npos)
      return {at, std::stoi(name)};
    if (!std::filesystem::is_symlink(std::filesystem::symlink_status(at, error))) return {at, std::nullopt};
    std::filesystem::path const next = std::filesystem::read_symlink(at, error);
    if (error) fail_to_write(path, error.value());
    at = folder / next;
  }
  fail_to_write(path, ELOOP);
}

/// A new file in the directory of the one that it is to replace; removed unless it takes its place.
class Replacement {
 public:
  explicit Replacement(std::filesystem::path const& path) : path_(path) {
    std::error_code none;
    if (std::filesystem::is_directory(path_, none)) fail_to_write(path_, EISDIR);
    name_ = path_.string() + ".XXXXXX";
    fd_ = ::mkostemp(name_.data(), O_CLOEXEC);
    if (fd_ < 0) fail_to_write(path_, errno);
  }
  ~Replacement() {
    if (fd_ >= 0) ::close(fd_);
    if (!in_place_) ::unlink(name_.c_str());
  }
  Replacement(Replacement const&) = delete;
  Replacement& operator=(Replacement const&) = delete;

  void write(std::string_view content) { write_all(fd_, content, what_failed(path_)); }

  void take_place() {
    struct stat before {};
    mode_t const mask = ::umask(0);
    ::umask(mask);
    // As the file was, or as any new one would be; mkostemp's is private.
    ::fchmod(fd_, ::stat(path_.c_str(), &before) == 0 ? before.st_mode & 07777 : 0666 & ~mask);
    if (::fsync(fd_) != 0) fail_to_write(path_, errno);
    if (int const fd = std::exchange(fd_, -1); ::close(fd) != 0) fail_to_write(path_, errno);
    if (::rename(name_.c_str(), path_.c_str()) != 0) fail_to_write(path_, errno);
    in_place_ = true;
  }

 private:
  std::filesystem::path path_;
  std::string name_;
  int fd_ = -1;
  bool in_place_ = false;
};

/// There, and neither a regular file nor a directory: a terminal, a pipe, /dev/null.
bool is_special(std::filesystem::path const& path) {
  std::error_code none;
  auto const status = std::filesystem::status(path, none);
  return std::filesystem::exists(status) && !std::filesystem::is_regular_file(status) &&
         !std::filesystem::is_directory(status);
}

void write_special(std::filesystem::path const& path, std::string_view content) {
  int const fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) fail_to_write(path, errno);
  try {
    write_all(fd, content, what_failed(path));
  } catch (...) {
    ::close(fd);
    throw;
  }
  if (::close(fd) != 0) fail_to_write(path, errno);
}

}  // namespace

void write_all(int fd, std::string_view content, std::string const& what) {
  while (!content.empty()) {
    ssize_t const n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw std::system_error(errno, std::generic_category(), what);
    content.remove_prefix(static_cast<std::size_t>(n));
  }
}

std::filesystem::path output_path(std::filesystem::path const& path) { return target_of(path).path; }

void write_whole(std::filesystem::path const& path, std::string_view content) {
  Target const target = target_of(path);
  if (target.descriptor) return write_all(*target.descriptor, content, what_failed(path));
  if (is_special(target.path)) return write_special(target.path, content);
  Replacement file(target.path);
  file.write(content);
  file.take_place();
}

void check_output_file(std::string_view flag, std::filesystem::path const& path) {
  auto const refuse_file = [&](std::string const& why) {
    throw UsageError(std::string(flag) + " '" + path.string() + "' cannot be written: " + why);
  };
  struct stat status {};
  if (stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) refuse_file("it is a directory; name a file");
    if (!S_ISREG(status.st_mode)) refuse_file("it is not a regular file");
  }
  if (path.filename().empty()) refuse_file("it names no file");
  std::filesystem::path directory;
  try {
    directory = output_path(path).parent_path();
  } catch (std::system_error const& e) {
    refuse_file(e.code().message() + " (in directory '" + path.parent_path().string() + "')");
  }
  // Permissions, read-only file systems and full disks show only when a file is made and filled.
  std::string name = (directory / ".tally-probe-XXXXXX").string();
  int const file = mkstemp(name.data());
  if (file < 0) {
    refuse_file(std::generic_category().message(errno) + " (in directory '" + directory.string() + "')");
  }
  std::array<char, 4096> const block{};
  ssize_t const written = write(file, block.data(), block.size());
  int const error = written < 0                       ? errno
                    : written < ssize_t{block.size()} ? ENOSPC
                    : fsync(file) != 0                ? errno
                                                      : 0;
  close(file);
  unlink(name.c_str());
  if (error != 0) refuse_file(std::generic_category().message(error));
}

}  // namespace tally
