// What the control socket answers to commands that follow files.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "libmfdata/printable.hpp"
#include "loader.hpp"

namespace mfdata {
namespace {

using nlohmann::json;

constexpr std::size_t kEndsAtOnce = 200;

std::string dumped(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

std::string text_in(const json& request, const char* key) {
  return request.is_object() && request.contains(key) && request[key].is_string() ? request[key].get<std::string>() : "";
}

std::uint64_t number_in(const json& request, const char* key) {
  return request.is_object() && request.contains(key) && request[key].is_number_unsigned() ? request[key].get<std::uint64_t>() : 0;
}

}  // namespace

// Some step takes files from it. By the inode: links lead there too.
bool Loader::watches(const std::string& directory) const {
  const auto asked = spool_.disk().status(directory + "/.");
  return asked && std::any_of(sources_.begin(), sources_.end(), [&](const Source& source) {
    if (source.kind == SourceKind::kWaiting || source.takers.empty()) return false;
    const auto status = spool_.disk().status(source.path + "/.");
    return status && status->st_ino == asked->st_ino && status->st_dev == asked->st_dev;
  });
}

// A command tells of each file before it can be seen.
std::string Loader::follow(const json& asked) {
  const std::string session = text_in(asked, "session"), uid = text_in(asked, "uid"), directory = text_in(asked, "directory");
  const std::size_t label = number_in(asked, "label");
  const std::int64_t now = EventLoop::now_ns();
  if (session.empty() || (uid.empty() && directory.empty())) return dumped({{"error", "follow needs a session, and a uid or a directory"}});
  if (uid.empty() && !watches(directory)) {
    return dumped({{"error", "no step takes files from " + printable(directory) + ": no watched_directories names it"}});
  }
  const bool followed = uid.empty() ? follow_.follow_arrival(session, label, number_in(asked, "device"), number_in(asked, "inode"), now)
                                    : follow_.follow_uid(session, label, uid, now);
  if (!followed) return dumped({{"full", true}, {"error", "more than " + std::to_string(FollowTable::kMaxFiles) + " files are followed: inject fewer at a time"}});
  return dumped({{"following", label}});
}

// Of one file, when it did not come, or of a whole session.
std::string Loader::unfollow(const json& asked) {
  const std::string session = text_in(asked, "session");
  if (asked.is_object() && asked.contains("label")) {
    follow_.drop(session, number_in(asked, "label"));
  } else {
    follow_.forget(session);
  }
  return dumped({{"following", false}});
}

std::string Loader::followed(const json& asked) {
  const auto report = follow_.report(text_in(asked, "session"), number_in(asked, "from"), kEndsAtOnce, EventLoop::now_ns());
  if (!report) return dumped({{"error", "the loader has started anew since: it does not know these files any more"}});
  json out = {{"open", report->open}, {"ends", json::array()}, {"label", report->label}, {"last", report->last}};
  for (const FollowTable::End& end : report->ends) out["ends"].push_back({{"label", end.label}, {"well", end.well}, {"what", end.what}});
  return dumped(out);
}

}  // namespace mfdata
