// mfdata/uncompress.hpp - what files of gzip, bzip2, xz and zstd hold, bounded in size and ratio. Header-only; a plugin in
// C++20 that includes it links zlib, bzip2, liblzma and libzstd (-lz -lbz2 -llzma -lzstd). The libraries of the formats check
// their checksums; a file that is cut off is broken. So is one that goes on with something else, but of gzip and bzip2, whose
// tools ignore what follows: `trailing` says how much that was.
#pragma once

#include <bzlib.h>
#include <lzma.h>
#include <mfdata/content.hpp>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <fstream>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>

namespace mfdata::sdk {

struct Format {
  const char* name;
  bool (*begins)(std::string_view);  // whether a member of it may begin so; of less than kMagic bytes, as far as they tell
  bool ignores_trailing;             // its tool takes what no member begins with for no fault
};

// One member (gzip), stream (bzip2, xz) or frame (zstd) of a compressed file, decoded block by block.
class Decoder {
 public:
  struct Input {
    const char* at;
    std::size_t left;
  };
  struct Output {
    char* at;
    std::size_t left;
  };

  virtual ~Decoder() = default;
  // Takes from one and puts to the other what it can. True: the member has ended. Throws std::runtime_error when it is
  // broken.
  virtual bool decode(Input& in, Output& out) = 0;
};

namespace detail {

inline constexpr std::size_t kMagic = 10;  // bytes that tell a format

// Each byte that is there is one of those that may stand at its place.
inline bool agrees(std::string_view text, std::string_view magic) { return text.substr(0, magic.size()) == magic.substr(0, text.size()); }
inline bool begins_gzip(std::string_view text) { return agrees(text, "\x1f\x8b\x08"); }
inline bool begins_bzip2(std::string_view text) {  // of a block, or of the end of an empty file
  if (!agrees(text, "BZh") || (text.size() > 3 && (text[3] < '1' || text[3] > '9'))) return false;
  return text.size() <= 4 || agrees(text.substr(4), "\x31\x41\x59\x26\x53\x59") || agrees(text.substr(4), "\x17\x72\x45\x38\x50\x90");
}
inline bool begins_xz(std::string_view text) { return agrees(text, std::string_view("\xfd" "7zXZ\0", 6)); }
inline bool begins_zstd(std::string_view text) {  // a frame, or one to be skipped
  if (agrees(text, "\x28\xb5\x2f\xfd")) return true;
  return (static_cast<unsigned char>(text[0]) & 0xf0) == 0x50 && agrees(text.substr(1), "\x2a\x4d\x18");
}
inline constexpr Format kFormats[] = {
    {"gzip", begins_gzip, true}, {"bzip2", begins_bzip2, true}, {"xz", begins_xz, false}, {"zstd", begins_zstd, false}};
inline constexpr std::uint64_t kXzMemory = std::uint64_t{1} << 30;  // xz -9 takes 65 MiB

[[noreturn]] inline void broken(const std::string& why) { throw std::runtime_error(why); }

// The two sides of a z_stream, bz_stream or lzma_stream, and back what was used of them.
template <class Stream, class Byte>
class Sides {
 public:
  Sides(Stream& stream, Decoder::Input& in, Decoder::Output& out) : stream_(stream), in_(in), out_(out) {
    stream.next_in = reinterpret_cast<decltype(stream.next_in)>(const_cast<char*>(in.at));
    stream.avail_in = static_cast<decltype(stream.avail_in)>(std::min<std::size_t>(in.left, INT_MAX));
    stream.next_out = reinterpret_cast<Byte*>(out.at);
    stream.avail_out = static_cast<decltype(stream.avail_out)>(std::min<std::size_t>(out.left, INT_MAX));
  }
  ~Sides() {
    const char* at = reinterpret_cast<const char*>(stream_.next_in);
    in_.left -= static_cast<std::size_t>(at - in_.at);
    in_.at = at;
    char* to = reinterpret_cast<char*>(stream_.next_out);
    out_.left -= static_cast<std::size_t>(to - out_.at);
    out_.at = to;
  }
  Sides(const Sides&) = delete;
  Sides& operator=(const Sides&) = delete;

 private:
  Stream& stream_;
  Decoder::Input& in_;
  Decoder::Output& out_;
};

class Gzip : public Decoder {
 public:
  Gzip() {
    if (::inflateInit2(&stream_, 16 + MAX_WBITS) != Z_OK) throw std::bad_alloc();  // 16: gzip, with its checksum
  }
  ~Gzip() override { ::inflateEnd(&stream_); }
  bool decode(Input& in, Output& out) override {
    const Sides<z_stream, Bytef> sides(stream_, in, out);
    const int rc = ::inflate(&stream_, Z_NO_FLUSH);
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) broken(stream_.msg ? stream_.msg : "zlib error " + std::to_string(rc));
    return rc == Z_STREAM_END;
  }

