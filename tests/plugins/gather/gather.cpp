// For tests: `main` gathers files in batches, tells each how many they were, and passes all of them on (a batch with a
// file whose name is the key `fail` fails as a whole; with `each`, a name that begins with fail, retry or skip is that file's
// own result, silent and odd one without a reason, written changes its input, and taken moves it; with `bundle` a file of the names too); `lines` makes a file of each line.
#include <stdio.h>

#include <algorithm>
#include <fstream>
#include <mfdata/content.hpp>
#include <mfdata/uncompress.hpp>

#include "../gate.hpp"

namespace sdk = mfdata::sdk;

class Gather : public sdk::BatchStep {
 public:
  explicit Gather(const sdk::Context& context)
      : BatchStep(context),
        dest_dir_(context.text("dest_dir")),
        fail_(context.text("fail")),
        gate_(context.text("gate")),
        each_(context.flag("each", false)),
        bundle_(context.flag("bundle", false)) {}

  std::vector<sdk::Result> process(std::vector<sdk::File>& files) override {
    component().info("a batch is in hand");
    pass_gate(gate_);
    const bool fails = !fail_.empty() && std::any_of(files.begin(), files.end(), [&](const sdk::File& file) { return file.original_basename() == fail_; });
    if (fails) return {sdk::Result::fail("one of them is bad")};
    if (each_) return results_of_each(files);
    for (const sdk::File& file : files) {
      file.set_hop_tag("number", std::to_string(files.size()));
      file.move_to(dest_dir_);
    }
    return {sdk::Result::ok()};
  }

 private:
  std::vector<sdk::Result> results_of_each(const std::vector<sdk::File>& files) const {
    std::vector<sdk::Result> results;
    std::string names;
    for (const sdk::File& file : files) {
      const std::string name = file.original_basename();
      if (name.starts_with("fail")) {
        results.push_back(sdk::Result::fail(name + " is bad"));
      } else if (name.starts_with("retry")) {
        results.push_back(sdk::Result::retry(name + " comes again"));
      } else if (name.starts_with("skip")) {
        results.push_back(sdk::Result::skip(name + " is none of ours"));
      } else if (name.starts_with("silent") || name.starts_with("odd")) {
        results.push_back({name.starts_with("odd") ? 77 : MFDATA_FAIL, "", {}});
      } else {
        if (name.starts_with("taken")) ::rename(file.path().c_str(), (file.path() + "-away").c_str());
        if (name.starts_with("written")) std::ofstream(file.path(), std::ios::app) << "more";
        file.move_to(dest_dir_);
        names += name + '\n';
        results.push_back(sdk::Result::ok());
      }
    }
    if (bundle_) {
      const sdk::File bundle = files.front().context().tmp_file();
      std::ofstream(bundle.path()) << names;
      bundle.move_to(dest_dir_);
    }
    return results;
  }

  std::string dest_dir_, fail_, gate_;
  bool each_, bundle_;
};

class Lines : public sdk::Transform {
 public:
  using Transform::Transform;
  sdk::Result transform(sdk::File& in) override {
    std::ifstream lines(in.path());
    int number = 0;
    for (std::string line; std::getline(lines, line);) {
      const sdk::File& out = output(in);
      std::ofstream(out.path()) << line;
      out.set_hop_tag("line", std::to_string(++number));
    }
    return in.original_basename() == "bad" ? sdk::Result::fail("bad") : sdk::Result::ok();
  }
};

class Headless : public sdk::Transform {
 public:
  using Transform::Transform;
  sdk::Result transform(sdk::File& in) override { return sdk::copy_without_first_line(in, output(in)); }
};

// Tags a file, compressed or not, with the size of what it holds.
class Inner : public sdk::UncompressingStep {
 public:
  explicit Inner(const sdk::Context& context) : UncompressingStep(context, {1'000'000}), dest_dir_(context.text("dest_dir")) {}
  sdk::Result process_uncompressed(sdk::File& file, const std::string& path) override {
    file.set_hop_tag("size", std::to_string(std::ifstream(path, std::ios::ate | std::ios::binary).tellg()));
    file.move_to(dest_dir_);
    return sdk::Result::ok();
  }

 private:
  std::string dest_dir_;
};

MFDATA_PLUGIN("gather", "1.0.0", "a batch step and a transform", "BSD-3-Clause", sdk::batch_step<Gather>("main", "gathers files"),
              sdk::step<Lines>("lines", "makes a file of each line"), sdk::step<Headless>("headless", "drops the first line"),
              sdk::step<Inner>("inner", "tells the size of what a file holds"))
