// @NAME@: a code rule of switch: begins_with(TEXT) matches files that begin with this text.
#include <fstream>
#include <mfdata/plugin.hpp>

namespace sdk = mfdata::sdk;

class BeginsWith : public sdk::Predicate {
 public:
  BeginsWith(const sdk::Context&, const std::vector<std::string>& arguments) {
    if (arguments.size() != 1) throw sdk::Error(MFDATA_E_ARG, "begins_with takes one text");
    text_ = arguments[0];
  }

  bool test(const sdk::File& file) override {
    std::ifstream in(file.path(), std::ios::binary);
    if (!in.is_open()) throw sdk::Error(MFDATA_E_IO, "cannot open the file");
    std::string head(text_.size(), '\0');
    in.read(head.data(), static_cast<std::streamsize>(head.size()));
    return in.gcount() == static_cast<std::streamsize>(head.size()) && head == text_;
  }

 private:
  std::string text_;
};

// What the rules of this plugin give to it is passed on.
class Pass : public sdk::Step {
 public:
  explicit Pass(const sdk::Context& context) : Step(context), dest_dir_(context.text("dest_dir")) {}
  sdk::Result process(sdk::File& file) override {
    file.move_to(dest_dir_);
    return sdk::Result::ok();
  }

 private:
  std::string dest_dir_;
};

MFDATA_PLUGIN("@NAME@", "0.1.0", "a rule in code", "BSD-3-Clause", sdk::predicate<BeginsWith>("begins_with", "the file begins with a text"),
              sdk::step<Pass>("main", "passes on what the rule matched"))
