// tags print, get, set, unset, copy.
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "libmfdata/tagged_file.hpp"

namespace mfdata::tools {
namespace {

int change(const std::string& path, const std::function<Result<void>(TagSet&)>& edit) {
  auto tagged = TaggedFile::open(path);
  if (!tagged) return fail(tagged.error().text);
  auto context = tagged->context_or_new();
  if (!context) return fail(path + ": " + context.error().text);
  if (auto edited = edit(context->tags); !edited) return fail(edited.error().text);
  auto written = tagged->commit(*context);
  return written ? 0 : fail(written.error().text);
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
