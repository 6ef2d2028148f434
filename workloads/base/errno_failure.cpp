#include "workloads/base/errno_failure.hpp"

#include <cerrno>
#include <system_error>

namespace tally {

void fail_with_error(int error, char const* what) {
  throw std::system_error(error, std::generic_category(), what);
}

void fail_with_errno(char const* what) { fail_with_error(errno, what); }

void fail_with_errno(std::string const& what) { fail_with_error(errno, what.c_str()); }

}  // namespace tally
