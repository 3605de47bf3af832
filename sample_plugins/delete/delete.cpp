// delete: ends each file.
#include <mfdata/plugin.hpp>

namespace sdk = mfdata::sdk;

class Delete : public sdk::Step {
 public:
  explicit Delete(const sdk::Context& context) : Step(context) {}
  sdk::Result process(sdk::File&) override { return sdk::Result::ok(); }
};

MFDATA_PLUGIN("delete", "1.0.0", "deletes files", "BSD-3-Clause", sdk::step<Delete>("main", "deletes each file"))
