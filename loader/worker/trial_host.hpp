// A host of an earlier release as a plugin meets it: each structure that it hands out has the size that it had then, and stands before
// memory that cannot be read. For validating plugins.
//
// One object for one component. What it returns lives as long as the object; of what is shown anew, until the next time.
#pragma once

#include <mfdata/plugin.h>

#include <cstddef>

#include "wire/worker_settings.hpp"

namespace mfdata {

class OlderHost {
 public:
  OlderHost(const wire::TableSizes& sizes, const mfdata_host& host, const mfdata_rules& rules);

  const mfdata_host* host() const { return host_; }
  const mfdata_rules* rules() const { return rules_; }
  const mfdata_init* shown(const mfdata_init& init);
  const mfdata_tick* shown(const mfdata_tick& tick);

 private:
  // A page, with one behind it that nobody can read.
  class Wall {
   public:
    Wall();
    ~Wall();
    Wall(const Wall&) = delete;
    Wall& operator=(const Wall&) = delete;
    template <class Table>
    const Table* show(Table table, std::uint32_t size);

   private:
    char* pages_;
    std::size_t page_;
  };

  const wire::TableSizes sizes_;
  Wall host_wall_, rules_wall_, init_wall_, tick_wall_;
  const mfdata_host* host_;
  const mfdata_rules* rules_;
};

}  // namespace mfdata
