// The functions of mfdata_host for deposits, from any thread of a listener: arguments and handles are checked here.
#include <algorithm>

#include "worker/callback.hpp"
#include "worker/host_calls.hpp"
#include "worker/plugin_host.hpp"

namespace mfdata::host_calls {
namespace {

constexpr std::size_t kMaxName = 255;

// Of a name that is empty: the uid of the deposit.
bool usable_name(mfdata_str name) { return usable(name) && name.n <= kMaxName && (name.n == 0 || can_be_file_name(view(name))); }

// A live deposit whose mutex is held, or none with the reason.
struct Held {
  Held(mfdata_ctx* ctx, const mfdata_deposit* handle) : deposit(ctx ? PluginHost::of(ctx).deposits().find(handle, rc) : nullptr) {
    if (!deposit) return;
    lock = std::unique_lock(deposit->mutex);
    if (deposit->ended) rc = MFDATA_E_STATE;
  }

  mfdata_rc rc = MFDATA_E_ARG;
  std::shared_ptr<LiveDeposit> deposit;
  std::unique_lock<std::mutex> lock;
};

mfdata_rc commit(mfdata_ctx* ctx, LiveDeposit& deposit) {
  if (deposit.failed != MFDATA_OK) return deposit.failed;
  const std::string name = deposit.name.empty() ? deposit.deposit.uid() : deposit.name;
  return answer(ctx, deposit.deposit.commit(deposit.step, name, PluginHost::of(ctx).settings().step.slashed(), deposit.tags));
}

}  // namespace

mfdata_rc pressure(mfdata_ctx* ctx, int64_t* retry_after_ms) {
  if (!ctx) return MFDATA_E_ARG;
  const wire::ProgressPage& page = PluginHost::of(ctx).progress();
  const std::uint32_t state = page.pressure;
  if (retry_after_ms) *retry_after_ms = state == 0 ? 0 : page.retry_after_ms.load();
  return state == 0 ? MFDATA_OK : state == 1 ? MFDATA_E_BUSY : MFDATA_E_FULL;
}

mfdata_rc deposit_open(mfdata_ctx* ctx, mfdata_str target, mfdata_str name, mfdata_deposit** deposit) {
  if (!ctx || !deposit || !usable(target)) return MFDATA_E_ARG;
  PluginHost& host = PluginHost::of(ctx);
  const wire::WorkerSettings& settings = host.settings();
  if (settings.step.kind != WorkerKind::kListener) return MFDATA_E_UNSUPPORTED;
  if (!usable_name(name)) return refuse(ctx, Error{Code::kBadData, 0, "the name of a deposit is a file name of at most 255 bytes: without \"/\", not \".\" or \"..\""});
  const std::string step = target.n ? text_of(target) : settings.entry_step;
  if (!std::binary_search(settings.targets.begin(), settings.targets.end(), step)) return MFDATA_E_NOTFOUND;
  if (const mfdata_rc rc = pressure(ctx, nullptr); rc != MFDATA_OK) return rc;
  auto opened = Deposit::open(host.spool());
  if (!opened) return refuse(ctx, opened.error());
  std::string dotted = step;
  dotted.replace(step.find('/'), 1, ".");
  *deposit = host.deposits().add(std::make_shared<LiveDeposit>(std::move(*opened), std::move(dotted), text_of(name)));
  return MFDATA_OK;
}

mfdata_rc deposit_write(mfdata_ctx* ctx, mfdata_deposit* deposit, const void* bytes, size_t n) {
  if ((!bytes && n) || n > PTRDIFF_MAX) return MFDATA_E_ARG;
  const Held held(ctx, deposit);
  if (held.rc != MFDATA_OK) return held.rc;
  LiveDeposit& open = *held.deposit;
  const std::uint64_t most = PluginHost::of(ctx).settings().max_file_size;
  if (open.failed == MFDATA_E_LIMIT || n > most - open.bytes) return open.failed = MFDATA_E_LIMIT;
  open.bytes += n;
  const mfdata_rc rc = answer(ctx, write_all(open.deposit.file(), {static_cast<const char*>(bytes), n}, "a deposit"));
  if (rc != MFDATA_OK) open.failed = rc;
  return rc;
}

mfdata_rc deposit_tag(mfdata_ctx* ctx, mfdata_deposit* deposit, mfdata_str name, mfdata_str value) {
  if (!usable(name) || !usable(value) || TagSet::is_reserved(view(name))) return MFDATA_E_ARG;
  const Held held(ctx, deposit);
  return held.rc != MFDATA_OK ? held.rc : answer(ctx, held.deposit->tags.set(view(name), view(value)));
}

mfdata_rc deposit_commit(mfdata_ctx* ctx, mfdata_deposit* handle, mfdata_deposit_done done, void* user) {
  if (!ctx) return MFDATA_E_ARG;
  mfdata_rc rc = MFDATA_E_ARG;
  const std::shared_ptr<LiveDeposit> deposit = PluginHost::of(ctx).deposits().take(handle, rc);
  if (!deposit) return rc;
  {
    const std::lock_guard lock(deposit->mutex);  // a write that is under way ends before
    deposit->ended = true;
    rc = commit(ctx, *deposit);
  }
  if (!done) return rc;
  const ForkGuard guard("done");
  done(user, rc);
  return MFDATA_OK;
}

void deposit_abort(mfdata_ctx* ctx, mfdata_deposit* handle) {
  mfdata_rc rc = MFDATA_E_ARG;
  const auto deposit = ctx ? PluginHost::of(ctx).deposits().take(handle, rc) : nullptr;
  if (!deposit) return;
  const std::lock_guard lock(deposit->mutex);
  deposit->ended = true;
}

}  // namespace mfdata::host_calls