 private:
  z_stream stream_{};
};

class Bzip2 : public Decoder {
 public:
  Bzip2() {
    if (::BZ2_bzDecompressInit(&stream_, 0, 0) != BZ_OK) throw std::bad_alloc();
  }
  ~Bzip2() override { ::BZ2_bzDecompressEnd(&stream_); }
  bool decode(Input& in, Output& out) override {
    const Sides<bz_stream, char> sides(stream_, in, out);
    const int rc = ::BZ2_bzDecompress(&stream_);
    if (rc == BZ_MEM_ERROR) throw std::bad_alloc();
    if (rc != BZ_OK && rc != BZ_STREAM_END) broken("bzip2 error " + std::to_string(rc));
    return rc == BZ_STREAM_END;
  }

 private:
  bz_stream stream_{};
};

class Xz : public Decoder {
 public:
  Xz() {
    if (::lzma_stream_decoder(&stream_, kXzMemory, 0) != LZMA_OK) throw std::bad_alloc();
  }
  ~Xz() override { ::lzma_end(&stream_); }
  bool decode(Input& in, Output& out) override {
    const Sides<lzma_stream, std::uint8_t> sides(stream_, in, out);
    const lzma_ret rc = ::lzma_code(&stream_, LZMA_RUN);
    if (rc == LZMA_MEM_ERROR) throw std::bad_alloc();
    if (rc == LZMA_MEMLIMIT_ERROR) broken("it needs more than 1 GiB of memory");
    if (rc != LZMA_OK && rc != LZMA_STREAM_END && rc != LZMA_BUF_ERROR) broken("xz error " + std::to_string(rc));
    return rc == LZMA_STREAM_END;
  }

 private:
  lzma_stream stream_ = LZMA_STREAM_INIT;
};

class Zstd : public Decoder {
 public:
  Zstd() : stream_(::ZSTD_createDStream(), ::ZSTD_freeDStream) {
    if (!stream_) throw std::bad_alloc();
  }
  bool decode(Input& in, Output& out) override {
    ZSTD_inBuffer from{in.at, in.left, 0};
    ZSTD_outBuffer to{out.at, out.left, 0};
    const std::size_t rc = ::ZSTD_decompressStream(stream_.get(), &to, &from);
    in = {in.at + from.pos, in.left - from.pos};
    out = {out.at + to.pos, out.left - to.pos};
    if (::ZSTD_isError(rc)) broken(::ZSTD_getErrorName(rc));
    return rc == 0;
  }

 private:
  std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> stream_;
};

}  // namespace detail

// The format of a file that begins so; nullptr: none that is known.
inline const Format* format_of(std::string_view begin) {
  if (begin.size() < 4) return nullptr;
  const auto* found = std::find_if(std::begin(detail::kFormats), std::end(detail::kFormats), [&](const Format& format) { return format.begins(begin); });
  return found == std::end(detail::kFormats) ? nullptr : found;
}

// For one member.
inline std::unique_ptr<Decoder> make_decoder(const Format& format) {
  switch (format.name[0]) {
    case 'g': return std::make_unique<detail::Gzip>();
    case 'b': return std::make_unique<detail::Bzip2>();
    case 'x': return std::make_unique<detail::Xz>();
    default: return std::make_unique<detail::Zstd>();
  }
}

struct UnpackLimits {
  std::int64_t max_size = std::int64_t{100} << 30;     // bytes that it may hold
  std::int64_t max_ratio = 2000;                       // times its size, once that is more than
  std::int64_t ratio_from = std::int64_t{64} << 20;    // bytes: below, no ratio harms anybody
  bool ignore_trailing = true;                         // of gzip and bzip2: what follows the last member and is none
};

// Unpacks files: all members one behind the other; zeros behind the last are padding. What begins as a member and is broken
// is never ignored: it may be the half of one.
class Unpacker {
 public:
  explicit Unpacker(const UnpackLimits& limits = {}) : limits_(limits) {}

