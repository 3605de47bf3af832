// copy: gives each file to all steps of a list.
#include <mfdata/routing.hpp>

namespace sdk = mfdata::sdk;

class Copy : public sdk::Step {
 public:
  explicit Copy(const sdk::Context& context) : Step(context) {
    for (const std::string& step : context.texts("dest_dirs")) {
      if (step.empty()) throw sdk::Error(MFDATA_E_ARG, "dest_dirs has an empty entry: write \"plugin/step\"");
      targets_.push_back(sdk::Target::parse(step));
    }
    targets_ = sdk::united(targets_);
    if (targets_.empty()) throw sdk::Error(MFDATA_E_ARG, "dest_dirs is empty: write [\"plugin/step\"]");
  }

  sdk::Result process(sdk::File& file) override {
    sdk::send_to_all(file, targets_);
    return sdk::Result::ok();
  }

 private:
  std::vector<sdk::Target> targets_;
};

MFDATA_PLUGIN("copy", "1.0.0", "gives each file to several steps", "BSD-3-Clause",
              sdk::step<Copy>("main", "gives each file to all steps of dest_dirs"))
