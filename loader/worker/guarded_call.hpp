// The wall around the functions that a plugin calls: whatever a host function throws stays in the host (rule A28).
//
// A C function of a table is GuardedCall<function>::call. What it throws becomes its result: E_NOMEM, E_ARG for what is
// too large to be true, otherwise E_IO; NULL or 0 where the result is no code. The end of a thread that is cancelled
// (pthread_cancel) is no exception: it goes on.
#pragma once

#include <cxxabi.h>
#include <mfdata/plugin.h>

#include <new>
#include <stdexcept>
#include <type_traits>

namespace mfdata {

// Of the exception in hand.
inline mfdata_rc code_of_exception() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return MFDATA_E_NOMEM;
  } catch (const std::logic_error&) {  // length_error, out_of_range, invalid_argument
    return MFDATA_E_ARG;
  } catch (...) {
    return MFDATA_E_IO;
  }
}

template <auto Function>
struct GuardedCall;
template <class R, class... A, R (*Function)(A...)>
struct GuardedCall<Function> {
  static R call(A... arguments) {
    try {
      return Function(arguments...);
    } catch (const abi::__forced_unwind&) {
      throw;
    } catch (...) {
      if constexpr (std::is_same_v<R, mfdata_rc>) {
        return code_of_exception();
      } else {
        return R();
      }
    }
  }
};

}  // namespace mfdata
