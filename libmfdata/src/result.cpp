#include "libmfdata/result.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace mfdata {

static Code code_of(int errnum) {
  switch (errnum) {
    case ENOENT: return Code::kGone;
    case EEXIST:
    case ENOTEMPTY: return Code::kExists;
    case EAGAIN:
    case EBUSY:
    case ETXTBSY: return Code::kBusy;
    case ENOSPC:
    case EDQUOT: return Code::kNoSpace;
    case EXDEV: return Code::kForeign;
    case ENOTSUP: return Code::kUnsupported;
    default: return Code::kIo;
  }
}

Error system_error(int errnum, const std::string& doing) {
  return Error{code_of(errnum), errnum, doing + ": " + std::strerror(errnum)};
}

void check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "mfdata: internal error: %s\n", what);
  std::abort();
}

}  // namespace mfdata
