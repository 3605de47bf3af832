#include "harness/collected_files.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <tuple>

#include "libmfdata/delivery.hpp"
#include "libmfdata/tagged_file.hpp"

namespace mfdata {
namespace {

constexpr std::uint64_t kMaxContent = std::uint64_t{64} << 20;

std::set<std::string> names_in(const Spool& spool, const std::string& directory) {
  auto names = spool.disk().list(directory);
  return names ? std::set<std::string>(names->begin(), names->end()) : std::set<std::string>();
}

void read_content(const Spool& spool, CollectedFile& file) {
  auto opened = spool.disk().open_file(file.path);
  struct stat st {};
  if (!opened || ::fstat(opened->get(), &st) != 0) return;
  file.size = static_cast<std::uint64_t>(st.st_size);
  if (file.size > kMaxContent) return;
  if (auto content = read_all(opened->get(), kMaxContent, file.path)) file.content = std::move(*content);
}

}  // namespace

void Offspring::add(std::uint32_t input, const SpoolName& name, std::size_t outputs) {
  places_[name.uid] = {input, 0};
  for (std::size_t i = 0; i < outputs; ++i) places_[child_uid(name.uid, name.generation + 1, i)] = {input, i};
}

void Offspring::add_of_all(const SpoolName& name, std::size_t output) { places_[child_uid(name.uid, name.generation + 1, output)] = {kNoInput, output}; }

void Offspring::place(CollectedFile& file) const {
  const auto found = places_.find(file.uid);
  if (found == places_.end()) return;
  file.input = found->second.input;
  file.order = found->second.order;
}

std::string FileShelf::next_path() { return directory_ + '/' + std::to_string(++serial_); }

std::vector<SpoolName> FileShelf::waiting(const std::string& target) const {
  std::string dotted = target;
  dotted[dotted.find('/')] = '.';
  std::vector<SpoolName> all;
  for (const std::string& filename : names_in(spool_, layout::step_directory(dotted))) {
    if (auto name = SpoolName::parse(filename)) all.push_back(*name);
  }
  return all;
}

std::vector<CollectedFile> FileShelf::collect(const std::vector<std::string>& targets, const std::function<bool(const std::string& uid)>& wanted) {
  std::vector<CollectedFile> all;
  for (const std::string& target : targets) {
    for (const SpoolName& name : waiting(target)) {
      if (wanted(name.uid)) take(target, name, all);
    }
  }
  return all;
}

void FileShelf::take(const std::string& target, const SpoolName& name, std::vector<CollectedFile>& all) {
  std::string dotted = target;
  dotted[dotted.find('/')] = '.';
  const std::string path = layout::step_directory(dotted) + '/' + name.spell();
  CollectedFile file;
  file.uid = name.uid;
  file.to = target;
  if (auto opened = spool_.disk().open_file(path)) {
    auto context = spool_.context_of(opened->get(), name, path);
    if (context) file.tags = std::move(context->tags);
  }
  file.name = file.tags.get("first.core.original_basename").value_or(name.uid);
  file.path = next_path();
  if (!spool_.disk().rename(path, file.path)) return;
  if (name.sidecar) (void)spool_.disk().unlink(layout::sidecar(name.uid));
  read_content(spool_, file);
  all.push_back(std::move(file));
}

DeliveryWatch::DeliveryWatch(const Spool& spool, Treatment& treatment, const StepSettings& step) : spool_(spool) {
  const auto watch = [&](const std::string& directory, const std::string& suffix) {
    before_.try_emplace(directory, names_in(spool, directory));
    if (!suffix.empty()) suffixes_.insert(suffix);
  };
  for (const StagedOutput& output : treatment.staged()) {
    if (output.step.empty()) watch(directory_of(output.path), output.style.tags_suffix);
  }
  std::string failures = step.failure_policy == FailurePolicy::kMove ? step.failure_target : "";
  while (failures.size() > 1 && failures.ends_with('/')) failures.pop_back();
  if (failures.starts_with('/')) watch(failures, ".tags");
}

std::vector<CollectedFile> DeliveryWatch::delivered(const Offspring& offspring) const {
  std::vector<CollectedFile> all;
  for (const auto& [directory, before] : before_) {
    std::set<std::string> fresh = names_in(spool_, directory);
    for (const std::string& name : before) fresh.erase(name);
    const auto is_companion = [&, &fresh = fresh](const std::string& name) {
      return std::any_of(suffixes_.begin(), suffixes_.end(), [&](const std::string& suffix) {
        return name.ends_with(suffix) && fresh.contains(name.substr(0, name.size() - suffix.size()));
      });
    };
    for (const std::string& name : fresh) {
      CollectedFile file;
      file.path = directory + (directory.ends_with('/') ? "" : "/") + name;
      struct stat st {};
      if (is_companion(name) || ::lstat(file.path.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) continue;
      file.to = directory;
      file.name = name;
      auto tagged = TaggedFile::open(file.path);
      auto context = tagged ? tagged->context() : Result<Context>(tagged.error());
      if (context) {
        file.uid = context->uid;
        file.tags = context->tags;
        offspring.place(file);
      }
      read_content(spool_, file);
      all.push_back(std::move(file));
    }
  }
  return all;
}

void sort(std::vector<CollectedFile>& files) {
  std::stable_sort(files.begin(), files.end(), [](const CollectedFile& a, const CollectedFile& b) {
    return std::tie(a.input, a.order, a.uid) < std::tie(b.input, b.order, b.uid);
  });
}

}  // namespace mfdata
