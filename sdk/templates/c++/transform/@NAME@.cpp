// @NAME@: a transform: makes a new file of each file, here the same text in capitals. The tags are inherited.
#include <cctype>
#include <fstream>
#include <mfdata/plugin.hpp>

namespace sdk = mfdata::sdk;

class Upper : public sdk::Transform {
 public:
  using Transform::Transform;

  sdk::Result transform(sdk::File& in) override {
    std::ifstream from(in.path(), std::ios::binary);
    if (!from.is_open()) return sdk::Result::retry("cannot open the file");
    std::ofstream to(output(in).path(), std::ios::binary);
    for (char c; from.get(c);) to.put(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
    to.close();
    if (from.bad() || !to) return sdk::Result::retry("cannot read or write");
    return sdk::Result::ok();
  }
};

MFDATA_PLUGIN("@NAME@", "0.1.0", "turns text to capitals", "BSD-3-Clause", sdk::step<Upper>("main", "turns text to capitals"))
