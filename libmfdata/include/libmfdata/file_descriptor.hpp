// One open file descriptor, closed with its owner. Move-only; -1 means none.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace mfdata {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int number) : number_(number) {}
  FileDescriptor(FileDescriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() { close(); }

  explicit operator bool() const { return number_ >= 0; }
  int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }
  void close() {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
  }

 private:
  int number_ = -1;
};

// In a process that shares its descriptors with foreign code: those that last live above its usual mistakes (close(3), a loop of
// closes, a number closed twice). 0: nothing is moved. Set once, before there are threads.
inline int lasting_descriptors_from = 0;

// The same open file, at such a number where there is one.
inline FileDescriptor lasting(FileDescriptor file, bool inherited = false) {
  if (lasting_descriptors_from == 0 || file.get() >= lasting_descriptors_from || !file) return file;
  FileDescriptor moved(::fcntl(file.get(), inherited ? F_DUPFD : F_DUPFD_CLOEXEC, lasting_descriptors_from));
  return moved ? std::move(moved) : std::move(file);
}

}  // namespace mfdata
