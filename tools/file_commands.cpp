// generate.
#include <time.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "commands.hpp"
#include "libmfdata/disk.hpp"
#include "libmfdata/spool_name.hpp"
#include "progress.hpp"


namespace mfdata::tools {
int generate(const GenerateOptions& options) {
  auto disk = Disk::open(options.directory);
  if (!disk) return fail(disk.error().text);
  std::mt19937_64 engine(std::random_device{}());
  std::string block(std::min<std::uint64_t>(options.size, 1 << 20), '\0');
  timespec start;
  ::clock_gettime(CLOCK_MONOTONIC, &start);
  Progress progress("generated", options.count);
  for (std::uint64_t i = 0; i < options.count; ++i) {
    progress.step(i);
    if (options.rate > 0) {
      const double due = static_cast<double>(start.tv_sec) + static_cast<double>(start.tv_nsec) * 1e-9 + static_cast<double>(i) / options.rate;
      const timespec until{static_cast<time_t>(due), static_cast<long>((due - std::floor(due)) * 1e9)};
      ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
    }
    const std::string name = "generated-" + fresh_uid();
    auto file = disk->create('.' + name);
    if (!file) return fail(file.error().text);
    for (std::uint64_t left = options.size; left > 0;) {
      std::generate(block.begin(), block.end(), [&] { return static_cast<char>(engine()); });
      const std::uint64_t part = std::min<std::uint64_t>(left, block.size());
      if (auto written = write_all(file->get(), {block.data(), part}, name); !written) {
        (void)disk->unlink('.' + name);
        return fail(written.error().text);
      }
      left -= part;
    }
    file->close();
    if (auto done = disk->rename('.' + name, name); !done) return fail(done.error().text);
  }
  return 0;
}

}  // namespace mfdata::tools
