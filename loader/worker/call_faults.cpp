#include "worker/call_faults.hpp"

#include <algorithm>
#include <cerrno>
#include <type_traits>

#include "worker/guarded_call.hpp"
#include "worker/plugin_host.hpp"

namespace mfdata {
namespace {

template <std::size_t N>
struct Word {
  char text[N];
  constexpr Word(const char (&from)[N]) { std::copy_n(from, N, text); }
  constexpr std::string_view view() const { return {text, N - 1}; }
};

mfdata_rc fault_of(mfdata_ctx* ctx, std::string_view name) {
  if (!ctx) return MFDATA_OK;  // the host itself refuses that
  PluginHost& host = PluginHost::of(ctx);
  const mfdata_rc code = host.faults()->at_call(name);
  if (code == MFDATA_OK) return code;
  if (code == MFDATA_E_FULL && host.treatment()) host.treatment()->met = Error{Code::kNoSpace, ENOSPC, "the disk is full"};  // as when the system says so
  host.write_log(MFDATA_LOG_DEBUG, std::string(name) + " was made to fail with " + std::to_string(code));
  return code;
}

// What a plugin of the field is told by a code alone. The type of a key may be found out by asking for it.
void tell_wrong(mfdata_ctx* ctx, std::string_view name, mfdata_rc result) {
  if (!ctx || name.starts_with("config_") || (result != MFDATA_E_ARG && result != MFDATA_E_STATE)) return;
  const char* why = result == MFDATA_E_ARG ? "MFDATA_E_ARG: an argument is wrong" : "MFDATA_E_STATE: not at this time, on this thread, or with this file or deposit";
  PluginHost::of(ctx).write_log(MFDATA_LOG_WARNING, std::string(kWrongCall) + std::string(name) + " returned " + why);
}

// The function of one member that fails when it is its turn: as an error, or as nothing found.
template <auto Member, Word Name>
struct Failing;
template <class R, class... A, R (*mfdata_host::*Member)(mfdata_ctx*, A...), Word Name>
struct Failing<Member, Name> {
  static R call(mfdata_ctx* ctx, A... arguments) {
    const mfdata_rc code = fault_of(ctx, Name.view());
    if (code == MFDATA_OK) {
      const R result = (PluginHost::table()->*Member)(ctx, arguments...);
      if constexpr (!std::is_pointer_v<R>) tell_wrong(ctx, Name.view(), result);
      return result;
    }
    if constexpr (std::is_pointer_v<R>) {
      return nullptr;
    } else {
      return code;
    }
  }
};

mfdata_rc commit(mfdata_ctx* ctx, mfdata_deposit* deposit, mfdata_deposit_done done, void* user) {
  const mfdata_rc code = fault_of(ctx, "deposit_commit");
  if (code == MFDATA_OK) return PluginHost::table()->deposit_commit(ctx, deposit, done, user);
  PluginHost::table()->deposit_abort(ctx, deposit);
  return code;
}

struct FailingTable {
  mfdata_host host = *PluginHost::table();
  std::vector<std::string> names;

  template <auto Member, Word Name>
  void add() {
    host.*Member = GuardedCall<&Failing<Member, Name>::call>::call;
    names.emplace_back(Name.view());
  }
  FailingTable() {
#define MFDATA_CAN_FAIL(member) add<&mfdata_host::member, #member>()
    MFDATA_CAN_FAIL(query);
    MFDATA_CAN_FAIL(set_file_error);
    MFDATA_CAN_FAIL(set_retry_delay);
    MFDATA_CAN_FAIL(config_text);
    MFDATA_CAN_FAIL(config_integer);
    MFDATA_CAN_FAIL(config_real);
    MFDATA_CAN_FAIL(config_count);
    MFDATA_CAN_FAIL(config_key);
    MFDATA_CAN_FAIL(file_path);
    MFDATA_CAN_FAIL(tag_get);
    MFDATA_CAN_FAIL(tag_set);
    MFDATA_CAN_FAIL(tag_delete);
    MFDATA_CAN_FAIL(tag_each);
    MFDATA_CAN_FAIL(tag_set_hop);
    MFDATA_CAN_FAIL(tag_get_latest);
    MFDATA_CAN_FAIL(tmp_file);
    MFDATA_CAN_FAIL(scratch_dir);
    MFDATA_CAN_FAIL(adopt);
    MFDATA_CAN_FAIL(emit);
    MFDATA_CAN_FAIL(deliver);
    MFDATA_CAN_FAIL(metric_new);
    MFDATA_CAN_FAIL(metric_add);
    MFDATA_CAN_FAIL(deposit_open);
    MFDATA_CAN_FAIL(deposit_write);
    MFDATA_CAN_FAIL(deposit_tag);
    MFDATA_CAN_FAIL(pressure);
    MFDATA_CAN_FAIL(deposit_uid);
    MFDATA_CAN_FAIL(deposit_tag_hop);
    MFDATA_CAN_FAIL(watched_directory);
    MFDATA_CAN_FAIL(state_dir);
    MFDATA_CAN_FAIL(report_health);
    MFDATA_CAN_FAIL(watch_path);
    MFDATA_CAN_FAIL(listen_socket);
    MFDATA_CAN_FAIL(file_set_name);
#undef MFDATA_CAN_FAIL
    host.deposit_commit = GuardedCall<commit>::call;
    names.emplace_back("deposit_commit");
  }
};

const FailingTable& table() {
  static const FailingTable kTable;
  return kTable;
}

}  // namespace

const std::vector<std::string>& CallFaults::names() { return table().names; }

const mfdata_host* failing_table() { return &table().host; }

void CallFaults::add(CallFault fault) {
  const std::lock_guard lock(mutex_);
  armed_.push_back({std::move(fault)});
}

void CallFaults::clear() {
  const std::lock_guard lock(mutex_);
  armed_.clear();
}

std::uint64_t CallFaults::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

std::uint64_t CallFaults::failed() const {
  const std::lock_guard lock(mutex_);
  return failed_;
}

mfdata_rc CallFaults::at_call(std::string_view name) {
  const std::lock_guard lock(mutex_);
  ++calls_;
  mfdata_rc code = MFDATA_OK;
  for (Armed& armed : armed_) {
    if (!armed.fault.call.empty() && armed.fault.call != name) continue;
    ++armed.seen;
    if (code == MFDATA_OK && (armed.fault.number == 0 || armed.seen == armed.fault.number)) code = armed.fault.code;
  }
  failed_ += code != MFDATA_OK;
  return code;
}

}  // namespace mfdata
