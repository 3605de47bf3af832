// tags print, get, set, unset, copy.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "libmfdata/disk.hpp"
#include "libmfdata/home.hpp"
#include "libmfdata/spool_name.hpp"
#include "libmfdata/tagged_file.hpp"

namespace mfdata::tools {
namespace {

// The tags of a companion, "name = value" lines; nothing where there is none.
std::optional<TagSet> companion_tags(const std::string& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return std::nullopt;
  const auto text = small_file(path);
  TagSet tags;
  for (std::size_t at = 0; text && at < text->size();) {
    const std::size_t end = std::min(text->find('\n', at), text->size());
    const std::string line = text->substr(at, end - at);
    const std::size_t between = line.find(" = ");
    const auto value = between == std::string::npos ? Result<std::string>(Error{Code::kBadData, 0, ""}) : unescaped(line.substr(between + 3));
    if (!value || !tags.set(line.substr(0, between), *value)) return std::nullopt;  // it is another kind of file
    at = end + 1;
  }
  return text ? std::optional<TagSet>(std::move(tags)) : std::nullopt;
}

// In one rename, with the mode and the owner that it had.
Result<void> write_companion(const std::string& path, const TagSet& tags) {
  const boost::filesystem::path absolute = boost::filesystem::absolute(path);
  auto disk = Disk::open(absolute.parent_path().string());
  if (!disk) return disk.error();
  auto before = disk->status(absolute.filename().string());
  if (!before) return before.error();
  const std::string fresh = ".tags-" + fresh_uid();
  auto file = disk->create(fresh);
  if (!file) return file.error();
  auto written = write_all(file->get(), tags_file_text(tags), path);
  if (written && ::fchown(file->get(), before->st_uid, before->st_gid) != 0 && errno != EPERM) written = system_error(errno, "cannot write " + path);
  if (written && ::fchmod(file->get(), before->st_mode & 07777) != 0) written = system_error(errno, "cannot write " + path);
  if (written) written = sync_file(file->get(), path);
  if (written) written = disk->replace(fresh, absolute.filename().string());
  if (!written) (void)disk->unlink(fresh);
  return written;
}

// The companion of a delivered file has all its tags, its attribute those that fit: both change, or the command says what did not.
int change(const std::string& path, const std::function<Result<void>(TagSet&)>& edit) {
  auto tagged = TaggedFile::open(path);
  if (!tagged) return fail(tagged.error().text);
  auto context = tagged->context_or_new();
  if (!context) return fail(path + ": " + context.error().text);
  const std::string companion = path + ".tags";
  std::optional<TagSet> beside = companion_tags(companion);
  const Result<void> edited = edit(context->tags);
  const Result<void> edited_beside = beside ? edit(*beside) : edited;
  if (!edited && !edited_beside) return fail(edited.error().text);
  Result<void> written = edited ? tagged->commit(*context) : Result<void>();
  const bool only_beside = beside && edited_beside && (!edited || written.is(Code::kAttribute));
  if (!written && !only_beside) return fail(written.error().text);
  if (!beside || !edited_beside) return 0;
  if (auto kept = write_companion(companion, *beside); !kept) return fail(kept.error().text);
  if (only_beside) std::cerr << "mfdata: only in " << companion << ", not in the attribute: " << (edited ? written.error().text : edited.error().text) << '\n';
  return 0;
}

}  // namespace

int print_tags(const std::vector<std::string>& files, bool as_json) {
  int failures = 0;
  nlohmann::json all = nlohmann::json::object();
  for (const std::string& path : files) {
    auto tagged = TaggedFile::open(path);
    auto context = tagged ? tagged->context() : Result<Context>(tagged.error());
    if (!context) {
      failures += fail(context.is(Code::kGone) ? path + " has no tags" : path + ": " + context.error().text);
      continue;
    }
    if (as_json) {
      for (const auto& [name, value] : context->tags) all[path][std::string(name)] = value;
    } else {
      if (files.size() > 1) std::cout << path << ":\n";
      std::cout << tags_file_text(context->tags);
    }
  }
  if (as_json) std::cout << all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  return failures == 0 ? 0 : 1;
}

int get_tag(const std::string& path, const std::string& name) {
  auto tagged = TaggedFile::open(path);
  if (!tagged) return fail(tagged.error().text);
  auto context = tagged->context();
  if (!context) return fail(path + ": " + context.error().text);
  const auto value = context->tags.get(name);
  if (!value) return fail(path + " has no tag " + name);
  std::cout << *value << '\n';
  return 0;
}

int set_tag(const std::string& path, const std::string& assignment) {
  const std::size_t equals = assignment.find('=');
  if (equals == std::string::npos) return misuse("a tag is written NAME=VALUE, not \"" + assignment + '"');
  return change(path, [&](TagSet& tags) { return tags.set(assignment.substr(0, equals), assignment.substr(equals + 1)); });
}

int unset_tag(const std::string& path, const std::string& name) {
  return change(path, [&](TagSet& tags) -> Result<void> {
    if (tags.erase(name)) return {};
    return Error{Code::kNotFound, 0, path + " has no tag " + name};
  });
}

int copy_tags(const std::string& from, const std::string& to) {
  auto source = TaggedFile::open(from);
  if (!source) return fail(source.error().text);
  auto context = source->context();
  if (!context) return fail(from + ": " + context.error().text);
  return change(to, [&](TagSet& tags) -> Result<void> {
    tags = context->tags;
    return {};
  });
}

}  // namespace mfdata::tools
