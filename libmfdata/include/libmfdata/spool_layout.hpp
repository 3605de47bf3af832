// The paths of the data directory, all of them, relative to it (DESIGN: Home). Pure.
//
// A step is named by its dotted form "<plugin>.<step>"; neither part contains a dot.
#pragma once

#include <string>
#include <string_view>

namespace mfdata::layout {

inline constexpr const char* kIncoming = "incoming";
inline constexpr const char* kCommit = "tmp/commit";
inline constexpr const char* kAccept = "tmp/accept";
inline constexpr const char* kSidecars = "tmp/context";
inline constexpr const char* kKeys = "tmp/keys";

inline std::string step_directory(const std::string& step) { return "step." + step; }
inline std::string waiting_directory(const std::string& step) { return "step." + step + "_reinject"; }
inline std::string trash_directory(const std::string& step) { return "trash/" + step; }
inline std::string sidecar(const std::string& uid) { return std::string(kSidecars) + '/' + uid; }
inline std::string commit(const std::string& id) { return std::string(kCommit) + '/' + id; }
// A symbolic link: to "<uid> <step>" of the deposit that came with the key first.
inline std::string key(const std::string& hash) { return std::string(kKeys) + '/' + hash; }
inline std::string accept(const std::string& entry) { return std::string(kAccept) + '/' + entry; }

// What names of ours in directories of others begin with: a file that is being accepted, a copy that is being delivered.
inline constexpr std::string_view kHidden = ".mfdata";
inline std::string hidden(const std::string& directory, const std::string& rest) { return directory + '/' + std::string(kHidden) + rest; }

// What the name of a file begins with that is being taken out of a trash directory.
inline constexpr std::string_view kLeavingTrash = ".retry.";
inline std::string_view name_in_trash(std::string_view entry) {
  return entry.starts_with(kLeavingTrash) ? entry.substr(kLeavingTrash.size()) : entry;
}

}  // namespace mfdata::layout

namespace mfdata {

// The place of one worker: tmp/<plugin>.<step>/<number>/{in,new,out,scratch,txn}. Nobody else writes there.
struct Slot {
  std::string step;
  unsigned number = 0;

  std::string base() const { return "tmp/" + step + '/' + std::to_string(number); }
  std::string in() const { return base() + "/in"; }
  std::string fresh() const { return base() + "/new"; }
  std::string out() const { return base() + "/out"; }
  std::string scratch() const { return base() + "/scratch"; }
  std::string txn() const { return base() + "/txn"; }
  // What the names of this slot's transactions in tmp/commit begin with.
  std::string commit_prefix() const { return step + '.' + std::to_string(number) + '.'; }
};

}  // namespace mfdata
