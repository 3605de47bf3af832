// Calls of a plugin to its host that are made to fail: for mfdata-plugin validate and the test harness.
//
// Whatever returns a value can fail, but for set_error, log_enabled, cancelled and deadline_ns. A call that is made to fail has
// no effect; a deposit that is to be committed is consumed all the same. A call that is wrong by itself is told of in the log, as a
// warning: in the field its code alone says so. Used from any thread.
#pragma once

#include <mfdata/plugin.h>

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace mfdata {

inline constexpr const char* kWrongCall = "a wrong call: ";  // how such a warning begins

struct CallFault {
  std::string call;          // name of a member of mfdata_host; empty: any
  std::uint64_t number = 0;  // the how manyth of them from now on; 0: each
  mfdata_rc code = MFDATA_E_IO;
};

class CallFaults {
 public:
  // The names of the calls that can fail.
  static const std::vector<std::string>& names();

  void add(CallFault fault);
  void clear();
  std::uint64_t calls() const;   // that could have failed
  std::uint64_t failed() const;  // that were made to

  // Counts the call. MFDATA_OK: it goes on.
  mfdata_rc at_call(std::string_view name);

 private:
  struct Armed {
    CallFault fault;
    std::uint64_t seen = 0;
  };
  mutable std::mutex mutex_;
  std::vector<Armed> armed_;
  std::uint64_t calls_ = 0;
  std::uint64_t failed_ = 0;
};

// The table of PluginHost whose calls go through the CallFaults of their PluginHost, which has some. Constant.
const mfdata_host* failing_table();

}  // namespace mfdata
