#include "libmfdata/home_owner.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace mfdata {

Result<void> become_owner(const Home& home) {
  struct stat st;
  if (::stat(home.root.c_str(), &st) != 0) return system_error(errno, "cannot look at " + home.root.string());
  if (::geteuid() != 0 || st.st_uid == 0) return {};
  const passwd* user = ::getpwuid(st.st_uid);
  const gid_t group = user ? user->pw_gid : st.st_gid;
  if (group == 0) {
    return Error{Code::kRefused, 0, "the home " + home.root.string() + " belongs to a user in root's group: give it to another group (chgrp), or its user another one"};
  }
  const int grouped = user ? ::initgroups(user->pw_name, group) : ::setgroups(0, nullptr);
  if (grouped != 0 || ::setgid(group) != 0 || ::setuid(st.st_uid) != 0)
    return system_error(errno, "cannot become the owner of " + home.root.string());
  return {};
}

}  // namespace mfdata
