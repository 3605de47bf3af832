// move: passes each file on to a step, or out of the spool into an absolute directory.
#include <mfdata/naming.hpp>

namespace sdk = mfdata::sdk;

constexpr const char* kOriginalName = "{ORIGINAL_BASENAME}";

class Move : public sdk::Step {
 public:
  explicit Move(const sdk::Context& context) : Step(context), destination_(context, kOriginalName) {
    if (destination_.directory().empty()) {
      throw sdk::Error(MFDATA_E_ARG, "dest_dir is empty: write \"plugin/step\" or an absolute directory");
    }
    const bool automatic = context.text("drop_tags", "AUTO") == "AUTO";
    destination_.style.drop_tags = automatic ? destination_.absolute() : context.flag("drop_tags", false);
    if (destination_.absolute()) return;
    if (destination_.style.drop_tags) throw needs_directory("drop_tags");
    if (!context.text("force_chmod", "").empty()) throw needs_directory("force_chmod");
    if (context.text("dest_basename", kOriginalName) != kOriginalName) throw needs_directory("dest_basename");
  }

  sdk::Result process(sdk::File& file) override {
    if (destination_.absolute()) {
      destination_.deliver(file);
    } else {
      file.move_to(destination_.directory());
    }
    return sdk::Result::ok();
  }

 private:
  static sdk::Error needs_directory(const std::string& key) {
    return {MFDATA_E_ARG, key + " is for an absolute dest_dir: before a step a file keeps its name and its tags"};
  }

  sdk::Destination destination_;
};

MFDATA_PLUGIN("move", "1.0.0", "moves files to a step or a directory", "BSD-3-Clause",
              sdk::step<Move>("main", "moves each file to dest_dir"))
