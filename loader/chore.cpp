#include "chore.hpp"

namespace mfdata {

constexpr std::int64_t kPatienceNs = 5'000'000'000;

Result<std::unique_ptr<Chore>> Chore::start(EventLoop& loop, const std::string& program, const wire::WorkerSettings& settings, Owner owner) {
  auto process = WorkerProcess::start(program, settings);
  if (!process) return process.error();
  std::unique_ptr<Chore> chore(new Chore(std::move(*process), settings.task, std::move(owner)));
  chore->on_channel_ = loop.on_readable(chore->process_->channel(), [chore = chore.get()] { chore->read_channel(); });
  chore->on_output_ = loop.on_readable(chore->process_->output(), [chore = chore.get()] { chore->read_output(); });
  return chore;
}

void Chore::stop(std::int64_t now_ns) {
  if (kill_at_ns_ != 0) return;
  kill_at_ns_ = now_ns + kPatienceNs;
  process_->terminate();
}

void Chore::check(std::int64_t now_ns) {
  if (kill_at_ns_ != 0 && now_ns > kill_at_ns_) process_->kill();
}

void Chore::drain() {
  read_channel();
  read_output();
}

void Chore::read_channel() {
  bool came = false;
  while (true) {
    auto received = process_->receive();
    if (!received) process_->kill();  // it talks nonsense
    if (!received || !received->has_value()) break;
    came = true;
    owner_.message(**received);
  }
  if (!came) on_channel_.reset();  // its end: it would be readable for ever
}

void Chore::read_output() {
  bool closed = false;
  const std::string lines = process_->read_output(closed);
  if (!lines.empty()) owner_.output(lines);
  if (closed) on_output_.reset();
}

}  // namespace mfdata
