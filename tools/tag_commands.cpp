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

struct Companion {
  std::string path;
  TagSet tags;
};

bool is_file(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode);
}

// What stands beside the file under its name and a suffix, has tags in it, and those of this very file: "x-1.tags" belongs to
// "x-1" and not to "x". `context`: of the file.
std::vector<Companion> companions_beside(const std::string& path, const Context& context) {
  const boost::filesystem::path file(path);
  const std::string name = file.filename().string();
  const boost::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
  const std::string uid(context.tags.get("first.core.original_uid").value_or(context.uid));
  std::vector<Companion> found;
  boost::system::error_code code;
  for (boost::filesystem::directory_iterator at(folder, code), end; !code && at != end; at.increment(code)) {
    const std::string other = at->path().filename().string();
    if (other.size() <= name.size() || !other.starts_with(name)) continue;
    auto tags = companion_tags(at->path().string());
    if (!tags || tags->get("first.core.original_uid") != uid) continue;
    bool of_another = false;
    for (std::size_t length = name.size() + 1; length < other.size() && !of_another; ++length) {
      of_another = is_file((folder / other.substr(0, length)).string());
    }
    if (!of_another) found.push_back({at->path().string(), std::move(*tags)});
  }
  return found;
}

// With `suffix` that one, which has to be there; else the one that is there, usually ".tags"; nothing: there is none.
Result<std::optional<Companion>> companion_of(const std::string& path, const Context& context, const std::string& suffix) {
  const std::string usual = path + (suffix.empty() ? ".tags" : suffix);
  if (auto tags = companion_tags(usual)) return std::optional(Companion{usual, std::move(*tags)});
  if (!suffix.empty()) {
    return Error{Code::kNotFound, 0, usual + (is_file(usual) ? " is no companion: its lines are not NAME = VALUE" : " is not there: nothing is changed")};
  }
  std::vector<Companion> found = companions_beside(path, context);
  if (found.empty()) return std::optional<Companion>();
  if (found.size() == 1) return std::optional(std::move(found.front()));
  std::sort(found.begin(), found.end(), [](const Companion& a, const Companion& b) { return a.path < b.path; });
  return Error{Code::kRefused, 0,
               "several files may be the companion of " + path + ": " + found[0].path + " and " + found[1].path + ": say which with --suffix"};
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
int change(const std::string& path, const std::string& suffix, const std::function<Result<void>(TagSet&)>& edit) {
  auto tagged = TaggedFile::open(path);
  if (!tagged) return fail(tagged.error().text);
  auto context = tagged->context_or_new();
  if (!context) return fail(path + ": " + context.error().text);
  auto beside = companion_of(path, *context, suffix);
  if (!beside) return fail(beside.error().text);
  std::optional<Companion>& companion = *beside;
  const Result<void> edited = edit(context->tags);
  const Result<void> edited_beside = companion ? edit(companion->tags) : edited;
  if (!edited && !edited_beside) return fail(edited.error().text);
  Result<void> written = edited ? tagged->commit(*context) : Result<void>();
  const bool only_beside = companion && edited_beside && (!edited || written.is(Code::kAttribute));
  if (!written && !only_beside) return fail(written.error().text);
  if (!companion || !edited_beside) return 0;
  if (auto kept = write_companion(companion->path, companion->tags); !kept) return fail(kept.error().text);
  if (only_beside) {
    std::cerr << "mfdata: only in " << companion->path << ", not in the attribute: " << (edited ? written.error().text : edited.error().text)
              << '\n';
  }
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

int set_tag(const std::string& path, const std::string& assignment, const std::string& suffix) {
  const std::size_t equals = assignment.find('=');
  if (equals == std::string::npos) return misuse("a tag is written NAME=VALUE, not \"" + assignment + '"');
  return change(path, suffix, [&](TagSet& tags) { return tags.set(assignment.substr(0, equals), assignment.substr(equals + 1)); });
}

int unset_tag(const std::string& path, const std::string& name, const std::string& suffix) {
  return change(path, suffix, [&](TagSet& tags) -> Result<void> {
    if (tags.erase(name)) return {};
    return Error{Code::kNotFound, 0, path + " has no tag " + name};
  });
}

int copy_tags(const std::string& from, const std::string& to, const std::string& suffix) {
  auto source = TaggedFile::open(from);
  if (!source) return fail(source.error().text);
  auto context = source->context();
  if (!context) return fail(from + ": " + context.error().text);
  return change(to, suffix, [&](TagSet& tags) -> Result<void> {
    tags = context->tags;
    return {};
  });
}

}  // namespace mfdata::tools