  // The format of a file; nullptr: it is not compressed, or not so that it is known. Throws Error, E_IO: it cannot be read.
  static const Format* format_of_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    char begin[detail::kMagic] = {};
    in.read(begin, sizeof begin);
    if (!in.is_open() || in.bad()) throw Error(MFDATA_E_IO, cannot_read().reason);
    return format_of({begin, static_cast<std::size_t>(in.gcount())});
  }

  // What `from` holds, into `to`. FAIL: it is broken, or holds more than the limits; RETRY, disk_full: the system refuses.
  Result unpack(const Context& context, const std::string& from, const Format& format, const std::string& to) {
    trailing_ = 0;
    std::ifstream in(from, std::ios::binary);
    if (!in.is_open()) return cannot_read();
    try {
      return unpack_all(context, in, format, to);
    } catch (const std::bad_alloc&) {
      return Result::retry("there is no memory to unpack it");
    } catch (const std::runtime_error& error) {
      return Result::fail(std::string("the ") + format.name + " file is broken: " + error.what());
    }
  }

  // Bytes behind the last member that were ignored, of the last file.
  std::int64_t trailing() const { return trailing_; }

 private:
  static constexpr std::size_t kBlock = 1 << 18;

  // Reads on behind what is left, which comes to the beginning. False: it cannot.
  bool refill(std::ifstream& in, Decoder::Input& left, std::int64_t& taken) {
    std::memmove(input_.data(), left.at, left.left);
    in.clear(in.rdstate() & ~std::ios::failbit & ~std::ios::eofbit);
    in.read(input_.data() + left.left, static_cast<std::streamsize>(input_.size() - left.left));
    left = {input_.data(), left.left + static_cast<std::size_t>(in.gcount())};
    taken += in.gcount();
    return !in.bad();
  }

  // Counts what is left of the file.
  bool skip_rest(std::ifstream& in, Decoder::Input& left, std::int64_t& taken) {
    do {
      trailing_ += static_cast<std::int64_t>(std::exchange(left.left, 0));
      if (!refill(in, left, taken)) return false;
    } while (left.left > 0);
    return true;
  }

  Result unpack_all(const Context& context, std::ifstream& in, const Format& format, const std::string& path) {
    std::ofstream out(path, std::ios::binary);
    std::unique_ptr<Decoder> decoder = make_decoder(format);
    Decoder::Input left{input_.data(), 0};
    std::int64_t taken = 0, size = 0;
    while (true) {
      if (left.left == 0 && !refill(in, left, taken)) return cannot_read();
      const bool at_end = left.left == 0;
      if (!decoder) {
        if (at_end) break;
        while (left.left > 0 && *left.at == '\0') ++left.at, --left.left;
        if (left.left == 0) continue;
        if (left.left < detail::kMagic && !refill(in, left, taken)) return cannot_read();
        if (!format.begins({left.at, left.left})) {
          if (!format.ignores_trailing || !limits_.ignore_trailing) throw std::runtime_error("something else follows it");
          if (!skip_rest(in, left, taken)) return cannot_read();
          break;
        }
        decoder = make_decoder(format);
      }
      Decoder::Output room{output_.data(), output_.size()};
      const bool ended = decoder->decode(left, room);
      const auto got = static_cast<std::int64_t>(output_.size() - room.left);
      if (ended) {
        decoder.reset();
      } else if (at_end && got == 0) {
        throw std::runtime_error("it ends too early");
      }
      size += got;
      if (size > limits_.max_size) return Result::fail("it holds more than max_size, " + std::to_string(limits_.max_size) + " bytes");
      if (size > limits_.ratio_from && size / limits_.max_ratio > taken) {
        return Result::fail("it holds more than max_ratio, " + std::to_string(limits_.max_ratio) + ", times its size: a bomb");
      }
      if (context.cancelled()) return Result::cancelled();
      out.write(output_.data(), got);
      if (!out) return cannot_write();
    }
    out.close();
    return out ? Result::ok() : cannot_write();
  }

  UnpackLimits limits_;
  std::int64_t trailing_ = 0;
  std::vector<char> input_ = std::vector<char>(kBlock), output_ = std::vector<char>(kBlock);
};

// A step that reads its files uncompressed, whether they are compressed or not: `process_uncompressed` gets the file, and
// the path of what it holds, which may only be read.
class UncompressingStep : public Step {
 public:
  explicit UncompressingStep(const Context& context, const UnpackLimits& limits = {}) : Step(context), unpacker_(limits) {}
  Result process(File& file) final {
    const Format* format = Unpacker::format_of_file(file.path());
    if (!format) return process_uncompressed(file, file.path());
    const std::string path = file.context().tmp_file(file).path();  // goes away with the call
    const Result unpacked = unpacker_.unpack(file.context(), file.path(), *format, path);
    return unpacked.code == MFDATA_OK ? process_uncompressed(file, path) : unpacked;
  }
  virtual Result process_uncompressed(File& file, const std::string& path) = 0;

 private:
  Unpacker unpacker_;
};

}  // namespace mfdata::sdk
