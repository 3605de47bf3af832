// mischief: does to its host what no plugin should, by the mode that its configuration or the file's first line names.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <mfdata/plugin.hpp>
#include <thread>

namespace sdk = mfdata::sdk;

class Mischief : public sdk::Step {
 public:
  explicit Mischief(const sdk::Context& context)
      : Step(context),
        mode_(context.text("mode", "")),
        dest_dir_(context.text("dest_dir", "")),
        state_dir_(context.text("state_dir")),
        leak_descriptors_(context.integer("leak_descriptors", 1)),
        leak_bytes_(context.integer("leak_bytes", 1)) {}

  sdk::Result process(sdk::File& file) override {
    note_survivors();
    std::string mode = mode_;
    if (mode.empty()) std::getline(std::ifstream(file.path()), mode);
    const auto deed = kDeeds.find(mode);
    if (deed == kDeeds.end()) return sdk::Result::fail("no mode is called \"" + mode + '"');
    return deed->second(*this, file);
  }

 private:
  using Deed = std::function<sdk::Result(Mischief&, sdk::File&)>;
  static const std::map<std::string, Deed> kDeeds;

  sdk::Result pass(const sdk::File& file) const {
    if (!dest_dir_.empty()) file.move_to(dest_dir_);
    return sdk::Result::ok();
  }

  [[noreturn]] static void crash() {
    ::signal(SIGSEGV, SIG_DFL);
    ::raise(SIGSEGV);
    ::_exit(99);
  }
  [[noreturn]] static void hang() {
    while (true) ::pause();
  }

  void record(const std::string& name, const std::string& line) const {
    std::ofstream(state_dir_ + '/' + name, std::ios::app) << line << std::endl;
  }

  // A child that stays; `generations` of them, each in a session of its own if asked, the last one started by the others.
  void leave_child(bool own_session, int generations) const {
    const pid_t child = ::fork();
    if (child != 0) {
      record("children", std::to_string(child));
      return;
    }
    if (own_session) ::setsid();
    ::signal(SIGTERM, SIG_IGN);
    if (generations > 1) leave_child(own_session, generations - 1);
    hang();
  }
  // Waits until each child of `generations` has told its number, so that none is killed before it exists.
  void wait_for_children(std::size_t count) const {
    for (int tries = 0; tries < 120'000; ++tries) {
      std::ifstream children(state_dir_ + "/children");
      if (static_cast<std::size_t>(std::count(std::istreambuf_iterator<char>(children), {}, '\n')) >= count) return;
      ::usleep(1000);
    }
  }
  std::size_t children_so_far() const {
    std::ifstream children(state_dir_ + "/children");
    return static_cast<std::size_t>(std::count(std::istreambuf_iterator<char>(children), {}, '\n'));
  }
  void leave_children(bool own_session, int generations) const {
    const std::size_t before = children_so_far();
    leave_child(own_session, generations);
    wait_for_children(before + static_cast<std::size_t>(generations));
  }

  // What an earlier process of this step started, and is still alive while this one treats a file.
  void note_survivors() const {
    if (noted_) return;
    noted_ = true;
    std::ifstream children(state_dir_ + "/children");
    for (std::string pid; std::getline(children, pid);) {
      std::string stat;
      std::getline(std::ifstream("/proc/" + pid + "/stat"), stat);
      const std::size_t state = stat.rfind(") ");
      if (state != std::string::npos && stat[state + 2] != 'Z' && stat[state + 2] != 'X') record("survivors", pid);
    }
  }

  sdk::Result write_input(const sdk::File& file, int flags) const {
    const int out = ::open(file.path().c_str(), O_WRONLY | O_CLOEXEC | flags);
    if (out < 0 || ::write(out, "XXXX", 4) != 4) return sdk::Result::fail("could not modify the input");
    ::close(out);
    return pass(file);
  }

  sdk::Result rewrite(const sdk::File& file) const {
    sdk::File fresh = file.context().tmp_file(file);
    std::ifstream in(file.path(), std::ios::binary);
    std::ofstream out(fresh.path(), std::ios::binary | std::ios::trunc);
    if (in.peek() != std::ifstream::traits_type::eof()) out << in.rdbuf();
    out.close();
    if (!out) return sdk::Result::retry("no room for the new file");
    fresh.move_to(dest_dir_);
    return sdk::Result::ok();
  }

