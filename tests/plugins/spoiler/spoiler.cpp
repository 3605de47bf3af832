// spoiler: takes from its process what the host needs, forks without an end, and does not come back from a call.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mfdata/plugin.hpp>

namespace sdk = mfdata::sdk;
namespace fs = std::filesystem;

namespace {

[[noreturn]] void hang() {
  while (true) ::pause();
}

void close_from_three() { ::closefrom(3); }

void use_up_descriptors() {
  while (::open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0) {
  }
}

void lower(__rlimit_resource resource, rlim_t value) {
  rlimit limit{};
  ::getrlimit(resource, &limit);
  limit.rlim_cur = value;
  ::setrlimit(resource, &limit);
}

// The descriptor of the spool is closed, and its number is that of another directory.
void replace_spool(const std::string& state_dir) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd", none)) {
    const fs::path target = fs::read_symlink(entry.path(), none);
    if (none || !fs::exists(target / "trash", none)) continue;
    const int other = ::open(state_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    ::dup3(other, std::atoi(entry.path().filename().c_str()), O_CLOEXEC);
    ::close(other);
    return;
  }
}

// What the component does when its configuration says so, while there is a file "broken".
class Deeds {
 public:
  explicit Deeds(const sdk::Context& context) : context_(context), state_dir_(context.text("state_dir")) {}

  std::string asked(const std::string& key) const {
    const std::string word = context_.text(key, "");
    return ::access((state_dir_ + "/broken").c_str(), F_OK) == 0 ? word : "";
  }
  // True in a child, which is to come back.
  bool at(const std::string& word) const {
    if (word == "hang") hang();
    if (word == "closefrom") close_from_three();
    if (word == "exit 0") std::exit(0);
    if (word == "throw") throw std::runtime_error("the tower does not answer");
    if (word != "fork") return false;
    const pid_t child = ::fork();
    if (child == 0) record("child");
    if (child > 0) ::waitpid(child, nullptr, 0);
    return child == 0;
  }
  void record(const std::string& line) const { std::ofstream(state_dir_ + "/seen", std::ios::app) << line << std::endl; }
  const std::string& state_dir() const { return state_dir_; }

 private:
  sdk::Context context_;
  std::string state_dir_;
};

// A copy, which ends in a transaction.
void rewrite(sdk::File& file, const std::string& to) {
  sdk::File fresh = file.context().tmp_file(file);
  std::ofstream(fresh.path()) << std::ifstream(file.path()).rdbuf();
  fresh.move_to(to);
}

}  // namespace

class Spoiler : public sdk::Step {
 public:
  explicit Spoiler(const sdk::Context& context)
      : Step(context), deeds_(context), dest_dir_(context.text("dest_dir")), at_tick_(context.text("at_tick", "")),
        at_drain_(deeds_.asked("at_drain")), at_destroy_(deeds_.asked("at_destroy")) {
    deeds_.at(deeds_.asked("at_create"));
  }
  ~Spoiler() override {
    if (at_destroy_ == "hang") hang();
  }

  sdk::Result process(sdk::File& file) override {
    std::string mode;
    std::getline(std::ifstream(file.path()), mode);
    if (mode == "fork and come back") return fork_and_come_back(file);
    if (mode == "cancelled") return {MFDATA_CANCELLED, "", {}};
    const bool broken = ::access((deeds_.state_dir() + "/broken").c_str(), F_OK) == 0;
    const bool rewrites = mode.ends_with(" and rewrite");
    if (rewrites) rewrite(file, dest_dir_);
    if (broken) spoil(rewrites ? mode.substr(0, mode.rfind(" and ")) : mode);
    if (!rewrites) file.move_to(dest_dir_);
    return sdk::Result::ok();
  }
  void tick() override {
    if (::access((deeds_.state_dir() + "/broken").c_str(), F_OK) == 0) deeds_.at(at_tick_);
  }
  void drain() override { deeds_.at(at_drain_); }

 private:
  // Both come back with the file moved.
  sdk::Result fork_and_come_back(sdk::File& file) const {
    const pid_t child = ::fork();
    if (child == 0) ::execlp("/no/such/program", "program", nullptr);
    int status = 0;
    if (child > 0 && ::waitpid(child, &status, 0) == child) deeds_.record(std::to_string(WEXITSTATUS(status)));
    file.move_to(dest_dir_);
    return sdk::Result::ok();
  }
  void spoil(const std::string& mode) const {
    if (mode == "closefrom") close_from_three();
    if (mode == "use up descriptors") use_up_descriptors();
    if (mode == "lower nofile") lower(RLIMIT_NOFILE, 4);
    if (mode == "lower fsize") lower(RLIMIT_FSIZE, 1);
    if (mode == "replace spool") replace_spool(deeds_.state_dir());
    if (mode == "close three") ::close(3);
  }

  Deeds deeds_;
  std::string dest_dir_, at_tick_, at_drain_, at_destroy_;
};

class Radio : public sdk::Listener {
 public:
  explicit Radio(const sdk::Context& context)
      : Listener(context), deeds_(context), run_(deeds_.asked("run")), stop_(deeds_.asked("stop")), at_destroy_(deeds_.asked("at_destroy")) {
    deeds_.record("created");
  }
  ~Radio() override {
    if (at_destroy_ == "hang") hang();
  }
  sdk::Result run() override {
    if (deeds_.at(run_)) return sdk::Result::ok();
    if (run_ == "ok") return sdk::Result::ok();
    if (run_ == "cancelled") return {MFDATA_CANCELLED, "nobody listens", {}};
    while (!stopped_) ::usleep(10'000);
    return sdk::Result::ok();
  }
  void stop() noexcept override {
    if (stop_ != "ignore") stopped_ = true;
    if (stop_ == "hang") hang();
  }

 private:
  Deeds deeds_;
  std::string run_, stop_, at_destroy_;
  std::atomic<bool> stopped_{false};
};

MFDATA_PLUGIN("spoiler", "4.0.4", "takes from its process what the host needs, and does not come back", "BSD-3-Clause",
              sdk::step<Spoiler>("main", "treats each file by its first line"), sdk::listener<Radio>("radio", "hears nothing"))
