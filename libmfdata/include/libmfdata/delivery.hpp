// Delivery: a file leaves the spool for an absolute directory, under the name at the end of its context's `to`.
//
// Never overwrites: a name that is taken gets "-1", "-2", ... behind it, the first of them that is free; where some have been
// removed, any one that is free. On the spool's filesystem the file is placed by rename (exactly once) and its companion by
// link, so that its inode tells whether it is ours. Elsewhere it is copied to a hidden name, forced, renamed, the directory
// forced; a repeat finds its own uid there.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "libmfdata/spool.hpp"

namespace mfdata {

std::string directory_of(const std::string& path);
std::string basename_of(const std::string& path);
// `name` + "-<number>" (number 0: nothing), shortened in front of that where it and `reserve` more bytes would pass
// the 255 of a file name.
std::string numbered_name(const std::string& name, unsigned number, std::size_t reserve);

// A number from `first` on whose name is free: looked for in growing steps, then between the last name that was taken and the
// first that was free, so that it takes few looks however many are taken. kLimit: all names up to -999999 are taken; `wanted` is
// the name that was to be had.
Result<unsigned> free_number(const std::string& wanted, unsigned first, const std::function<Result<bool>(unsigned)>& taken);

// Where the files of one commit, or of one job, go on another filesystem. With `repeats` an earlier attempt may have placed some of
// them: then each name that is taken is asked once for its uid.
class FarPlaces {
 public:
  explicit FarPlaces(bool repeats) : repeats_(repeats) {}
  // The place of an earlier attempt (`done`), or a free one.
  Result<std::string> find(const Disk& disk, const Context& context, bool& done);

 private:
  struct Asked {
    unsigned numbers = 0;                       // all below are taken
    std::map<std::string, std::string> places;  // of a uid
  };
  Result<std::string> find_again(const Disk& disk, const Context& context, bool& done);

  bool repeats_;
  std::map<std::string, Asked> asked_;  // of a path
};

// `companion` is the path of the ready companion file, or empty. kForeign: the directory is on another filesystem.
Result<void> deliver(const Spool& spool, const std::string& staged, const std::string& companion,
                     const Context& context);

// At least once; removes `staged` when the copy stands. `context` is that of the delivered file.
Result<void> deliver_far(const Spool& spool, const std::string& staged, const Context& context, FarPlaces& places);

// What a delivery failed with, as the ends of a file need to know it: kLimit, kBadData for what is the file's own (its name is
// too long or has characters that the filesystem does not take, its size is above what it takes); kNoSpace; kDestination for
// what any other file would have met as well.
Error delivery_error(Error error);

// kNoSpace: the filesystem of the directory has less room than `file` (a stat) takes. What cannot be asked has room.
Result<void> room_for(const std::string& directory, const struct stat& file);

// Forces the names in a directory of somebody else's. One that takes files, and may not be read, cannot be opened for that: then
// its whole filesystem, through `file`, which stands there (-1: every filesystem).
Result<void> sync_destination(const Disk& disk, const std::string& directory, int file);

// The attribute of a file on its way out: its context, without the tags of single hops, or without any, where the
// filesystem takes no more; nothing at all where it takes none. Fails only on errors of the disk.
Result<void> tag_delivered(int file, const Context& context, const std::string& path);

// Of a file that has been placed: its tags go first, since the mode may take the right to change them.
void drop_tags_and_set_mode(int file, const DeliveryStyle& style);
Result<void> apply_mode(const Disk& disk, const std::string& path, const DeliveryStyle& style);

}  // namespace mfdata