  // What is marked [call] is refused there, and has no effect.
  sdk::Result call_from_a_thread(const sdk::File& file) const {
    const mfdata_host* host = component().host();
    mfdata_ctx* ctx = component().raw();
    std::map<std::string, mfdata_rc> codes;
    std::thread([&] {
      mfdata_str text{nullptr, 0};
      mfdata_file* made = nullptr;
      std::int64_t number = 0;
      double real = 0;
      std::uint64_t count = 0;
      const auto visit = [](void*, mfdata_str, mfdata_str) -> mfdata_rc { return MFDATA_OK; };
      codes = {{"set_file_error", host->set_file_error(ctx, file.raw(), sdk::c("x"), 0)},
               {"set_retry_delay", host->set_retry_delay(ctx, 1)},
               {"config_text", host->config_text(ctx, sdk::c("mode"), &text)},
               {"config_integer", host->config_integer(ctx, sdk::c("leak_bytes"), &number)},
               {"config_real", host->config_real(ctx, sdk::c("leak_bytes"), &real)},
               {"config_count", host->config_count(ctx, sdk::c(""), &count)},
               {"config_key", host->config_key(ctx, sdk::c(""), 0, &text)},
               {"file_path", host->file_path(ctx, file.raw(), &text)},
               {"tag_get", host->tag_get(ctx, file.raw(), sdk::c("first.core.original_basename"), &text)},
               {"tag_set", host->tag_set(ctx, file.raw(), sdk::c("of.a.thread"), sdk::c("1"))},
               {"tag_delete", host->tag_delete(ctx, file.raw(), sdk::c("of.a.thread"))},
               {"tag_each", host->tag_each(ctx, file.raw(), visit, nullptr)},
               {"tag_set_hop", host->tag_set_hop(ctx, file.raw(), sdk::c("of_a_thread"), sdk::c("1"), 0)},
               {"tag_get_latest", host->tag_get_latest(ctx, file.raw(), sdk::c(""), sdk::c(""), sdk::c("x"), &text)},
               {"tmp_file", host->tmp_file(ctx, file.raw(), &made)},
               {"scratch_dir", host->scratch_dir(ctx, &text)},
               {"adopt", host->adopt(ctx, sdk::c("x"), file.raw(), &made)},
               {"emit", host->emit(ctx, file.raw(), MFDATA_OP_MOVE, sdk::c(dest_dir_))},
               {"deliver", host->deliver(ctx, file.raw(), MFDATA_OP_MOVE, sdk::c(state_dir_), nullptr)}};
    }).join();
    for (const auto& [name, code] : codes) {
      if (code != MFDATA_E_STATE) return sdk::Result::fail(name + " returned " + std::to_string(code));
    }
    return pass(file);
  }

  std::string mode_, dest_dir_, state_dir_;
  std::int64_t leak_descriptors_, leak_bytes_;
  mutable bool noted_ = false;
};

using sdk::File;
using sdk::Result;

