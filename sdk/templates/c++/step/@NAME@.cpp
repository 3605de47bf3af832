// @NAME@: a step that counts the lines of each file, writes their number into a tag and passes the file on.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <mfdata/plugin.hpp>

namespace sdk = mfdata::sdk;

class Lines : public sdk::Step {
 public:
  explicit Lines(const sdk::Context& context) : Step(context), dest_dir_(context.text("dest_dir")) {}

  sdk::Result process(sdk::File& file) override {
    std::ifstream in(file.path(), std::ios::binary);
    if (!in.is_open()) return sdk::Result::retry("cannot open the file");
    const auto lines = std::count(std::istreambuf_iterator<char>(in), {}, '\n');
    if (in.bad()) return sdk::Result::retry("cannot read the file");
    file.set_hop_tag("lines", std::to_string(lines));
    file.move_to(dest_dir_);
    return sdk::Result::ok();
  }

 private:
  std::string dest_dir_;
};

MFDATA_PLUGIN("@NAME@", "0.1.0", "counts lines", "BSD-3-Clause", sdk::step<Lines>("main", "counts the lines of each file"))
