// For tests: one plugin in three versions, EDITION 1, 2 and 3. Each file gets the version of the code and that of the
// folder beside it; edition 3 crashes on every file. A file named "slow" waits at the gate, and the log says so.
#include <cstdlib>
#include <fstream>
#include <mfdata/plugin.hpp>

#include "../gate.hpp"

namespace sdk = mfdata::sdk;

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

class Edition : public sdk::Step {
 public:
  explicit Edition(const sdk::Context& context) : Step(context), dest_dir_(context.text("dest_dir")), gate_(context.text("gate")) {}

  sdk::Result process(sdk::File& file) override {
    if (EDITION == 3) std::abort();
    const std::string before = beside();
    if (file.original_basename() == "slow") {
      component().info("the slow file is in hand");
      pass_gate(gate_);
    }
    file.set_hop_tag("code", TEXT(EDITION));
    file.set_hop_tag("folder", before + beside());
    file.move_to(dest_dir_);
    return sdk::Result::ok();
  }

 private:
  std::string beside() const {
    std::ifstream in(component().identity().plugin_dir + "/edition.txt");
    std::string text;
    std::getline(in, text);
    return text;
  }

  std::string dest_dir_, gate_;
};

MFDATA_PLUGIN("edition", TEXT(EDITION) ".0.0", "tells its version", "BSD-3-Clause", sdk::step<Edition>("main", "tags each file with its version"))
