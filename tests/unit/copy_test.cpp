// Copies of content, whatever the kernel says on the way.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <fstream>

#include "libmfdata/disk.hpp"

namespace {

// What copy_file_range(2) of this program answers, as kernels and filesystems have been seen to.
struct Kernel {
  bool real = true;
  std::size_t copies_at_most = 0;  // in all; then:
  int error = 0;                   // or 0, "end of file"
} kernel;

}  // namespace

extern "C" ssize_t copy_file_range(int from, off64_t* source, int to, off64_t* target, size_t length, unsigned flags) {
  if (!kernel.real) {
    length = std::min(length, kernel.copies_at_most);
    kernel.copies_at_most -= length;
    errno = kernel.error;
    if (length == 0) return kernel.error == 0 ? 0 : -1;
  }
  return ::syscall(SYS_copy_file_range, from, source, to, target, length, flags);
}

namespace mfdata {
namespace {

struct Files {
  boost::filesystem::path directory = boost::filesystem::temp_directory_path() / boost::filesystem::unique_path("mfdata-copy-%%%%%%%%");
  std::string source = (directory / "source").string(), copy = (directory / "copy").string();

  Files() { boost::filesystem::create_directories(directory); }
  ~Files() {
    kernel = Kernel();
    boost::filesystem::remove_all(directory);
  }
  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  Result<void> copied() {
    const FileDescriptor from(::open(source.c_str(), O_RDONLY | O_CLOEXEC));
    const FileDescriptor to(::open(copy.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    REQUIRE(from);
    REQUIRE(to);
    return copy_content(from.get(), to.get(), copy);
  }
};

std::string pattern(std::size_t size) {
  std::string text;
  while (text.size() < size) text += std::to_string(text.size()) + '\n';
  text.resize(size);
  return text;
}

TEST_CASE("copy_is_whole_when_the_kernel_says_end_of_file_too_early") {
  for (const std::size_t by_kernel : {0, 10'000}) {
    Files files;
    const std::string content = pattern(20'000);
    std::ofstream(files.source, std::ios::binary) << content;
    kernel = {false, by_kernel, 0};
    REQUIRE(files.copied());
    CHECK(Files::read(files.copy) == content);
  }
}

TEST_CASE("copy_is_whole_whatever_error_the_kernel_copies_with") {
  for (const int error : {EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, EBADF, EPERM, EIO, ETXTBSY, EISDIR, EFBIG, EACCES, 524}) {
    for (const std::size_t by_kernel : {0, 4'096}) {
      Files files;
      const std::string content = pattern(300'000);
      std::ofstream(files.source, std::ios::binary) << content;
      kernel = {false, by_kernel, error};
      REQUIRE_MESSAGE(files.copied(), std::strerror(error));
      CHECK(Files::read(files.copy) == content);
    }
  }
}

TEST_CASE("copy_keeps_the_holes_of_a_sparse_file") {
  for (const bool real : {true, false}) {
    Files files;
    constexpr off_t kSize = off_t{1} << 31;
    {
      const FileDescriptor sparse(::open(files.source.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
      REQUIRE(::ftruncate(sparse.get(), kSize) == 0);
      REQUIRE(::pwrite(sparse.get(), "begin", 5, 1'000'000) == 5);
      REQUIRE(::pwrite(sparse.get(), "end", 3, 1'500'000'000) == 3);
    }
    kernel.real = real;
    REQUIRE(files.copied());
    struct stat source {}, copy {};
    REQUIRE(::stat(files.source.c_str(), &source) == 0);
    REQUIRE(::stat(files.copy.c_str(), &copy) == 0);
    CHECK(copy.st_size == kSize);
    CHECK(copy.st_blocks <= source.st_blocks + 1024);
    const FileDescriptor read(::open(files.copy.c_str(), O_RDONLY | O_CLOEXEC));
    char bytes[5] = {};
    CHECK(::pread(read.get(), bytes, 5, 1'000'000) == 5);
    CHECK(std::string(bytes, 5) == "begin");
    CHECK(::pread(read.get(), bytes, 3, 1'500'000'000) == 3);
    CHECK(std::string(bytes, 3) == "end");
  }
}

TEST_CASE("copy_of_an_empty_file_is_empty_and_one_of_a_file_of_the_kernel_has_its_content") {
  Files files;
  std::ofstream(files.source).flush();
  REQUIRE(files.copied());
  CHECK(boost::filesystem::file_size(files.copy) == 0);
  boost::filesystem::remove(files.copy);
  files.source = "/proc/version";  // a size of 0, and content
  REQUIRE(files.copied());
  CHECK(Files::read(files.copy) == Files::read("/proc/version"));
}

TEST_CASE("copy_on_a_full_disk_says_how_much_it_is_and_how_much_is_free") {
  Files files;
  std::ofstream(files.source) << pattern(20'000);
  const FileDescriptor from(::open(files.source.c_str(), O_RDONLY | O_CLOEXEC));
  const FileDescriptor full(::open("/dev/full", O_RDWR | O_CLOEXEC));
  kernel = {false, 0, EINVAL};
  const auto done = copy_content(from.get(), full.get(), "/dev/full");
  REQUIRE(!done);
  CHECK(done.is(Code::kNoSpace));
  CHECK(done.error().text.find("20000 bytes") != std::string::npos);
  CHECK(done.error().text.find("bytes are free") != std::string::npos);
}

}  // namespace
}  // namespace mfdata
