// What a durable deposit costs, by the number of threads that commit, beside what the bare system calls reach on the same
// filesystem in the same minutes: files of 4 KiB that are written, forced with their directory, and renamed.
//
//   deposits_bench DIRECTORY [SECONDS]      a table as Markdown; each way so long (default 2), in turn, three times
//
// The ceilings: 32 threads that each force their own files by fsync(2), and one thread that forces 64 files by one syncfs(2).
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "libmfdata/clock.hpp"
#include "libmfdata/deposit.hpp"
#include "libmfdata/spool.hpp"
#include "worker/deposit_committer.hpp"

using namespace mfdata;

namespace {

constexpr std::size_t kSize = 4096;
const std::string kContent(kSize, 'x');

struct Room {
  Spool spool;
  std::string directory;
  double seconds;
  std::atomic<std::uint64_t> serial{0};

  std::int64_t until() const { return monotonic_ns() + static_cast<std::int64_t>(seconds * 1e9); }
  void empty() const {
    const std::string step = layout::step_directory("a.main");
    auto names = spool.disk().list(step);
    for (const std::string& name : *names) (void)spool.disk().unlink(step + '/' + name);
    ::sync();
  }
};

void must(bool holds, const char* what) {
  if (holds) return;
  std::perror(what);
  std::exit(1);
}

// Files a second of `work`, which gets the end and counts.
double rate(Room& room, unsigned threads, const std::function<std::uint64_t(std::int64_t until)>& work) {
  std::vector<std::thread> all;
  std::atomic<std::uint64_t> files{0};
  const std::int64_t began = monotonic_ns(), until = room.until();
  for (unsigned i = 0; i < threads; ++i) all.emplace_back([&] { files += work(until); });
  for (std::thread& thread : all) thread.join();
  const double seconds = static_cast<double>(monotonic_ns() - began) / 1e9;
  room.empty();
  return static_cast<double>(files) / seconds;
}

std::uint64_t fsync_each(Room& room, std::int64_t until) {
  std::uint64_t files = 0;
  const FileDescriptor place(::open((room.directory + "/step.a.main").c_str(), O_RDONLY | O_DIRECTORY));
  for (; monotonic_ns() < until; ++files) {
    const std::string name = std::to_string(++room.serial), path = room.directory + "/tmp/accept/" + name;
    const FileDescriptor file(::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600));
    must(::write(file.get(), kContent.data(), kSize) == static_cast<ssize_t>(kSize), "write");
    must(::fsync(file.get()) == 0, "fsync");
    must(::rename(path.c_str(), (room.directory + "/step.a.main/" + name).c_str()) == 0, "rename");
    must(::fsync(place.get()) == 0, "fsync of the directory");
  }
  return files;
}

std::uint64_t syncfs_together(Room& room, std::int64_t until) {
  constexpr std::size_t kTogether = 64;
  std::uint64_t files = 0;
  const FileDescriptor place(::open((room.directory + "/step.a.main").c_str(), O_RDONLY | O_DIRECTORY));
  for (; monotonic_ns() < until; files += kTogether) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < kTogether; ++i) {
      names.push_back(std::to_string(++room.serial));
      const FileDescriptor file(::open((room.directory + "/tmp/accept/" + names.back()).c_str(), O_CREAT | O_EXCL | O_RDWR, 0600));
      must(::write(file.get(), kContent.data(), kSize) == static_cast<ssize_t>(kSize), "write");
    }
    must(::syncfs(place.get()) == 0, "syncfs");
    for (const std::string& name : names) {
      must(::rename((room.directory + "/tmp/accept/" + name).c_str(), (room.directory + "/step.a.main/" + name).c_str()) == 0, "rename");
    }
    must(::fsync(place.get()) == 0, "fsync of the directory");
  }
  return files;
}

Deposit written(Room& room) {
  auto deposit = Deposit::open(room.spool);
  must(deposit && write_all(deposit->file(), kContent, ""), "deposit");
  return std::move(*deposit);
}

std::uint64_t commit_and_wait(Room& room, DepositCommitter& committer, std::int64_t until) {
  const TagSet tags;
  std::uint64_t files = 0;
  for (; monotonic_ns() < until; ++files) {
    Deposit deposit = written(room);
    must(bool(committer.commit({&deposit, "a.main", "name", "bench", &tags, {}})), "commit");
  }
  return files;
}

std::uint64_t commit_later(Room& room, DepositCommitter& committer, std::int64_t until) {
  constexpr std::uint64_t kInFlight = 64;
  const TagSet tags;
  std::atomic<std::uint64_t> begun{0}, ended{0};
  while (monotonic_ns() < until) {
    if (begun - ended >= kInFlight) {
      ::usleep(50);
      continue;
    }
    const auto deposit = std::make_shared<Deposit>(written(room));
    ++begun;
    committer.commit_later({deposit.get(), "a.main", "name", "bench", &tags, {}}, [deposit, &ended](const Result<void>& result) {
      must(bool(result), "commit");
      ++ended;
    });
  }
  committer.finish();
  return ended;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: deposits_bench DIRECTORY [SECONDS]\n");
    return 2;
  }
  const std::string directory = argv[1];
  auto spool = Spool::open(directory, Durability::kAccepted);
  if (!spool || !spool->prepare() || !spool->prepare_step("a.main")) {
    std::fprintf(stderr, "deposits_bench: %s cannot be used\n", directory.c_str());
    return 2;
  }
  Room room{std::move(*spool), directory, argc > 2 ? std::strtod(argv[2], nullptr) : 2.0, {}};
  DepositCommitter committer(room.spool);
  struct Way {
    const char* name;
    unsigned threads;
    std::function<std::uint64_t(std::int64_t)> work;
    std::vector<double> rates = {};
  };
  std::vector<Way> ways = {{"ceiling: fsync of each, 32 threads", 32, [&](std::int64_t until) { return fsync_each(room, until); }},
                           {"ceiling: syncfs for 64 files", 1, [&](std::int64_t until) { return syncfs_together(room, until); }},
                           {"commit that waits, 1 thread", 1, [&](std::int64_t until) { return commit_and_wait(room, committer, until); }},
                           {"commit that waits, 16 threads", 16, [&](std::int64_t until) { return commit_and_wait(room, committer, until); }},
                           {"commit that waits, 64 threads", 64, [&](std::int64_t until) { return commit_and_wait(room, committer, until); }},
                           {"commit with a callback, 64 in flight", 1, [&](std::int64_t until) { return commit_later(room, committer, until); }}};
  for (int round = 0; round < 3; ++round) {
    for (Way& way : ways) way.rates.push_back(rate(room, way.threads, way.work));
  }
  const double ceiling = std::max(median(ways[0].rates), median(ways[1].rates));
  std::printf("| way | files/s (median of 3) | lowest to highest | of the better ceiling |\n|---|---|---|---|\n");
  for (const Way& way : ways) {
    std::printf("| %s | %.0f | %.0f to %.0f | %.2f |\n", way.name, median(way.rates), *std::min_element(way.rates.begin(), way.rates.end()),
                *std::max_element(way.rates.begin(), way.rates.end()), median(way.rates) / ceiling);
  }
  return 0;
}
