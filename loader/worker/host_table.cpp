// The C functions of mfdata_host: arguments are checked here, everything else is PluginHost's and Treatment's.
#include <algorithm>
#include <cstring>

#include "worker/guarded_call.hpp"
#include "worker/host_calls.hpp"
#include "worker/least_sizes.hpp"
#include "worker/plugin_host.hpp"

namespace mfdata {
namespace host_calls {

mfdata_rc rc_of(const Error& error) {
  switch (error.code) {
    case Code::kGone:
    case Code::kNotFound: return MFDATA_E_NOTFOUND;
    case Code::kExists: return MFDATA_E_STATE;
    case Code::kLimit:
    case Code::kAttribute: return MFDATA_E_LIMIT;
    case Code::kBadData:
    case Code::kBadConfig:
    case Code::kRefused: return MFDATA_E_ARG;
    case Code::kNoSpace: return MFDATA_E_FULL;
    case Code::kBusy: return MFDATA_E_BUSY;
    case Code::kUnsupported: return MFDATA_E_UNSUPPORTED;
    case Code::kForeign:
    case Code::kDestination:
    case Code::kIo: return MFDATA_E_IO;
  }
  return MFDATA_E_IO;
}

// Reports to the log why a host function refused: the code alone says too little.
mfdata_rc refuse(mfdata_ctx* ctx, const Error& error) {
  Treatment* treatment = PluginHost::of(ctx).treatment();
  const bool of_the_system = error.code == Code::kNoSpace || error.code == Code::kDestination;  // not the plugin's failure
  if (treatment && of_the_system) treatment->met = error;
  PluginHost::of(ctx).write_log(MFDATA_LOG_DEBUG, error.text);
  return rc_of(error);
}

mfdata_rc answer(mfdata_ctx* ctx, const Result<void>& result) { return result ? MFDATA_OK : refuse(ctx, result.error()); }

bool usable_file_name(mfdata_str name) { return name.n > 0 && name.n <= 255 && can_be_file_name(view(name)); }

std::string_view without_line_ends(std::string_view text) {
  constexpr std::size_t kMaxReason = 4096;
  text = text.substr(0, text.find_last_not_of(std::string_view("\n\r\t \0", 5)) + 1);
  return text.substr(0, kMaxReason);
}

}  // namespace host_calls

namespace {

using namespace host_calls;

// What a flag of a later version asks for is not left out in silence.
constexpr std::uint32_t kTagFlags = MFDATA_TAG_NO_LATEST;
constexpr std::uint32_t kDeliveryFlags = MFDATA_DELIVERY_DROP_TAGS | MFDATA_DELIVERY_MKDIRS;
// Permission bits: a file is delivered without setuid, setgid and sticky bits, a directory may have the latter two.
constexpr std::uint32_t kFileMode = 0777;
constexpr std::uint32_t kDirectoryMode = 03777;

// ---- any time

const void* query(mfdata_ctx* ctx, const char* id, uint32_t min_size) {
  if (!ctx || !id) return nullptr;
  if (std::strcmp(id, MFDATA_RULES) != 0 || min_size > PluginHost::of(ctx).rules_shown()->struct_size) return nullptr;
  const auto& rules = PluginHost::of(ctx).settings().rules;
  const bool has_code = std::any_of(rules.begin(), rules.end(), [](const SwitchRule& rule) { return rule.type == "plugin"; });
  if (has_code && PluginHost::of(ctx).in_callback()) (void)PluginHost::of(ctx).predicates();  // what is wrong with them is said at the start
  return PluginHost::of(ctx).rules_shown();
}

void log(mfdata_ctx* ctx, int32_t level, mfdata_str message) {
  if (ctx && usable(message)) PluginHost::of(ctx).write_log(level, without_line_ends(view(message)));
}

int32_t log_enabled(mfdata_ctx* ctx, int32_t level) { return ctx && PluginHost::of(ctx).log_enabled(level) ? 1 : 0; }

// Whatever happens, the plugin gets its code back: it is the result of the step.
mfdata_rc set_error(mfdata_ctx* ctx, mfdata_rc code, mfdata_str reason) {
  if (!ctx || !usable(reason)) return code;
  PluginHost& host = PluginHost::of(ctx);
  if (!host.in_callback()) return code;
  try {
    std::string& place = host.treatment() ? host.treatment()->reason : host.reason_of_call();
    place = without_line_ends(view(reason));
  } catch (const std::exception&) {  // no memory for the text
  }
  return code;
}

mfdata_rc set_retry_delay(mfdata_ctx* ctx, int64_t delay_ms) {
  Treatment* treatment = ctx ? PluginHost::of(ctx).treatment() : nullptr;
  if (!treatment) return MFDATA_E_STATE;
  if (delay_ms < 0) return MFDATA_E_ARG;
  treatment->retry_delay_ms = delay_ms;
  return MFDATA_OK;
}

mfdata_rc set_file_error(mfdata_ctx* ctx, mfdata_file* file, mfdata_str reason, int64_t delay_ms) {
  Treatment* treatment = ctx ? PluginHost::of(ctx).treatment() : nullptr;
  if (!treatment) return MFDATA_E_STATE;
  if (!file || !treatment->owns(file) || file->input < 0 || !usable(reason)) return MFDATA_E_ARG;
  file->reason = without_line_ends(view(reason));
  if (delay_ms >= 0) file->retry_delay_ms = delay_ms;
  return MFDATA_OK;
}

int32_t cancelled(mfdata_ctx* ctx) { return ctx && PluginHost::of(ctx).told_cancelled() ? 1 : 0; }
int64_t deadline_ns(mfdata_ctx* ctx) { return ctx ? PluginHost::of(ctx).deadline_ns() : 0; }

// ---- configuration

// What stands at a path, and MFDATA_OK; or why there is nothing.
mfdata_rc config_at(mfdata_ctx* ctx, mfdata_str path, const ConfigValue*& found) {
  if (!ctx || !usable(path)) return MFDATA_E_ARG;
  const PluginHost& host = PluginHost::of(ctx);
  if (!host.in_callback()) return MFDATA_E_STATE;
  found = host.settings().custom.at_path(view(path));
  return found ? MFDATA_OK : MFDATA_E_NOTFOUND;
}

mfdata_rc config_text(mfdata_ctx* ctx, mfdata_str path, mfdata_str* value) {
  if (!value) return MFDATA_E_ARG;
  const ConfigValue* found = nullptr;
  if (const mfdata_rc rc = config_at(ctx, path, found); rc != MFDATA_OK) return rc;
  PluginHost& host = PluginHost::of(ctx);
  switch (found->kind()) {
    case ConfigValue::Kind::kString: *value = {found->string().data(), found->string().size()}; return MFDATA_OK;
    case ConfigValue::Kind::kInteger: *value = host.keep(std::to_string(found->integer())); return MFDATA_OK;
    case ConfigValue::Kind::kReal: *value = host.keep(std::to_string(found->real())); return MFDATA_OK;
    case ConfigValue::Kind::kBool: *value = host.keep(found->boolean() ? "true" : "false"); return MFDATA_OK;
    case ConfigValue::Kind::kArray:
    case ConfigValue::Kind::kTable: return MFDATA_E_ARG;
  }
  return MFDATA_E_ARG;
}

mfdata_rc config_integer(mfdata_ctx* ctx, mfdata_str path, int64_t* value) {
  if (!value) return MFDATA_E_ARG;
  const ConfigValue* found = nullptr;
  if (const mfdata_rc rc = config_at(ctx, path, found); rc != MFDATA_OK) return rc;
  if (found->kind() == ConfigValue::Kind::kBool) {
    *value = found->boolean() ? 1 : 0;
    return MFDATA_OK;
  }
  if (found->kind() != ConfigValue::Kind::kInteger) return MFDATA_E_ARG;
  *value = found->integer();
  return MFDATA_OK;
}

mfdata_rc config_real(mfdata_ctx* ctx, mfdata_str path, double* value) {
  if (!value) return MFDATA_E_ARG;
  const ConfigValue* found = nullptr;
  if (const mfdata_rc rc = config_at(ctx, path, found); rc != MFDATA_OK) return rc;
  if (found->kind() != ConfigValue::Kind::kInteger && found->kind() != ConfigValue::Kind::kReal) return MFDATA_E_ARG;
  *value = found->real();
  return MFDATA_OK;
}

mfdata_rc config_count(mfdata_ctx* ctx, mfdata_str path, uint64_t* count) {
  if (!count) return MFDATA_E_ARG;
  const ConfigValue* found = nullptr;
  if (const mfdata_rc rc = config_at(ctx, path, found); rc != MFDATA_OK) return rc;
  if (found->kind() == ConfigValue::Kind::kArray) {
    *count = found->array().size();
  } else if (found->kind() == ConfigValue::Kind::kTable) {
    *count = found->table().size();
  } else {
    return MFDATA_E_ARG;
  }
  return MFDATA_OK;
}

mfdata_rc config_key(mfdata_ctx* ctx, mfdata_str path, uint64_t index, mfdata_str* name) {
  if (!name) return MFDATA_E_ARG;
  const ConfigValue* found = nullptr;
  if (const mfdata_rc rc = config_at(ctx, path, found); rc != MFDATA_OK) return rc;
  if (found->kind() != ConfigValue::Kind::kTable) return MFDATA_E_ARG;
  if (index >= found->table().size()) return MFDATA_E_NOTFOUND;
  const std::string& key = found->table()[index].first;
  *name = {key.data(), key.size()};
  return MFDATA_OK;
}

// ---- files and tags, in a call

// The treatment of the call, when the file is one of its own.
Treatment* hold(mfdata_ctx* ctx, const mfdata_file* file, mfdata_rc& rc) {
  Treatment* treatment = ctx ? PluginHost::of(ctx).treatment() : nullptr;
  rc = !treatment ? MFDATA_E_STATE : !file || !treatment->owns(file) ? MFDATA_E_ARG : MFDATA_OK;
  return rc == MFDATA_OK ? treatment : nullptr;
}

// The treatment under way, when it may make and stage files: a predicate's may not.
Treatment* making(mfdata_ctx* ctx, mfdata_rc& rc) {
  Treatment* treatment = ctx ? PluginHost::of(ctx).treatment() : nullptr;
  rc = !treatment ? MFDATA_E_STATE : treatment->read_only() ? MFDATA_E_UNSUPPORTED : MFDATA_OK;
  return rc == MFDATA_OK ? treatment : nullptr;
}

// The same of a file that is to be changed or staged.
Treatment* hold_to_change(mfdata_ctx* ctx, const mfdata_file* file, mfdata_rc& rc) {
  Treatment* treatment = hold(ctx, file, rc);
  return treatment ? making(ctx, rc) : nullptr;
}

mfdata_rc file_path(mfdata_ctx* ctx, mfdata_file* file, mfdata_str* path) {
  mfdata_rc rc;
  if (!hold(ctx, file, rc) || !path) return rc == MFDATA_OK ? MFDATA_E_ARG : rc;
  *path = {file->absolute.c_str(), file->absolute.size()};
  return MFDATA_OK;
}

// Known of every file of a call, and stored in no context: of a new file what it will be when it is the next output.
constexpr std::string_view kOwnUid = "latest.core.uid";

mfdata_rc tag_get(mfdata_ctx* ctx, mfdata_file* file, mfdata_str name, mfdata_str* value) {
  mfdata_rc rc;
  Treatment* treatment = hold(ctx, file, rc);
  if (!treatment) return rc;
  if (!usable(name) || !value) return MFDATA_E_ARG;
  if (view(name) == kOwnUid && !treatment->jobs().empty()) {
    std::string uid = treatment->uid_of(file);
    if (uid.empty()) return MFDATA_E_NOTFOUND;
    *value = PluginHost::of(ctx).keep(std::move(uid));
    return MFDATA_OK;
  }
  const auto found = file->tags.get(view(name));
  if (!found) return MFDATA_E_NOTFOUND;
  *value = PluginHost::of(ctx).keep(std::string(*found));  // the tag may be set again while the plugin still reads it
  return MFDATA_OK;
}

mfdata_rc tag_set(mfdata_ctx* ctx, mfdata_file* file, mfdata_str name, mfdata_str value) {
  mfdata_rc rc;
  if (!hold_to_change(ctx, file, rc)) return rc;
  if (!usable(name) || !usable(value) || TagSet::is_reserved(view(name))) return MFDATA_E_ARG;
  return answer(ctx, file->tags.set(view(name), view(value)));
}

mfdata_rc tag_delete(mfdata_ctx* ctx, mfdata_file* file, mfdata_str name) {
  mfdata_rc rc;
  if (!hold_to_change(ctx, file, rc)) return rc;
  if (!usable(name) || TagSet::is_reserved(view(name))) return MFDATA_E_ARG;
  return file->tags.erase(view(name)) ? MFDATA_OK : MFDATA_E_NOTFOUND;
}

mfdata_rc tag_each(mfdata_ctx* ctx, mfdata_file* file, mfdata_tag_visit visit, void* user) {
  mfdata_rc rc;
  if (!hold(ctx, file, rc)) return rc;
  if (!visit) return MFDATA_E_ARG;
  const TagSet tags = file->tags;  // a visitor that changes tags harms nobody
  std::string name, value;         // with a zero byte behind each
  for (const TagSet::Tag& tag : tags) {
    name = tag.name;
    value = tag.value;
    try {
      rc = visit(user, {name.c_str(), name.size()}, {value.c_str(), value.size()});
    } catch (const abi::__forced_unwind&) {  // as GuardedCall: the end of a thread
      throw;
    } catch (...) {  // the plugin's, which must not pass through here
      return MFDATA_E_EXCEPTION;
    }
    if (rc != 0) return rc;
  }
  return MFDATA_OK;
}

mfdata_rc tag_set_hop(mfdata_ctx* ctx, mfdata_file* file, mfdata_str name, mfdata_str value, uint32_t flags) {
  mfdata_rc rc;
  Treatment* treatment = hold_to_change(ctx, file, rc);
  if (!treatment) return rc;
  if (!usable(name) || !usable(value)) return MFDATA_E_ARG;
  if ((flags & ~kTagFlags) != 0) return MFDATA_E_UNSUPPORTED;
  const std::string tail = '.' + PluginHost::of(ctx).settings().step.dotted() + '.' + text_of(name);
  auto set = file->tags.set(std::to_string(treatment->hop_of(*file)) + tail, view(value));
  if (set && (flags & MFDATA_TAG_NO_LATEST) == 0) set = file->tags.set("latest" + tail, view(value));
  return answer(ctx, set);
}

mfdata_rc tag_get_latest(mfdata_ctx* ctx, mfdata_file* file, mfdata_str plugin, mfdata_str step, mfdata_str name,
                         mfdata_str* value) {
  if (!ctx || !usable(plugin) || !usable(step) || !usable(name)) return MFDATA_E_ARG;
  const StepSettings& mine = PluginHost::of(ctx).settings().step;
  const std::string full = "latest." + (plugin.n ? text_of(plugin) : mine.plugin) + '.' +
                           (step.n ? text_of(step) : mine.name) + '.' + text_of(name);
  return tag_get(ctx, file, {full.data(), full.size()}, value);
}

mfdata_rc keep_file(mfdata_ctx* ctx, Result<mfdata_file*> made, mfdata_file** file) {
  if (!made) return refuse(ctx, made.error());
  *file = *made;
  return MFDATA_OK;
}

mfdata_rc tmp_file(mfdata_ctx* ctx, const mfdata_file* inherit, mfdata_file** file) {
  mfdata_rc rc;
  Treatment* treatment = making(ctx, rc);
  if (!treatment) return rc;
  if (!file || (inherit && !treatment->owns(inherit))) return MFDATA_E_ARG;
  return keep_file(ctx, treatment->tmp_file(inherit), file);
}

mfdata_rc scratch_dir(mfdata_ctx* ctx, mfdata_str* path) {
  mfdata_rc rc;
  Treatment* treatment = making(ctx, rc);
  if (!treatment) return rc;
  if (!path) return MFDATA_E_ARG;
  auto directory = treatment->scratch_dir();
  if (!directory) return refuse(ctx, directory.error());
  *path = PluginHost::of(ctx).keep(*directory);
  return MFDATA_OK;
}

mfdata_rc adopt(mfdata_ctx* ctx, mfdata_str path, const mfdata_file* inherit, mfdata_file** file) {
  mfdata_rc rc;
  Treatment* treatment = making(ctx, rc);
  if (!treatment) return rc;
  if (!file || !usable(path) || (inherit && !treatment->owns(inherit))) return MFDATA_E_ARG;
  return keep_file(ctx, treatment->adopt(text_of(path), inherit), file);
}

bool known_op(int32_t op) { return op >= MFDATA_OP_MOVE && op <= MFDATA_OP_LINK; }

mfdata_rc emit(mfdata_ctx* ctx, mfdata_file* file, int32_t op, mfdata_str target) {
  mfdata_rc rc;
  Treatment* treatment = hold_to_change(ctx, file, rc);
  if (!treatment) return rc;
  if (!known_op(op) || !usable(target)) return MFDATA_E_ARG;
  return answer(ctx, treatment->emit(file, static_cast<Op>(op), text_of(target)));
}

mfdata_rc deliver(mfdata_ctx* ctx, mfdata_file* file, int32_t op, mfdata_str directory, const mfdata_delivery* how) {
  mfdata_rc rc;
  Treatment* treatment = hold_to_change(ctx, file, rc);
  if (!treatment) return rc;
  if (!known_op(op) || !usable(directory)) return MFDATA_E_ARG;
  if (how && how->struct_size < kLeastDelivery) return MFDATA_E_ARG;
  mfdata_delivery known{};
  if (how) std::copy_n(reinterpret_cast<const char*>(how), std::min<std::size_t>(how->struct_size, sizeof known), reinterpret_cast<char*>(&known));
  if ((known.flags & ~kDeliveryFlags) != 0) return MFDATA_E_UNSUPPORTED;
  if ((known.mode & ~kFileMode) != 0 || (known.directory_mode & ~kDirectoryMode) != 0) {
    return refuse(ctx, Error{Code::kBadData, 0, "the mode of a delivered file has permission bits only (0777), that of a directory also the setgid and the sticky bit"});
  }
  if (!usable(known.basename) || !usable(known.tags_suffix)) return MFDATA_E_ARG;
  DeliveryStyle style{known.mode, text_of(known.tags_suffix), (known.flags & MFDATA_DELIVERY_DROP_TAGS) != 0};
  if (style.tags_suffix.find_first_of(std::string_view("/\0", 2)) != std::string::npos) return MFDATA_E_ARG;
  const MakeDirectories make{(known.flags & MFDATA_DELIVERY_MKDIRS) != 0, known.directory_mode};
  rc = answer(ctx, treatment->deliver(file, static_cast<Op>(op), text_of(directory), text_of(known.basename), style, make));
  const PluginHost& host = PluginHost::of(ctx);
  if (rc == MFDATA_OK && host.log_enabled(MFDATA_LOG_DEBUG)) host.write_log(MFDATA_LOG_DEBUG, "to be delivered: " + treatment->staged().back().path);
  return rc;
}

mfdata_rc file_set_name(mfdata_ctx* ctx, mfdata_file* file, mfdata_str name) {
  mfdata_rc rc;
  if (!hold_to_change(ctx, file, rc)) return rc;
  if (!usable(name) || !usable_file_name(name)) return MFDATA_E_ARG;
  if (file->input >= 0) return MFDATA_E_STATE;
  return answer(ctx, file->tags.set("first.core.original_basename", view(name)));
}

// A host function that is not in this list is in no table, and one that is has the wall around it.
template <auto... Function>
constexpr mfdata_host table_of() {
  return {sizeof(mfdata_host), MFDATA_ABI_MAJOR, MFDATA_ABI_MINOR, 0,
          {"mfdata-worker", 13}, {MFDATA_VERSION, sizeof(MFDATA_VERSION) - 1},
          GuardedCall<Function>::call...};
}

constexpr mfdata_host kTable = table_of<
    query, log, log_enabled, set_error, set_file_error, set_retry_delay, cancelled, deadline_ns,
    config_text, config_integer, config_real, config_count, config_key,
    file_path, tag_get, tag_set, tag_delete, tag_each, tag_set_hop, tag_get_latest,
    tmp_file, scratch_dir, adopt, emit, deliver, metric_new, metric_add,
    deposit_open, deposit_write, deposit_tag, deposit_commit, deposit_abort, pressure, deposit_uid, deposit_tag_hop,
    watched_directory, state_dir, report_health, watch_path, listen_socket, file_set_name>();

}  // namespace

const mfdata_host* PluginHost::table() { return &kTable; }

}  // namespace mfdata
