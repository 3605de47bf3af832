// diary: writes down each call of its hooks, one a line: its name, the monotonic time in ms, how many files it has ended.
#include <mfdata/plugin.hpp>

#include <chrono>
#include <fstream>
#include <thread>

namespace sdk = mfdata::sdk;

class Diary : public sdk::Step {
 public:
  explicit Diary(const sdk::Context& context) : Step(context), path_(context.text("path")), work_(context.integer("work_ms", 0)) { note("create"); }
  ~Diary() override { note("destroy"); }

  sdk::Result process(sdk::File&) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(work_));
    ++files_;
    return sdk::Result::ok();
  }
  void tick() override { note("tick"); }
  void drain() override { note("drain"); }

 private:
  void note(const char* hook) const {
    const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch());
    std::ofstream(path_, std::ios::app) << std::string(hook) + ' ' + std::to_string(now.count()) + ' ' + std::to_string(files_) + '\n';
  }

  std::string path_;
  std::int64_t work_;
  std::uint64_t files_ = 0;
};

MFDATA_PLUGIN("diary", "1.0.0", "writes down the calls of its hooks", "BSD-3-Clause", sdk::step<Diary>("main", "ends its files"))
