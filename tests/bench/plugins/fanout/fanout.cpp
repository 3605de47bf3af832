// fanout: links or copies each file to every step of dest_dirs, as switch does with several targets that match.
#include <mfdata/plugin.hpp>

namespace sdk = mfdata::sdk;

class Fanout : public sdk::Step {
 public:
  explicit Fanout(const sdk::Context& context)
      : Step(context), targets_(context.texts("dest_dirs")), link_(context.text("operation", "link") == "link") {
    if (targets_.empty()) throw sdk::Error(MFDATA_E_ARG, "dest_dirs is empty: write [\"plugin/step\", ...]");
  }

  sdk::Result process(sdk::File& file) override {
    for (std::size_t i = 0; i + 1 < targets_.size(); ++i) {
      link_ ? file.link_to(targets_[i]) : file.copy_to(targets_[i]);
    }
    file.move_to(targets_.back());
    return sdk::Result::ok();
  }

 private:
  std::vector<std::string> targets_;
  bool link_;
};

MFDATA_PLUGIN("fanout", "1.0.0", "one file to several steps", "BSD-3-Clause",
              sdk::step<Fanout>("main", "links or copies each file to every step of dest_dirs"))
