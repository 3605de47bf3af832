// The functions of mfdata_host for deposits, from any thread of a listener: arguments and handles are checked here.
#include <algorithm>

#include "worker/callback.hpp"
#include "worker/host_calls.hpp"
#include "worker/least_sizes.hpp"
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

// Where a deposit goes.
struct Place {
  std::string step;       // dotted
  std::string directory;  // its files come from there
};

std::optional<Place> place_of(const PluginHost& host, std::string_view target) {
  const wire::WorkerSettings& settings = host.settings();
  std::string step(target.empty() ? std::string_view(settings.entry_step) : target), directory = settings.step.slashed();
  for (std::size_t i = 0; target.starts_with('/') && i < settings.watched_directories.size(); ++i) {
    if (host.spool().disk().absolute(settings.watched_directories[i]) != target) continue;
    step = settings.watched_steps[i];
    directory = settings.watched_directories[i];
  }
  if (!std::binary_search(settings.targets.begin(), settings.targets.end(), step)) return std::nullopt;
  step.replace(step.find('/'), 1, ".");
  return Place{std::move(step), std::move(directory)};
}

// What the plugin says of the deposit, as far as its header knows it.
mfdata_rc known_options(const mfdata_deposit_options* how, mfdata_deposit_options& known) {
  constexpr std::size_t kMaxKey = 1024;
  if (!how) return MFDATA_OK;
  if (how->struct_size < kLeastDepositOptions) return MFDATA_E_ARG;
  std::copy_n(reinterpret_cast<const char*>(how), std::min<std::size_t>(how->struct_size, sizeof known), reinterpret_cast<char*>(&known));
  if ((known.flags & ~std::uint32_t{MFDATA_DEPOSIT_SIZED}) != 0) return MFDATA_E_UNSUPPORTED;
  for (const mfdata_str& text : {known.dirname, known.digest_algorithm, known.digest, known.idempotency_key}) {
    if (!usable(text)) return MFDATA_E_ARG;
  }
  return known.idempotency_key.n <= kMaxKey && known.dirname.n <= 4096 ? MFDATA_OK : MFDATA_E_ARG;
}

mfdata_rc expect_digest(const mfdata_deposit_options& how, LiveDeposit& deposit) {
  if (how.digest_algorithm.n == 0) return how.digest.n == 0 ? MFDATA_OK : MFDATA_E_ARG;
  deposit.digest = Digest::of(view(how.digest_algorithm));
  deposit.expected_digest = text_of(how.digest);
  if (!deposit.digest) return MFDATA_E_UNSUPPORTED;
  return deposit.expected_digest.size() == deposit.digest->size() ? MFDATA_OK : MFDATA_E_ARG;
}

mfdata_rc complete(mfdata_ctx* ctx, LiveDeposit& deposit) {
  if (deposit.failed != MFDATA_OK) return deposit.failed;
  if (deposit.deposit.is_repeat()) return MFDATA_OK;
  if (deposit.expected_size && *deposit.expected_size != deposit.bytes) {
    PluginHost::of(ctx).write_log(MFDATA_LOG_DEBUG, "a deposit has " + std::to_string(deposit.bytes) + " bytes, not " + std::to_string(*deposit.expected_size));
    return MFDATA_E_MISMATCH;
  }
  if (deposit.digest && deposit.digest->take() != deposit.expected_digest) {
    PluginHost::of(ctx).write_log(MFDATA_LOG_DEBUG, "a deposit has not the digest that was expected");
    return MFDATA_E_MISMATCH;
  }
  return MFDATA_OK;
}

Deposit::Order order_of(LiveDeposit& deposit) {
  return {&deposit.deposit, deposit.step, deposit.name.empty() ? deposit.uid : deposit.name, deposit.directory, &deposit.tags, {}, deposit.dirname};
}

mfdata_rc committed(mfdata_ctx* ctx, const LiveDeposit& deposit, const Result<void>& result) {
  const bool passes = result.is(Code::kBusy) || result.is(Code::kNoSpace);
  if (!result && !passes) PluginHost::of(ctx).write_log(MFDATA_LOG_ERROR, "a deposit cannot be committed: " + result.error().text);
  if (!result) return refuse(ctx, result.error());
  wire::ProgressPage& page = PluginHost::of(ctx).progress();
  if (deposit.deposit.is_repeat()) {
    ++page.repeats;
  } else {
    ++page.deposits;
    page.deposit_bytes += deposit.bytes;
  }
  return MFDATA_OK;
}

}  // namespace

mfdata_rc pressure(mfdata_ctx* ctx, int64_t* retry_after_ms) {
  if (!ctx) return MFDATA_E_ARG;
  const wire::ProgressPage& page = PluginHost::of(ctx).progress();
  const std::uint32_t state = page.pressure;
  if (retry_after_ms) *retry_after_ms = state == 0 ? 0 : page.retry_after_ms.load();
  return state == 0 ? MFDATA_OK : state == 1 ? MFDATA_E_BUSY : MFDATA_E_FULL;
}