const std::map<std::string, Mischief::Deed> Mischief::kDeeds = {
    {"pass", [](Mischief& m, File& file) { return m.pass(file); }},
    // The process ends, or does not.
    {"crash", [](Mischief&, File&) -> Result { crash(); }},
    {"crash_while_broken",
     [](Mischief& m, File& file) -> Result {
       if (::access((m.state_dir_ + "/broken").c_str(), F_OK) == 0) crash();
       return m.pass(file);
     }},
    {"exit_0", [](Mischief&, File&) -> Result { ::_exit(0); }},
    {"exit_1", [](Mischief&, File&) -> Result { ::_exit(1); }},
    {"hang", [](Mischief&, File&) -> Result { hang(); }},
    {"hang_deaf",
     [](Mischief&, File&) -> Result {
       ::signal(SIGTERM, SIG_IGN);
       hang();
     }},
    {"child_then_crash",
     [](Mischief& m, File&) -> Result {
       m.leave_children(false, 1);
       crash();
     }},
    {"session_child_then_crash",
     [](Mischief& m, File&) -> Result {
       m.leave_children(true, 1);
       crash();
     }},
    {"session_grandchild_then_crash",
     [](Mischief& m, File&) -> Result {
       m.leave_children(true, 3);
       crash();
     }},
    {"child_then_pass",
     [](Mischief& m, File& file) {
       m.leave_children(false, 1);
       return m.pass(file);
     }},
    {"session_child_then_pass",
     [](Mischief& m, File& file) {
       m.leave_children(true, 1);
       return m.pass(file);
     }},
    // Results.
    {"throw", [](Mischief&, File&) -> Result { throw std::runtime_error("thrown by the test"); }},
    {"throw_number", [](Mischief&, File&) -> Result { throw 42; }},
    {"unknown_result", [](Mischief&, File&) { return Result{77, "", {}}; }},
    {"negative_result", [](Mischief&, File&) { return Result{-12345, "", {}}; }},
    {"fail", [](Mischief&, File&) { return Result::fail("failed as asked"); }},
    {"fail_with_a_line_end", [](Mischief&, File&) { return Result::fail("failed\nas asked\n"); }},
    {"emit_then_fail",
     [](Mischief& m, File& file) {
       file.set_hop_tag("staged", "1");
       m.pass(file);
       return Result::fail("failed after it had staged");
     }},
    {"tag_without_latest",
     [](Mischief& m, File& file) {
       file.set_hop_tag("only_of_the_hop", "1", false);
       file.set_hop_tag("of_both", "2");
       return m.pass(file);
     }},
    {"retry", [](Mischief&, File&) { return Result::retry("retried as asked"); }},
    {"retry_while_broken",
     [](Mischief& m, File& file) {
       return ::access((m.state_dir_ + "/broken").c_str(), F_OK) == 0 ? Result::retry("still broken") : m.pass(file);
     }},
    {"skip", [](Mischief&, File&) { return Result::skip("skipped as asked"); }},
    // The input.
    {"append_to_input", [](Mischief& m, File& file) { return m.write_input(file, O_APPEND); }},
    {"overwrite_input", [](Mischief& m, File& file) { return m.write_input(file, 0); }},
    {"truncate_input", [](Mischief& m, File& file) { return m.write_input(file, O_TRUNC); }},
    {"unlink_input",
     [](Mischief& m, File& file) {
       ::unlink(file.path().c_str());
       return m.pass(file);
     }},
    {"rename_input",  // and says that nothing of it goes on
     [](Mischief& m, File& file) {
       ::rename(file.path().c_str(), (m.state_dir_ + "/moved").c_str());
       return Result::ok();
     }},
    {"replace_input",
     [](Mischief& m, File& file) {
       const std::string other = m.state_dir_ + "/other";
       std::ofstream(other) << "another one";
       ::rename(other.c_str(), file.path().c_str());
       return m.pass(file);
     }},
    // Threads.
    {"call_from_a_thread", [](Mischief& m, File& file) { return m.call_from_a_thread(file); }},
    {"replace_input_keeping_a_backup",  // as editors do
     [](Mischief& m, File& file) {
       const std::string path = file.path();
       ::rename(path.c_str(), (path + ".bak").c_str());
       std::ofstream(path) << "another one";
       return m.pass(file);
     }},
    // Resources.
    {"leak_descriptors",
     [](Mischief& m, File& file) {
       for (std::int64_t i = 0; i < m.leak_descriptors_; ++i) {
         if (::open("/dev/null", O_RDONLY | O_CLOEXEC) < 0) return Result::fail("no descriptor is left");
       }
       return m.pass(file);
     }},
    {"leak_memory",
     [](Mischief& m, File& file) {
       void* leak = ::mmap(nullptr, static_cast<std::size_t>(m.leak_bytes_), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
       return leak == MAP_FAILED ? Result::fail("no memory is left") : m.pass(file);
     }},
    {"leak_heap",
     [](Mischief& m, File& file) {
       for (int leaks = 0; leaks < 10; ++leaks) {
         volatile char* leak = new char[100];
         leak[0] = 'x';
       }
       return m.pass(file);
     }},
    // Outputs.
    {"copy",
     [](Mischief& m, File& file) {
       file.copy_to(m.dest_dir_);
       return Result::ok();
     }},
    {"rewrite", [](Mischief& m, File& file) { return m.rewrite(file); }},
    {"rewrite_slowly",
     [](Mischief& m, File& file) {
       ::usleep(1000);
       return m.rewrite(file);
     }},
    {"unlink_output",
     [](Mischief& m, File& file) {
       File fresh = file.context().tmp_file(file);
       ::unlink(fresh.path().c_str());
       fresh.move_to(m.dest_dir_);
       return Result::ok();
     }},
};

MFDATA_PLUGIN("mischief", "6.6.6", "does to its host what no plugin should", "BSD-3-Clause",
              sdk::step<Mischief>("main", "treats each file by its mode"))
