// storm: every way that a file can take through the spool, for the campaigns (tests/campaigns/ways.py knows them).
//
// The first words of a file say its way: "<serial> <kind> <variant>". Each step appends its name to the tag "trail",
// sets a hop tag "mark", and appends a line to `run_log` with what it found: "whole" or "broken" content. The content
// is whole when it ends with the word that it begins with.
#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <mfdata/plugin.hpp>
#include <sstream>

namespace sdk = mfdata::sdk;

namespace {

constexpr std::size_t kBigTag = 25 * 1024;  // of bytes that are escaped: more than any attribute holds

std::string content_of(const sdk::File& file) {
  std::ifstream in(file.path(), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::string name_of(const sdk::File& file) {
  const std::string path = file.path();
  return path.substr(path.rfind('/') + 1);
}

// The generation in "<uid>.<gen>[c][~n]": how often the file was passed on or tried before.
int generation_of(const sdk::File& file) { return std::atoi(name_of(file).substr(33).c_str()); }

struct Way {
  std::string serial, kind, variant;
  bool whole = false;
  explicit Way(const std::string& content) {
    std::istringstream words(content);
    words >> serial >> kind >> variant;
    whole = !serial.empty() && content.ends_with(' ' + serial);
  }
};

class Storm : public sdk::Step {
 public:
  Storm(const sdk::Context& context, std::string step)
      : Step(context),
        step_(std::move(step)),
        tagged_dir_(context.text("tagged_dir")),
        plain_dir_(context.text("plain_dir")),
        run_log_(context.text("run_log", "")) {}

 protected:
  // What each step does first; the content is returned through `way`.
  Way visit(const sdk::File& file) const {
    const Way way(content_of(file));
    log_run(name_of(file), way);
    const std::string trail = file.tag("trail").value_or("");
    file.set_tag("trail", trail.empty() ? step_ : trail + ' ' + step_);
    file.set_hop_tag("mark", step_);
    return way;
  }
  // One write: lines of several processes do not mix. Not forced: only the filesystem of the home is ever cut off.
  void log_run(const std::string& name, const Way& way) const {
    if (run_log_.empty()) return;
    const std::string line = name + ' ' + step_ + ' ' + (way.whole ? "whole" : "broken") + '\n';
    const int log = ::open(run_log_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    const bool written = log >= 0 && ::write(log, line.data(), line.size()) == static_cast<ssize_t>(line.size());
    if (log >= 0) ::close(log);
    if (!written) throw sdk::Error(MFDATA_E_IO, "cannot write " + run_log_);
  }
  sdk::File rewritten(const sdk::File& file, const Way& way) const {
    sdk::File fresh = file.context().tmp_file(file);
    std::ofstream out(fresh.path(), std::ios::binary);
    out << content_of(file) << " rewritten " << way.serial;
    out.close();
    if (!out) throw sdk::Error(MFDATA_E_IO, "cannot write a new file");
    return fresh;
  }
  void deliver_tagged(const sdk::File& file) const {
    sdk::Delivery how;
    how.tags_suffix = ".tags";
    file.deliver_to(tagged_dir_, how);
  }
  void deliver_plain(const sdk::File& file) const { file.deliver_to(plain_dir_); }

 private:
  std::string step_, tagged_dir_, plain_dir_, run_log_;
};

struct Entry : Storm {
  explicit Entry(const sdk::Context& context) : Storm(context, "entry") {}
  sdk::Result process(sdk::File& file) override {
    const Way way = visit(file);
    if (!way.whole) return sdk::Result::fail("broken on arrival");
    file.move_to(way.kind);
    return sdk::Result::ok();
  }
};

struct Pass : Storm {
  explicit Pass(const sdk::Context& context) : Storm(context, "pass") {}
  sdk::Result process(sdk::File& file) override {
    visit(file);
    file.move_to("deliver");
    return sdk::Result::ok();
  }
};

struct Rewrite : Storm {
  explicit Rewrite(const sdk::Context& context) : Storm(context, "rewrite") {}
  sdk::Result process(sdk::File& file) override {
    const Way way = visit(file);
    rewritten(file, way).move_to("deliver");
    return sdk::Result::ok();
  }
};

struct Fan : Storm {
  explicit Fan(const sdk::Context& context) : Storm(context, "fan") {}
  sdk::Result process(sdk::File& file) override {
    visit(file);
    file.link_to("left");
    file.copy_to("plain");
    file.move_to("deliver");
    return sdk::Result::ok();
  }
};

struct Left : Storm {
  explicit Left(const sdk::Context& context) : Storm(context, "left") {}
  sdk::Result process(sdk::File& file) override {
    visit(file);
    file.move_to("deliver");
    return sdk::Result::ok();
  }
};

struct Retry : Storm {
  explicit Retry(const sdk::Context& context) : Storm(context, "retry") {}
  sdk::Result process(sdk::File& file) override {
    visit(file);
    if (generation_of(file) < 3) return sdk::Result::retry("not yet");
    file.move_to("deliver");
    return sdk::Result::ok();
  }
};

struct Fail : Storm {
  explicit Fail(const sdk::Context& context) : Storm(context, "fail") {}
  sdk::Result process(sdk::File& file) override {
    visit(file);
    return sdk::Result::fail("as it must");
  }
};

struct Direct : Storm {
  explicit Direct(const sdk::Context& context) : Storm(context, "direct") {}
  sdk::Result process(sdk::File& file) override {
    const Way way = visit(file);
    deliver_tagged(rewritten(file, way));
    return sdk::Result::ok();
  }
};

struct Grow : Storm {
  explicit Grow(const sdk::Context& context) : Storm(context, "grow") {}
  sdk::Result process(sdk::File& file) override {
    const Way way = visit(file);
    file.set_tag("big", std::string(kBigTag, '\x01'));
    file.move_to(way.variant == "fail" ? "fail" : "deliver");
    return sdk::Result::ok();
  }
};

struct Plain : Storm {
  explicit Plain(const sdk::Context& context) : Storm(context, "plain") {}
  sdk::Result process(sdk::File& file) override {
    visit(file);
    deliver_plain(file);
    return sdk::Result::ok();
  }
};

struct Deliver : Storm {
  explicit Deliver(const sdk::Context& context) : Storm(context, "deliver") {}
  sdk::Result process(sdk::File& file) override {
    visit(file);
    deliver_tagged(file);
    return sdk::Result::ok();
  }
};

// A Storm only for its visit: a batch step is no Step.
struct Visitor : Storm {
  explicit Visitor(const sdk::Context& context) : Storm(context, "batch") {}
  using Storm::visit;
  sdk::Result process(sdk::File&) override { return sdk::Result::ok(); }
};

struct Batch : sdk::BatchStep {
  explicit Batch(const sdk::Context& context) : BatchStep(context), visitor_(context) {}
  std::vector<sdk::Result> process(std::vector<sdk::File>& files) override {
    std::vector<sdk::Result> results;
    for (const sdk::File& file : files) results.push_back(treat(file));
    return results;
  }

 private:
  sdk::Result treat(const sdk::File& file) const {
    const Way way = visitor_.visit(file);
    if (way.variant == "fail") return sdk::Result::fail("as it must");
    if (way.variant == "retry" && generation_of(file) < 2) return sdk::Result::retry("not yet");
    file.move_to("deliver");
    return sdk::Result::ok();
  }
  Visitor visitor_;
};

}  // namespace

MFDATA_PLUGIN("storm", "1.0.0", "every way that a file can take through the spool", "BSD-3-Clause",
              sdk::step<Entry>("entry", "sends each file on the way that it names"),
              sdk::step<Pass>("pass", "the input goes on"), sdk::step<Rewrite>("rewrite", "a new file goes on"),
              sdk::step<Fan>("fan", "a link, a copy and the input go on"), sdk::step<Left>("left", "takes the link"),
              sdk::step<Retry>("retry", "succeeds at the third attempt"), sdk::step<Fail>("fail", "fails"),
              sdk::batch_step<Batch>("batch", "passes, fails or retries each file"),
              sdk::step<Direct>("direct", "delivers a new file"), sdk::step<Grow>("grow", "sets a very large tag"),
              sdk::step<Plain>("plain", "delivers the input alone"),
              sdk::step<Deliver>("deliver", "delivers the input with its tags"))