mfdata_rc deposit_open(mfdata_ctx* ctx, mfdata_str target, mfdata_str name, const mfdata_deposit_options* how, mfdata_deposit** deposit) {
  if (!ctx || !deposit || !usable(target)) return MFDATA_E_ARG;
  PluginHost& host = PluginHost::of(ctx);
  if (host.settings().step.kind != WorkerKind::kListener) return MFDATA_E_UNSUPPORTED;
  if (!usable_name(name)) return refuse(ctx, Error{Code::kBadData, 0, "the name of a deposit is a file name of at most 255 bytes: without \"/\", not \".\" or \"..\""});
  mfdata_deposit_options known{};
  if (const mfdata_rc rc = known_options(how, known); rc != MFDATA_OK) return rc;
  auto place = place_of(host, view(target));
  if (!place) return MFDATA_E_NOTFOUND;
  if (const mfdata_rc rc = pressure(ctx, nullptr); rc != MFDATA_OK) return rc;
  const std::string key = known.idempotency_key.n == 0 ? "" : Deposit::key_of(host.settings().step.slashed(), view(known.idempotency_key));
  auto opened = Deposit::open(host.spool(), key);
  if (!opened) return refuse(ctx, opened.error());
  const auto live = std::make_shared<LiveDeposit>(std::move(*opened), std::move(place->step), text_of(name));
  live->directory = std::move(place->directory);
  live->dirname = text_of(known.dirname);
  if ((known.flags & MFDATA_DEPOSIT_SIZED) != 0) live->expected_size = known.expected_size;
  if (const mfdata_rc rc = expect_digest(known, *live); rc != MFDATA_OK) return rc;
  const bool repeated = live->deposit.is_repeat();
  *deposit = host.deposits().add(live);
  return repeated ? MFDATA_REPEATED : MFDATA_OK;
}

mfdata_rc deposit_write(mfdata_ctx* ctx, mfdata_deposit* deposit, const void* bytes, size_t n) {
  if ((!bytes && n) || n > PTRDIFF_MAX) return MFDATA_E_ARG;
  const Held held(ctx, deposit);
  if (held.rc != MFDATA_OK) return held.rc;
  LiveDeposit& open = *held.deposit;
  const std::uint64_t most = PluginHost::of(ctx).settings().max_file_size;
  if (open.failed == MFDATA_E_LIMIT || n > most - open.bytes) return open.failed = MFDATA_E_LIMIT;
  open.bytes += n;
  if (open.deposit.is_repeat()) return MFDATA_OK;
  const std::string_view content(static_cast<const char*>(bytes), n);
  if (open.digest) open.digest->add(content);
  const mfdata_rc rc = answer(ctx, write_all(open.deposit.file(), content, "a deposit"));
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
  if (done && PluginHost::of(ctx).being_created()) return MFDATA_E_STATE;  // whom it would tell may never come about
  const std::lock_guard lock(deposit->mutex);  // a write that is under way ends before
  deposit->ended = true;
  rc = complete(ctx, *deposit);
  if (rc != MFDATA_OK) return rc;
  DepositCommitter& committer = PluginHost::of(ctx).committer();
  if (!done) return committed(ctx, *deposit, committer.commit(order_of(*deposit)));
  const bool taken = committer.commit_later(order_of(*deposit), [ctx, deposit, done, user](const Result<void>& result) {
    const mfdata_rc told = committed(ctx, *deposit, result);
    const ForkGuard guard("done");
    done(user, told);
  });
  return taken ? MFDATA_OK : MFDATA_E_STATE;
}

mfdata_rc deposit_uid(mfdata_ctx* ctx, mfdata_deposit* deposit, mfdata_str* uid) {
  if (!uid) return MFDATA_E_ARG;
  const Held held(ctx, deposit);
  if (held.rc != MFDATA_OK) return held.rc;
  *uid = {held.deposit->uid.c_str(), held.deposit->uid.size()};
  return MFDATA_OK;
}

mfdata_rc deposit_tag_hop(mfdata_ctx* ctx, mfdata_deposit* deposit, mfdata_str name, mfdata_str value, uint32_t flags) {
  if (!usable(name) || !usable(value)) return MFDATA_E_ARG;
  if ((flags & ~std::uint32_t{MFDATA_TAG_NO_LATEST}) != 0) return MFDATA_E_UNSUPPORTED;
  const Held held(ctx, deposit);
  if (held.rc != MFDATA_OK) return held.rc;
  const std::string tail = '.' + PluginHost::of(ctx).settings().step.dotted() + '.' + text_of(name);
  auto set = held.deposit->tags.set('0' + tail, view(value));
  if (set && (flags & MFDATA_TAG_NO_LATEST) == 0) set = held.deposit->tags.set("latest" + tail, view(value));
  return answer(ctx, set);
}

void deposit_abort(mfdata_ctx* ctx, mfdata_deposit* handle) {
  mfdata_rc rc = MFDATA_E_ARG;
  const auto deposit = ctx ? PluginHost::of(ctx).deposits().take(handle, rc) : nullptr;
  if (!deposit) return;
  const std::lock_guard lock(deposit->mutex);
  deposit->ended = true;
}

}  // namespace mfdata::host_calls
