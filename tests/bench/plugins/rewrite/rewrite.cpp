// rewrite: replaces each file by a new one with the same bytes: what every step that changes content costs, without
// the change.
#include <mfdata/plugin.hpp>

#include <fstream>

namespace sdk = mfdata::sdk;

class Rewrite : public sdk::Transform {
 public:
  explicit Rewrite(const sdk::Context& context) : Transform(context) {}

  sdk::Result transform(sdk::File& file) override {
    std::ifstream from(file.path(), std::ios::binary);
    std::ofstream to(output(file).path(), std::ios::binary | std::ios::trunc);
    // An empty input is no failure, but operator<< of an empty buffer reports one.
    if (from.peek() != std::ifstream::traits_type::eof()) to << from.rdbuf();
    to.close();
    return !from.bad() && to ? sdk::Result::ok() : sdk::Result::fail("cannot copy the file");
  }
};

MFDATA_PLUGIN("rewrite", "1.0.0", "replaces each file by a copy of its bytes", "BSD-3-Clause",
              sdk::step<Rewrite>("main", "writes each file anew and passes the new one on to dest_dir"))
