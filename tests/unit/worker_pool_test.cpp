#include "worker_pool.hpp"

#include <doctest/doctest.h>

using namespace mfdata;

namespace {

wire::WorkerSettings with_timeout(double seconds) {
  wire::WorkerSettings settings;
  settings.step.timeout_s = seconds;
  return settings;
}

}  // namespace

TEST_CASE("pool_looks_ten_times_within_the_shortest_timeout_but_at_most_ten_times_a_second") {
  EventLoop loop;
  WorkerPool pool(loop, "/nowhere", {});
  pool.add(with_timeout(300));
  CHECK(pool.tick_interval() == kSecond);
  pool.add(with_timeout(4));
  CHECK(pool.tick_interval() == 400 * kMillisecond);
  pool.replace(1, with_timeout(0.2), false);
  CHECK(pool.tick_interval() == 100 * kMillisecond);
  pool.replace(1, with_timeout(5), false);
  CHECK(pool.tick_interval() == 500 * kMillisecond);
}
