// guess_file_type: says by tags what a file is, for the rules of switch, and passes it on.
//
//   system_magic     what `file --brief` prints for its content; setuid, setgid and sticky bits are not told
//   custom_magic     the same by a magic file of one's own
//   magic_exception  why libmagic could not tell
//   ascii_header     the printable characters among its first bytes
//   size             in bytes
#include <fcntl.h>
#include <magic.h>
#include <mfdata/plugin.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace sdk = mfdata::sdk;

// One database of libmagic; used on one thread.
class Magic {
 public:
  // An empty file name: the system's.
  explicit Magic(const std::string& file) : cookie_(::magic_open(MAGIC_NONE), ::magic_close) {
    if (!cookie_) throw sdk::Error(MFDATA_E_NOMEM, "libmagic does not start");
    if (::magic_load(cookie_.get(), file.empty() ? nullptr : file.c_str()) == 0) return;
    const std::string shown = file.empty() ? "the system's magic database" : "magic_custom_file = \"" + file + '"';
    throw sdk::Error(MFDATA_E_ARG, shown + ": " + error());
  }

  // What the file is; nothing: see `error`. By its descriptor, since of a path libmagic tells the mode too, and "setgid gzip
  // compressed data" is what no rule expects.
  const char* describe(int content) const { return ::magic_descriptor(cookie_.get(), content); }
  std::string error() const {
    const char* text = ::magic_error(cookie_.get());
    return text ? text : "libmagic gives no reason";
  }

 private:
  std::unique_ptr<magic_set, void (*)(magic_t)> cookie_;
};

[[noreturn]] static void cannot_read() { throw sdk::Error(MFDATA_E_IO, std::string("cannot read the file: ") + std::strerror(errno)); }

// The file in hand, open for reading.
class Descriptor {
 public:
  explicit Descriptor(const std::string& path) : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (file_ < 0) cannot_read();
  }
  ~Descriptor() { ::close(file_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return file_; }

 private:
  int file_;
};

class GuessFileType : public sdk::Step {
 public:
  explicit GuessFileType(const sdk::Context& context)
      : Step(context),
        dest_dir_(context.text("dest_dir")),
        with_size_(context.flag("add_size_tag", true)),
        header_length_(context.integer("ascii_header_max_length", 60)) {
    if (dest_dir_.empty() || dest_dir_.starts_with('/')) throw sdk::Error(MFDATA_E_ARG, "dest_dir is a step, \"plugin/step\", not \"" + dest_dir_ + '"');
    if (header_length_ < 0 || header_length_ > 16384) {
      throw sdk::Error(MFDATA_E_ARG, "ascii_header_max_length is 0 to 16384, not " + std::to_string(header_length_));
    }
    const std::string custom = context.text("magic_custom_file", "");
    const bool only_custom = context.flag("magic_use_custom_only", false);
    if (only_custom && custom.empty()) throw sdk::Error(MFDATA_E_ARG, "magic_use_custom_only needs a magic_custom_file");
    if (!custom.empty()) custom_ = std::make_unique<Magic>(custom);
    if (!only_custom) system_ = std::make_unique<Magic>("");
  }

  sdk::Result process(sdk::File& file) override {
    const Descriptor content(file.path());
    if (system_) tag_magic(file, content.get(), *system_, "system_magic");
    if (custom_) tag_magic(file, content.get(), *custom_, "custom_magic");
    tag_content(file, content.get());
    file.move_to(dest_dir_);
    return sdk::Result::ok();
  }

 private:
  static void tag_magic(const sdk::File& file, int content, const Magic& magic, const char* tag) {
    if (const char* text = magic.describe(content)) {
      file.set_hop_tag(tag, text);
    } else {
      file.set_hop_tag("magic_exception", magic.error());
    }
  }

  void tag_content(const sdk::File& file, int content) {
    std::string header(static_cast<std::size_t>(header_length_), '\0');
    const ssize_t length = ::pread(content, header.data(), header.size(), 0);
    struct stat status {};
    if (length < 0 || ::fstat(content, &status) != 0) cannot_read();
    header.resize(static_cast<std::size_t>(length));
    std::erase_if(header, [](char c) { return c < 32 || c > 126; });
    file.set_hop_tag("ascii_header", header);
    if (with_size_) file.set_hop_tag("size", std::to_string(status.st_size));
  }

  std::string dest_dir_;
  bool with_size_;
  std::int64_t header_length_;
  std::unique_ptr<Magic> system_, custom_;
};

MFDATA_PLUGIN("guess_file_type", "1.0.0", "tells by tags what a file is", "BSD-3-Clause",
              sdk::step<GuessFileType>("main", "sets system_magic, custom_magic, ascii_header and size, and passes the file on"))
