// bundle: a batch archiver: the files of a batch end in one file under dest_dir, each behind a line with its name and size.
#include <filesystem>
#include <fstream>
#include <mfdata/plugin.hpp>

namespace sdk = mfdata::sdk;

class Bundle : public sdk::BatchStep {
 public:
  explicit Bundle(const sdk::Context& context) : BatchStep(context), dest_dir_(context.text("dest_dir")) {}

  std::vector<sdk::Result> process(std::vector<sdk::File>& files) override {
    const sdk::File bundle = files.front().context().tmp_file(files.front());
    std::ofstream out(bundle.path(), std::ios::binary);
    for (const sdk::File& file : files) {
      out << file.original_basename() << ' ' << std::filesystem::file_size(file.path()) << '\n' << std::ifstream(file.path(), std::ios::binary).rdbuf();
    }
    out.close();
    if (!out) return {sdk::Result::retry("cannot write the bundle")};
    bundle.set_tag("bundled", std::to_string(files.size()));
    sdk::Delivery delivery;
    delivery.basename = "day/bundle";
    delivery.tags_suffix = ".tags";
    delivery.make_directories = true;
    bundle.deliver_to(dest_dir_, delivery);
    return {sdk::Result::ok()};
  }

 private:
  std::string dest_dir_;
};

MFDATA_PLUGIN("bundle", "1.0.0", "archives batches", "BSD-3-Clause", sdk::batch_step<Bundle>("main", "makes one file of the files of a batch"))
