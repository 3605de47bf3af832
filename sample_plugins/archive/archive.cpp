// archive: delivers each file into a dated directory, with its tags beside it, and removes what is older than its lifetime.
#include <mfdata/naming.hpp>

#include "old_files.hpp"

namespace sdk = mfdata::sdk;

namespace {

double lifetime_of(const sdk::Context& context) {
  const std::string text = context.text("lifetime", "5");
  const std::optional<double> seconds = lifetime_s(text);
  if (!seconds) throw sdk::Error(MFDATA_E_ARG, "lifetime is a number of days, or a time like \"12h\" or \"30d\", not \"" + text + '"');
  return *seconds;
}

}  // namespace

class Archive : public sdk::Step {
 public:
  explicit Archive(const sdk::Context& context)
      : Step(context),
        destination_(context, "%Y%m%d/{ORIGINAL_UID}"),
        old_files_(destination_.directory(), context.identity().plugin + '.' + context.identity().step, context.text("keep_tags_suffix", ".tags"), lifetime_of(context),
                   context.text("clock_file", "")) {
    if (!destination_.absolute()) {
      throw sdk::Error(MFDATA_E_ARG, "dest_dir is an absolute directory, not \"" + destination_.directory() + '"');
    }
    destination_.style.tags_suffix = context.text("keep_tags_suffix", ".tags");
  }

  sdk::Result process(sdk::File& file) override {
    destination_.deliver(file);
    return sdk::Result::ok();
  }

  void tick() override {
    std::string problem;
    const std::size_t removed = old_files_.sweep(sdk::ClockReading::now(), std::chrono::milliseconds(100), problem);
    if (!problem.empty() && problem != last_problem_) component().warning(problem);
    last_problem_ = problem.empty() ? last_problem_ : problem;
    if (removed > 0) component().info(removed == 1 ? "1 file was older than its lifetime and is removed"
                                                    : std::to_string(removed) + " files were older than their lifetime and are removed");
  }

 private:
  sdk::Destination destination_;
  OldFiles old_files_;
  std::string last_problem_;
};

MFDATA_PLUGIN("archive", "1.0.0", "keeps files in a dated directory", "BSD-3-Clause",
              sdk::step<Archive>("main", "delivers each file under dest_dir"))
