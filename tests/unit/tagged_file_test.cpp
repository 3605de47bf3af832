#include <doctest/doctest.h>
#include <sys/stat.h>

#include <boost/filesystem/operations.hpp>
#include <fstream>

#include "libmfdata/disk.hpp"
#include "libmfdata/spool_name.hpp"
#include "libmfdata/tagged_file.hpp"

namespace fs = boost::filesystem;
using namespace mfdata;

namespace {

struct Folder {
  fs::path path;
  explicit Folder(const fs::path& base) : path(base / fs::unique_path("mfdata-unit-%%%%%%%%")) { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
  std::string write(const std::string& name, const std::string& text) const {
    fs::create_directories((path / name).parent_path());
    std::ofstream(*this / name) << text;
    return *this / name;
  }
};

std::string read(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

TaggedFile tagged(const std::string& path) {
  auto file = TaggedFile::open(path);
  REQUIRE(file);
  auto context = file->context_or_new();
  REQUIRE(context);
  REQUIRE(context->tags.set("a", "1"));
  REQUIRE(file->commit(*context));
  return std::move(*file);
}

}  // namespace

TEST_CASE("a_context_follows_copies_links_and_moves") {
  const Folder folder(fs::temp_directory_path());
  TaggedFile file = tagged(folder.write("f", "content"));
  const std::string uid = file.context()->uid;
  auto copy = file.copy_to(folder / "copy");
  REQUIRE(copy);
  CHECK(read(folder / "copy") == "content");
  CHECK(copy->context()->tags.get("a") == "1");
  CHECK(copy->context()->uid != uid);
  auto link = file.link_to(folder / "link");
  REQUIRE(link);
  CHECK(link->context()->uid == uid);
  CHECK_FALSE(file.move_to(folder / "copy"));  // never overwrites
  REQUIRE(file.move_to(folder / "moved"));
  CHECK(file.context()->uid == uid);
  CHECK_FALSE(fs::exists(folder / "f"));
  REQUIRE(file.remove());
  CHECK_FALSE(fs::exists(folder / "moved"));
}

TEST_CASE("a_move_to_another_filesystem_keeps_content_and_tags") {
  const Folder here(fs::temp_directory_path()), there("/dev/shm");
  struct stat a, b;
  if (::stat(here.path.c_str(), &a) != 0 || ::stat(there.path.c_str(), &b) != 0 || a.st_dev == b.st_dev) {
    MESSAGE("skipped: /dev/shm is no other filesystem here");
    return;
  }
  TaggedFile file = tagged(here.write("f", "content"));
  REQUIRE(file.move_to(there / "f"));
  CHECK(read(there / "f") == "content");
  CHECK(file.context()->tags.get("a") == "1");
  CHECK_FALSE(fs::exists(here / "f"));
}

TEST_CASE("a_sidecar_is_read_written_and_removed_with_its_file") {
  const Folder folder(fs::temp_directory_path());
  const std::string uid = fresh_uid();
  const std::string path = folder.write("step.a.main/" + uid + ".3c", "content");
  CHECK(TaggedFile::open(path).is(Code::kGone));  // its sidecar is missing
  folder.write("tmp/context/" + uid, encode(Context{uid, 3, 7, "step.a.main", {}, {}}));
  TaggedFile file = tagged(path);
  CHECK(read(folder / ("tmp/context/" + uid)).find("\na=1\n") != std::string::npos);
  CHECK_FALSE(file.link_to(folder / "link"));
  REQUIRE(file.remove());
  CHECK_FALSE(fs::exists(folder / ("tmp/context/" + uid)));
}
