// @NAME@: a batch step: takes up to max_size files, or what has come max_wait after the first, and treats them at once.
#include <mfdata/plugin.hpp>

namespace sdk = mfdata::sdk;

class Together : public sdk::BatchStep {
 public:
  explicit Together(const sdk::Context& context) : BatchStep(context), dest_dir_(context.text("dest_dir")) {}

  // One result for all, or one for each file.
  std::vector<sdk::Result> process(std::vector<sdk::File>& files) override {
    for (const sdk::File& file : files) {
      file.set_hop_tag("together", std::to_string(files.size()));
      file.move_to(dest_dir_);
    }
    return {sdk::Result::ok()};
  }

 private:
  std::string dest_dir_;
};

MFDATA_PLUGIN("@NAME@", "0.1.0", "treats files in batches", "BSD-3-Clause", sdk::batch_step<Together>("main", "passes batches on"))
