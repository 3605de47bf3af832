// What concerns a component as a whole: what it remembers, how it fares, where it listens.
#include "worker/host_calls.hpp"
#include "worker/plugin_host.hpp"

namespace mfdata::host_calls {
namespace {

bool is_listener(mfdata_ctx* ctx) { return PluginHost::of(ctx).settings().step.kind == WorkerKind::kListener; }

}  // namespace

mfdata_rc watched_directory(mfdata_ctx* ctx, uint64_t index, mfdata_str* path) {
  if (!ctx || !path) return MFDATA_E_ARG;
  if (!is_listener(ctx)) return MFDATA_E_UNSUPPORTED;
  const std::vector<std::string>& all = PluginHost::of(ctx).watched_directories();
  if (index >= all.size()) return MFDATA_E_NOTFOUND;
  *path = {all[index].data(), all[index].size()};
  return MFDATA_OK;
}

mfdata_rc state_dir(mfdata_ctx* ctx, mfdata_str* path) {
  if (!ctx || !path) return MFDATA_E_ARG;
  PluginHost& host = PluginHost::of(ctx);
  if (host.settings().task == wire::Task::kPredicates) return MFDATA_E_UNSUPPORTED;
  if (!host.in_callback() && !is_listener(ctx)) return MFDATA_E_STATE;
  auto directory = host.state_dir();
  if (!directory) return refuse(ctx, directory.error());
  *path = host.keep_for_life(std::move(*directory));
  return MFDATA_OK;
}

mfdata_rc report_health(mfdata_ctx* ctx, int32_t state, mfdata_str text) {
  constexpr std::size_t kMaxText = 1000;
  if (!ctx || !usable(text) || state < MFDATA_HEALTH_OK || state > MFDATA_HEALTH_FAILED) return MFDATA_E_ARG;
  if (PluginHost::of(ctx).settings().task == wire::Task::kPredicates) return MFDATA_E_UNSUPPORTED;
  PluginHost::of(ctx).report_health(state, std::string(without_line_ends(view(text)).substr(0, kMaxText)));
  return MFDATA_OK;
}

mfdata_rc watch_path(mfdata_ctx* ctx, mfdata_str path) {
  if (!ctx || !usable(path) || path.n == 0 || path.p[0] != '/' || view(path).find('\0') != std::string_view::npos) return MFDATA_E_ARG;
  if (!is_listener(ctx)) return MFDATA_E_UNSUPPORTED;
  return answer(ctx, PluginHost::of(ctx).watch_path(text_of(path)));
}

mfdata_rc listen_socket(mfdata_ctx* ctx, mfdata_str address, uint32_t mode, int32_t* fd) {
  if (!ctx || !fd || !usable(address) || address.n == 0 || address.n > wire::kMaxAddress || mode > 0777) return MFDATA_E_ARG;
  if (view(address).find('\0') != std::string_view::npos) return MFDATA_E_ARG;
  PluginHost& host = PluginHost::of(ctx);
  if (!is_listener(ctx)) return MFDATA_E_UNSUPPORTED;
  if (!host.creating()) return MFDATA_E_STATE;
  if (!is_address(text_of(address))) {
    return refuse(ctx, Error{Code::kBadData, 0, "an address is \"127.0.0.1:9091\", \"[::1]:9091\" in numbers, or the absolute path of a unix socket, not \"" + text_of(address) + '"'});
  }
  auto socket = host.listen_socket(text_of(address), mode);
  if (!socket) {
    host.write_log(MFDATA_LOG_ERROR, "\"" + text_of(address) + "\": " + socket.error().text);
    return rc_of(socket.error());
  }
  *fd = socket->release();
  return MFDATA_OK;
}

}  // namespace mfdata::host_calls
