// uncompress: turns a file of gzip, bzip2, xz or zstd into what it holds, bounded in size and ratio.
#include <mfdata/uncompress.hpp>

namespace sdk = mfdata::sdk;

class Uncompress : public sdk::Transform {
 public:
  explicit Uncompress(const sdk::Context& context)
      : Transform(context),
        wanted_(context.text("format", "auto")),
        unpacker_(limits(context)),
        trailing_(sdk::Metric::counter(context, "trailing_files_total", "Files that went on with something else behind what was unpacked")) {
    if (context.text("dest_dir").empty()) throw sdk::Error(MFDATA_E_ARG, "dest_dir is empty: write \"plugin/step\"");
  }

  sdk::Result transform(sdk::File& file) override {
    const sdk::Format* format = sdk::Unpacker::format_of_file(file.path());
    if (!format || (wanted_ != "auto" && wanted_ != format->name)) {
      return sdk::Result::fail("it is no file of " + (wanted_ == "auto" ? "gzip, bzip2, xz or zstd" : wanted_));
    }
    const sdk::File unpacked = output(file);
    const sdk::Result result = unpacker_.unpack(file.context(), file.path(), *format, unpacked.path());
    if (result.code == MFDATA_OK && unpacker_.trailing() > 0) {
      unpacked.set_hop_tag("trailing_bytes", std::to_string(unpacker_.trailing()));
      trailing_.add(1);
    }
    return result;
  }

 private:
  static sdk::UnpackLimits limits(const sdk::Context& context) {
    sdk::UnpackLimits limits;
    limits.max_size = context.integer("max_size", 0);
    limits.max_ratio = context.integer("max_ratio", 0);
    limits.ignore_trailing = context.text("trailing", "ignore") == "ignore";
    return limits;
  }

  std::string wanted_;
  sdk::Unpacker unpacker_;
  sdk::Metric trailing_;
};

#ifndef PLUGIN_ID  // of the plugins that are this one under another name
#define PLUGIN_ID "uncompress"
#endif
MFDATA_PLUGIN(PLUGIN_ID, "1.0.0", "uncompresses gzip, bzip2, xz and zstd", "BSD-3-Clause",
              sdk::step<Uncompress>("main", "replaces each file by what it holds, for dest_dir"))
