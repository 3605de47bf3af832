#include "deposited_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/filesystem/operations.hpp>
#include <cerrno>

#include "libmfdata/deposit.hpp"

namespace mfdata::tools {

Result<FileDescriptor> open_source(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat st;
  if (!file || ::fstat(file.get(), &st) != 0) return system_error(errno, "cannot read " + path);
  if (!S_ISREG(st.st_mode)) return Error{Code::kRefused, 0, path + " is not a regular file"};
  return file;
}

Result<TagSet> parse_assignments(const std::vector<std::string>& assignments) {
  TagSet tags;
  for (const std::string& assignment : assignments) {
    const std::size_t equals = assignment.find('=');
    if (equals == std::string::npos) return Error{Code::kBadData, 0, "a tag is written NAME=VALUE, not \"" + assignment + '"'};
    if (TagSet::is_reserved(assignment.substr(0, equals)))
      return Error{Code::kRefused, 0, assignment.substr(0, equals) + " belongs to mfdata itself"};
    MFDATA_TRY(tags.set(assignment.substr(0, equals), assignment.substr(equals + 1)));
  }
  return tags;
}

Result<void> deposit(const Spool& spool, const std::string& source, const std::string& step, const std::string& name, const TagSet& tags,
                     const DepositOptions& options) {
  auto from = open_source(source);
  if (!from) return from.error();
  return deposit_from(spool, from->get(), source, step, name, tags, options);
}

Result<void> deposit_from(const Spool& spool, int from, const std::string& source, const std::string& step, const std::string& name,
                          const TagSet& tags, const DepositOptions& options) {
  auto deposit = Deposit::open(spool);
  if (!deposit) return deposit.error();
  MFDATA_TRY(copy_content(from, deposit->file(), source));
  if (options.grown_to > 0 && ::ftruncate(deposit->file(), static_cast<off_t>(options.grown_to)) != 0)
    return system_error(errno, "cannot grow a copy of " + source);
  if (options.before_commit) MFDATA_TRY(options.before_commit(deposit->uid()));
  std::string dotted = step;
  dotted.replace(step.find('/'), 1, ".");
  const std::string directory = options.directory.empty() ? boost::filesystem::absolute(source).parent_path().string() : options.directory;
  return deposit->commit(dotted, name, directory + "/", tags);
}

}  // namespace mfdata::tools
