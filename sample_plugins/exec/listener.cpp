#include "listener.hpp"

#include <sys/eventfd.h>
#include <sys/stat.h>

namespace sdk = mfdata::sdk;

namespace exec_protocol {
namespace {

constexpr std::size_t kMaxUnderWay = 1000;
constexpr std::int64_t kSecond_ns = 1'000'000'000;

std::string joined(const std::string& directory, const std::string& path) {
  return path.starts_with('/') ? path : directory + '/' + path;
}

const char* status_of(mfdata_rc rc) {
  switch (rc) {
    case MFDATA_OK: return "ok";
    case MFDATA_E_BUSY: return "busy";
    case MFDATA_E_FULL: return "full";
    case MFDATA_E_IO:
    case MFDATA_E_NOMEM: return "retry";
    default: return "fail";
  }
}

std::string reason_of(mfdata_rc rc, const char* doing, std::string_view what) {
  try {
    sdk::expect(rc, doing, what);
    return "";
  } catch (const sdk::Error& error) {
    return error.what();
  }
}

}  // namespace

ExecListener::ExecListener(const sdk::Context& context)
    : Listener(context),
      scratch_(context.text("deposit_dir", "")),
      stop_timeout_s_(context.real("stop_timeout", 5)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      program_(context, "listener", {"pressure", "deposit-size"},
               member("scratch", scratch_.path(), Encoding::kSurrogates)) {
  if (wake_.get() < 0) throw sdk::Error(MFDATA_E_IO, std::string("cannot make an eventfd: ") + std::strerror(errno));
}

void ExecListener::stop() noexcept {
  stopping_ = true;
  wake();
}

void ExecListener::wake() const noexcept { (void)!::eventfd_write(wake_.get(), 1); }

void ExecListener::forget_wake() const {
  eventfd_t ignored;
  (void)!::eventfd_read(wake_.get(), &ignored);
}

sdk::Result ExecListener::run() {
  while (true) {
    reply_to_finished();
    tell_pressure();
    const std::int64_t now = sdk::detail::monotonic_ns();
    if (stopping_ && killed_at_ns_ == 0) {
      program_.say(stop_message());
      killed_at_ns_ = now + static_cast<std::int64_t>(stop_timeout_s_ * 1e9);
    }
    if (killed_at_ns_ > 0 && now > killed_at_ns_) {
      component().warning("the program has not ended within stop_timeout, and is killed");
      program_.end();
      return sdk::Result::ok();
    }
    if (under_way_ >= kMaxUnderWay) {  // it waits until there is room
      pollfd woken{wake_.get(), POLLIN, 0};
      ::poll(&woken, 1, 1000);
      forget_wake();
      continue;
    }
    const std::int64_t until = killed_at_ns_ > 0 ? std::min(killed_at_ns_ + 1, now + kSecond_ns) : now + kSecond_ns;
    const Program::Event event = program_.next(until, wake_.get());
    if (event.what == Program::What::kWoken) forget_wake();
    if (event.what == Program::What::kEnded || event.what == Program::What::kBroken) return ended(event.why);
    if (event.what != Program::What::kMessage) continue;
    const Deposit* deposit = std::get_if<Deposit>(&event.message);
    if (!deposit) return ended("wrote a message that is none of a listener");
    take(*deposit);
  }
}

// Deposits whose commit is under way come to their end, though nobody hears of it.
sdk::Result ExecListener::ended(const std::string& why) {
  program_.end();
  return killed_at_ns_ > 0 ? sdk::Result::ok() : sdk::Result::fail("the program " + why);
}

// ---- one deposit

void ExecListener::take(const Deposit& deposit) {
  auto commit = std::make_unique<Commit>();
  commit->listener = this;
  commit->id = deposit.id;
  if (!deposit.keep && !deposit.path.empty()) commit->path = joined(scratch_.path(), deposit.path);
  if (!deposit.wrong.empty()) return finish(std::move(commit), MFDATA_E_ARG, deposit.wrong);
  const mfdata_host* host = component().host();
  mfdata_ctx* ctx = component().raw();
  mfdata_deposit* open = nullptr;
  mfdata_rc rc = host->deposit_open(ctx, sdk::c(deposit.to), sdk::c(deposit.name), nullptr, &open);
  if (rc != MFDATA_OK) return finish(std::move(commit), rc, reason_of(rc, "deposit for", deposit.to));
  std::string reason;
  rc = write(deposit, open, reason);
  for (const auto& [name, value] : deposit.tags) {
    if (rc != MFDATA_OK) break;
    rc = host->deposit_tag(ctx, open, sdk::c(name), sdk::c(value));
    reason = reason_of(rc, "tag", name);
  }
  if (rc != MFDATA_OK) {
    host->deposit_abort(ctx, open);
    return finish(std::move(commit), rc, reason);
  }
  ++under_way_;
  Commit* raw = commit.release();  // until on_done; never called when an error is returned
  rc = host->deposit_commit(ctx, open, &ExecListener::on_done, raw);
  if (rc == MFDATA_OK) return;
  --under_way_;
  finish(std::unique_ptr<Commit>(raw), rc, reason_of(rc, "commit of", deposit.name));
}

mfdata_rc ExecListener::write(const Deposit& deposit, mfdata_deposit* to, std::string& reason) const {
  const mfdata_host* host = component().host();
  std::uint64_t written = 0;
  const auto put = [&](const char* bytes, std::size_t size) {
    written += size;
    const mfdata_rc rc = host->deposit_write(component().raw(), to, bytes, size);
    reason = reason_of(rc, "write of", deposit.name);
    return rc;
  };
  mfdata_rc rc = MFDATA_OK;
  if (deposit.data) {
    rc = put(deposit.data->data(), deposit.data->size());
  } else {
    const std::string path = joined(scratch_.path(), deposit.path);
    const sdk::detail::Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat st {};
    if (file.get() < 0 || ::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode)) {
      reason = "cannot open " + path + ": " + (file.get() < 0 ? std::strerror(errno) : "it is no regular file");
      return MFDATA_E_ARG;
    }
    std::string block(std::size_t{1} << 18, '\0');
    ssize_t got = 0;
    while (rc == MFDATA_OK && (got = ::read(file.get(), block.data(), block.size())) > 0) {
      rc = put(block.data(), static_cast<std::size_t>(got));
    }
    if (got < 0) {
      reason = "cannot read " + path + ": " + std::strerror(errno);
      return MFDATA_E_IO;
    }
  }
  if (rc == MFDATA_OK && deposit.size && *deposit.size != written) {
    reason = "it has " + std::to_string(written) + " bytes, and not the " + std::to_string(*deposit.size) + " that size says";
    return MFDATA_E_ARG;
  }
  return rc;
}

// ---- the ends of deposits

// On a thread of the host.
void ExecListener::on_done(void* user, mfdata_rc rc) {
  std::unique_ptr<Commit> commit(static_cast<Commit*>(user));
  ExecListener& listener = *commit->listener;
  commit->rc = rc;
  {
    const std::lock_guard lock(listener.mutex_);
    listener.finished_.push_back(std::move(commit));
  }
  listener.wake();
}

void ExecListener::finish(std::unique_ptr<Commit> commit, mfdata_rc rc, const std::string& reason) {
  commit->rc = rc;
  commit->reason = reason;
  reply(*commit);
}

void ExecListener::reply_to_finished() {
  std::list<std::unique_ptr<Commit>> finished;
  {
    const std::lock_guard lock(mutex_);
    finished.swap(finished_);
  }
  under_way_ -= finished.size();
  for (const auto& commit : finished) {
    if (commit->rc != MFDATA_OK) commit->reason = reason_of(commit->rc, "commit of deposit", commit->id);
    reply(*commit);
  }
}

void ExecListener::reply(const Commit& commit) {
  if (commit.rc == MFDATA_OK && !commit.path.empty() && ::unlink(commit.path.c_str()) != 0) {
    component().warning("cannot remove " + commit.path + ", which is deposited: " + std::strerror(errno));
  }
  DepositReply reply{commit.id, status_of(commit.rc), commit.reason, std::nullopt};
  if (commit.rc == MFDATA_E_BUSY || commit.rc == MFDATA_E_FULL || commit.rc == MFDATA_E_IO || commit.rc == MFDATA_E_NOMEM) {
    std::int64_t delay_ms = 0;
    component().host()->pressure(component().raw(), &delay_ms);
    reply.retry_after = delay_ms > 0 ? static_cast<double>(delay_ms) / 1000 : 1;
  }
  program_.say(deposited_message(reply, program_.encoding()));
}

// Once a second, when it changes.
void ExecListener::tell_pressure() {
  const std::int64_t now = sdk::detail::monotonic_ns();
  if (!program_.has("pressure") || now < pressure_told_ns_ + kSecond_ns) return;
  pressure_told_ns_ = now;
  std::int64_t delay_ms = 0;
  const mfdata_rc rc = component().host()->pressure(component().raw(), &delay_ms);
  if (std::exchange(pressure_, rc) == rc) return;
  program_.say(pressure_message(status_of(rc), static_cast<double>(delay_ms) / 1000));
}

}  // namespace exec_protocol
