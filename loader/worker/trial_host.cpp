#include "worker/trial_host.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "libmfdata/result.hpp"

namespace mfdata {

OlderHost::Wall::Wall() : page_(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))) {
  void* pages = ::mmap(nullptr, 2 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(pages != MAP_FAILED, "no memory for a trial");
  pages_ = static_cast<char*>(pages);
  check(::mprotect(pages_ + page_, page_, PROT_NONE) == 0, "no wall for a trial");
}

OlderHost::Wall::~Wall() { ::munmap(pages_, 2 * page_); }

template <class Table>
const Table* OlderHost::Wall::show(Table table, std::uint32_t size) {
  const std::size_t shown = size == 0 ? sizeof table : std::min<std::size_t>(size, sizeof table);
  table.struct_size = static_cast<std::uint32_t>(shown);
  return static_cast<const Table*>(std::memcpy(pages_ + page_ - shown, &table, shown));
}

OlderHost::OlderHost(const wire::TableSizes& sizes, const mfdata_host& host, const mfdata_rules& rules)
    : sizes_(sizes), host_(host_wall_.show(host, sizes.host)), rules_(rules_wall_.show(rules, sizes.rules)) {}

const mfdata_init* OlderHost::shown(const mfdata_init& init) { return init_wall_.show(init, sizes_.init); }
const mfdata_tick* OlderHost::shown(const mfdata_tick& tick) { return tick_wall_.show(tick, sizes_.tick); }

}  // namespace mfdata
