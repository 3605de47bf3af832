// A plugin that is linked into the harness's own tests: does what the first word of a file says.
#include <time.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <map>
#include <mfdata/plugin.hpp>
#include <sstream>
#include <thread>

namespace sdk = mfdata::sdk;

class Probe : public sdk::Step {
 public:
  explicit Probe(const sdk::Context& context)
      : Step(context),
        dest_dir_(context.text("dest_dir", "")),
        files_(sdk::Metric::counter(context, "files_total", "files", {"deed"})),
        sizes_(sdk::Metric::histogram(context, "sizes", "sizes", {1, 10})),
        last_(sdk::Metric::gauge(context, "last", "the last number")) {}

  sdk::Result process(sdk::File& file) override {
    std::string deed, argument;
    std::ifstream(file.path()) >> deed >> argument;
    files_.add(1, {deed});
    const std::map<std::string, sdk::Result (Probe::*)(sdk::File&, const std::string&)> deeds = {
        {"pass", &Probe::pass},         {"fan", &Probe::fan},   {"deliver", &Probe::deliver}, {"end", &Probe::end},
        {"careless", &Probe::careless}, {"wait", &Probe::wait}, {"observe", &Probe::observe}, {"self", &Probe::self}};
    if (deed == "fail") return sdk::Result::fail("failed on purpose");
    if (deed == "retry") return sdk::Result::retry("later", 5000);
    if (deed == "skip") return sdk::Result::skip("not ours");
    const auto known = deeds.find(deed);
    return known == deeds.end() ? sdk::Result::fail("no deed \"" + deed + '"') : (this->*known->second)(file, argument);
  }
  void tick() override { component().info("a tick"); }
  void drain() override { component().info("drained"); }
  void interrupt() noexcept override { interrupted_ = true; }

 private:
  sdk::Result pass(sdk::File& file, const std::string&) {
    component().debug("at work");
    component().warning("a line\nwith a control byte");
    file.set_hop_tag("deed", "pass");
    file.move_to(dest_dir_);
    return sdk::Result::ok();
  }
  sdk::Result self(sdk::File& file, const std::string&) {
    file.copy_to("main");
    file.move_to("other");
    return sdk::Result::ok();
  }
  sdk::Result fan(sdk::File& file, const std::string& count) {
    for (int i = 0; i < std::stoi(count); ++i) {
      const sdk::File out = component().tmp_file(file);
      std::ofstream(out.path()) << "part " << i;
      out.move_to(dest_dir_);
    }
    return sdk::Result::ok();
  }
  sdk::Result deliver(sdk::File& file, const std::string& directory) {
    file.deliver_to(directory, {"", ".tags", 0640, false, true});
    return sdk::Result::ok();
  }
  sdk::Result end(sdk::File&, const std::string&) { return sdk::Result::ok(); }
  // Ignores what the host says.
  sdk::Result careless(sdk::File& file, const std::string&) {
    (void)component().host()->tag_set_hop(component().raw(), file.raw(), sdk::c("important"), sdk::c("yes"), 0);
    file.move_to(dest_dir_);
    return sdk::Result::ok();
  }
  // Until it is told to return: "cancelled" or "interrupt"; or until its deadline is over.
  sdk::Result wait(sdk::File&, const std::string& what) {
    if (what == "deadline") {
      timespec now{};
      do {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        ::clock_gettime(CLOCK_MONOTONIC, &now);
      } while (now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec <= component().host()->deadline_ns(component().raw()));
      return sdk::Result::ok();
    }
    while (what == "interrupt" ? !interrupted_ : !component().cancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return sdk::Result::cancelled();
  }
  sdk::Result observe(sdk::File&, const std::string&) {
    for (const double value : {1.0, 2.0, 4.0}) {
      sizes_.add(value);
      last_.add(value);
      files_.add(1, {"more"});
    }
    return sdk::Result::ok();
  }

  std::string dest_dir_;
  sdk::Metric files_, sizes_, last_;
  std::atomic<bool> interrupted_{false};
};

// Deposits a file for each word of the key `words`, tells what the host answered, and runs until it is stopped.
class Source : public sdk::Listener {
 public:
  explicit Source(const sdk::Context& context)
      : Listener(context),
        words_(context.text("words", "")),
        target_(context.text("target", "")),
        deposits_(sdk::Metric::counter(context, "deposits_total", "")) {
    if (words_ == "refused") throw sdk::Error(MFDATA_E_ARG, "these words are refused");
  }
  sdk::Result run() override {
    std::istringstream words(words_);
    for (std::string word; words >> word;) {
      const mfdata_rc rc = deposit(word);
      component().info(word + ": " + std::to_string(rc));
      if (rc == MFDATA_OK) deposits_.add(1);
    }
    if (words_ == "leave") return sdk::Result::fail("left by itself");
    while (!stopped_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return sdk::Result::ok();
  }
  void stop() noexcept override { stopped_ = true; }

 private:
  mfdata_rc deposit(const std::string& word) {
    const mfdata_host* host = component().host();
    mfdata_deposit* deposit = nullptr;
    mfdata_rc rc = host->deposit_open(component().raw(), sdk::c(target_), sdk::c(word + ".txt"), nullptr, &deposit);
    if (rc != MFDATA_OK) return rc;
    rc = host->deposit_write(component().raw(), deposit, word.data(), word.size());
    (void)host->deposit_tag(component().raw(), deposit, sdk::c("source"), sdk::c("probe"));
    if (rc == MFDATA_OK) return host->deposit_commit(component().raw(), deposit, nullptr, nullptr);
    host->deposit_abort(component().raw(), deposit);
    return rc;
  }

  std::string words_, target_;
  sdk::Metric deposits_;
  std::atomic<bool> stopped_{false};
};

MFDATA_PLUGIN("probe", "1.0.0", "for the tests of the harness", "BSD-3-Clause", sdk::step<Probe>("main", "does what a file says"),
              sdk::step<Probe>("other", "the same"), sdk::listener<Source>("source", "deposits words"))
