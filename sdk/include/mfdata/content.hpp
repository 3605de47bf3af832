// mfdata/content.hpp - reads and writes whole files of a step. Header-only; for plugins in C++20.
#pragma once

#include <mfdata/plugin.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

namespace mfdata::sdk {

// The end of a treatment whose own write failed: a full disk is no failure of the file, and something else may pass.
inline Result cannot_write(int error = errno) {
  const std::string why = std::string("cannot write: ") + std::strerror(error);
  return error == ENOSPC || error == EDQUOT ? Result::disk_full(why) : Result::retry(why);
}
inline Result cannot_read(int error = errno) { return Result::retry(std::string("cannot read: ") + std::strerror(error)); }

// The first `size` bytes of a file, or as many as it has, in `buffer`; nothing: it cannot be read (errno says why).
inline std::optional<std::string_view> beginning_of(const std::string& path, std::size_t size, std::string& buffer) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  if (buffer.size() < size) buffer.resize(size);
  std::size_t length = 0;
  ssize_t got = 1;
  while (length < size && (got = ::read(file, buffer.data() + length, size - length)) > 0) length += static_cast<std::size_t>(got);
  const int error = errno;
  ::close(file);
  errno = error;
  if (got < 0) return std::nullopt;
  return std::string_view(buffer).substr(0, length);
}

// All bytes of a file. Throws Error: E_LIMIT when it has more than `limit`.
inline std::string content_of(const File& file, std::size_t limit = std::size_t{1} << 30) {
  std::ifstream in(file.path(), std::ios::binary | std::ios::ate);
  const auto size = static_cast<std::size_t>(in ? static_cast<std::streamoff>(in.tellg()) : 0);
  if (size > limit) throw Error(MFDATA_E_LIMIT, "the file has " + std::to_string(size) + " bytes, more than " + std::to_string(limit));
  std::string text(size, '\0');
  in.seekg(0);
  if (!in.read(text.data(), static_cast<std::streamsize>(size))) throw Error(MFDATA_E_IO, cannot_read().reason);
  return text;
}

// The bytes into a new file (Context::tmp_file).
inline Result write_content(const File& file, std::string_view bytes) {
  std::ofstream out(file.path(), std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  return out ? Result::ok() : cannot_write();
}

// The whole content of the file at `path`, which the plugin may read, into a new file, in blocks: files of any size.
inline Result copy_whole(const std::string& path, const File& to) {
  std::ifstream in(path, std::ios::binary);
  if (!in.is_open()) return cannot_read();
  std::ofstream out(to.path(), std::ios::binary | std::ios::trunc);
  char block[65536];
  std::uintmax_t copied = 0;
  while (in.read(block, sizeof block), in.gcount() > 0) {
    if (!out.write(block, in.gcount())) return cannot_write();
    copied += static_cast<std::uintmax_t>(in.gcount());
  }
  if (in.bad()) return cannot_read();
  out.close();
  if (!out) return cannot_write();
  std::error_code code;
  const std::uintmax_t size = std::filesystem::file_size(path, code);
  if (!code && size == copied) return Result::ok();
  return Result::retry("cannot read the whole of " + path + ": " + std::to_string(copied) + " bytes of " + std::to_string(size));
}

// What stands behind the first line, in blocks: files of any size. A file of one line has nothing there.
inline Result copy_without_first_line(const File& from, const File& to) {
  std::ifstream in(from.path(), std::ios::binary);
  if (!in.is_open()) return cannot_read();
  std::ofstream out(to.path(), std::ios::binary | std::ios::trunc);
  char block[65536];
  bool in_first_line = true;
  while (in.read(block, sizeof block), in.gcount() > 0) {
    std::string_view bytes(block, static_cast<std::size_t>(in.gcount()));
    if (in_first_line) {
      const std::size_t end = bytes.find('\n');
      if (end == std::string_view::npos) continue;
      bytes.remove_prefix(end + 1);
      in_first_line = false;
    }
    if (!out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()))) return cannot_write();
  }
  if (in.bad()) return cannot_read();
  out.close();
  return out ? Result::ok() : cannot_write();
}

}  // namespace mfdata::sdk
