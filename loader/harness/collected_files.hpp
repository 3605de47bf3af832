// The files that a plugin has sent to steps, or delivered: found after its call, and kept for the test that asked.
//
// What stands before a step is moved out of the spool, so that the next call finds it empty; a delivery stays where it is.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "libmfdata/spool.hpp"
#include "worker/treatment.hpp"

namespace mfdata {

inline constexpr std::uint32_t kNoInput = UINT32_MAX;

struct CollectedFile {
  std::uint32_t input = kNoInput;
  std::uint64_t order = UINT64_MAX;  // of staging, among those of its input
  std::string uid;                   // empty: not known
  std::string to, name, path, content;
  std::uint64_t size = 0;
  TagSet tags;
};

// The uids that the outputs of files can have, by the rule of the spool, and which output of which file that is.
class Offspring {
 public:
  void add(std::uint32_t input, const SpoolName& name, std::size_t outputs);
  // The output of this number of that file is of all files of its batch.
  void add_of_all(const SpoolName& name, std::size_t output);
  bool knows(const std::string& uid) const { return places_.contains(uid); }
  void place(CollectedFile& file) const;  // by its uid; leaves alone what it does not know

 private:
  struct Place {
    std::uint32_t input;
    std::uint64_t order;
  };
  std::map<std::string, Place> places_;
};

// Where collected files are moved to: a directory of their own on the spool's filesystem.
class FileShelf {
 public:
  FileShelf(const Spool& spool, std::string directory) : spool_(spool), directory_(std::move(directory)) {}

  // Of the step directories of `targets` ("plugin/step"): the files whose uid is `wanted`, moved here.
  std::vector<CollectedFile> collect(const std::vector<std::string>& targets, const std::function<bool(const std::string& uid)>& wanted);
  std::vector<SpoolName> waiting(const std::string& target) const;  // oldest first
  std::string next_path();                                          // of a new file here

 private:
  void take(const std::string& target, const SpoolName& name, std::vector<CollectedFile>& all);

  const Spool& spool_;
  const std::string directory_;
  std::uint64_t serial_ = 0;
};

// Sees what comes to the directories that a treatment delivers to: made before its end, asked after it.
class DeliveryWatch {
 public:
  DeliveryWatch(const Spool& spool, Treatment& treatment, const StepSettings& step);
  std::vector<CollectedFile> delivered(const Offspring& offspring) const;

 private:
  const Spool& spool_;
  std::map<std::string, std::set<std::string>> before_;  // by directory
  std::set<std::string> suffixes_;                       // of companions
};

// By their inputs, and in the order of staging; what came from none, by age.
void sort(std::vector<CollectedFile>& files);

}  // namespace mfdata
