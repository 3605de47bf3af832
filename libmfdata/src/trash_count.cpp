#include "libmfdata/trash_count.hpp"

#include "libmfdata/spool_layout.hpp"
#include "libmfdata/spool_name.hpp"

namespace mfdata {

Result<std::map<std::string, std::size_t>> count_trash(const Spool& spool, const std::function<bool()>& go_on) {
  std::map<std::string, std::size_t> all;
  bool whole = true;
  auto steps = spool.disk().list("trash");
  if (!steps) return steps.error();
  for (const std::string& step : *steps) {
    std::size_t& files = all[step];
    MFDATA_TRY(spool.disk().visit(layout::trash_directory(step), [&](const std::string& entry) {
      files += SpoolName::parse(layout::name_in_trash(entry)).has_value();
      return whole = go_on();
    }));
    if (!whole) return Error{Code::kBusy, 0, "there was no time to count all files in trash"};
  }
  return all;
}

}  // namespace mfdata
