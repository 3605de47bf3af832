// wrong_batch: a batch step that returns more or fewer results than it got files.
#include <algorithm>
#include <mfdata/plugin.hpp>

namespace sdk = mfdata::sdk;

class WrongBatch : public sdk::BatchStep {
 public:
  explicit WrongBatch(const sdk::Context& context) : BatchStep(context), extra_(context.integer("extra", 1)) {}
  std::vector<sdk::Result> process(std::vector<sdk::File>& files) override {
    const auto count = static_cast<std::int64_t>(files.size()) + extra_;
    return std::vector<sdk::Result>(static_cast<std::size_t>(std::max<std::int64_t>(count, 0)), sdk::Result::ok());
  }

 private:
  std::int64_t extra_;
};

MFDATA_PLUGIN("wrong_batch", "1.0.0", "returns as many results as it is told to", "BSD-3-Clause",
              sdk::batch_step<WrongBatch>("main", "gives results of its own number"))
