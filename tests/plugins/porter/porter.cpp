// A listener that is told over a unix socket what to deposit, a thread for each connection; and a step that yields.
//
// A request is a line of words with a tab behind each but the last: "deposit" and then NAME=VALUE in any order (target, name, content,
// dirname, size, algorithm, digest in hexadecimal digits, key, tag as NAME=VALUE, hop as NAME=VALUE, wait=no: by a callback; hold:
// a file that must be there before the commit), "health" STATE TEXT, "state", "watched", "twice" (commit once more, and write behind).
// The answer is a line.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mfdata/plugin.hpp>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace sdk = mfdata::sdk;

using Words = std::vector<std::string>;

static Words split(const std::string& line) {
  Words words{""};
  for (const char c : line) c == '\t' ? void(words.emplace_back()) : void(words.back() += c);
  return words;
}

static std::string bytes_of(const std::string& digits) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return bytes;
}

class Porter : public sdk::Listener {
 public:
  explicit Porter(const sdk::Context& context) : Listener(context), socket_(listen_socket(context.text("socket"))) {
    if (const std::string watched = context.text("watched", ""); !watched.empty()) watch_path(watched);
  }
  ~Porter() override { ::close(socket_); }

  sdk::Result run() override {
    std::vector<std::thread> threads;
    while (!stopped_) {
      pollfd readable{socket_, POLLIN, 0};
      if (::poll(&readable, 1, 50) <= 0) continue;
      const int connection = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection >= 0) threads.emplace_back([this, connection] { serve(connection); });
    }
    for (std::thread& thread : threads) thread.join();
    return sdk::Result::ok();
  }
  void stop() noexcept override { stopped_ = true; }
  void tick() override { ++ticks_; }
  void pressure_changed(sdk::Pressure pressure) override {
    component().info("pressure " + std::to_string(pressure.state) + " for " + std::to_string(pressure.retry_after.count()) + " ms");
  }
  void path_changed(std::string_view path) override { component().info("changed: " + std::string(path)); }

 private:
  void serve(int connection) {
    std::string buffer;
    while (true) {  // what was sent before the stop is answered
      pollfd readable{connection, POLLIN, 0};
      if (::poll(&readable, 1, 50) <= 0) {
        if (stopped_) break;
        continue;
      }
      char block[4096];
      const ssize_t got = ::read(connection, block, sizeof block);
      if (got <= 0) break;
      buffer.append(block, static_cast<std::size_t>(got));
      for (std::size_t end; (end = buffer.find('\n')) != std::string::npos; buffer.erase(0, end + 1)) {
        std::string answer;
        try {
          answer = answered(split(buffer.substr(0, end)));
        } catch (const sdk::Error& error) {
          answer = std::to_string(error.code);
        }
        answer += '\n';
        (void)!::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL);
      }
    }
    ::close(connection);
  }

  std::string answered(const Words& words) {
    if (words[0] == "deposit") return deposit(words);
    if (words[0] == "twice") return twice();
    if (words[0] == "state") return component().state_dir();
    if (words[0] == "ticks") return std::to_string(ticks_);
    if (words[0] == "health") {
      component().report_health(static_cast<sdk::Health>(std::stoi(words.at(1))), words.at(2));
      return "0";
    }
    std::string all;
    for (const std::string& directory : watched_directories()) all += directory + ' ';
    return all;
  }

  std::string deposit(const Words& words) {
    std::map<std::string, std::string> told;
    for (std::size_t i = 1; i < words.size(); ++i) told[words[i].substr(0, words[i].find('='))] = words[i].substr(words[i].find('=') + 1);
    sdk::Deposit::Options options;
    options.dirname = told["dirname"];
    if (told.contains("size")) options.expected_size = std::stoull(told["size"]);
    options.digest_algorithm = told["algorithm"];
    options.digest = bytes_of(told["digest"]);
    options.idempotency_key = told["key"];
    sdk::Deposit deposit(component(), told["target"], told["name"], options);
    const std::string uid = deposit.uid();
    const bool repeated = deposit.repeated();
    deposit.write(told["content"]);
    if (const std::string& tag = told["tag"]; !tag.empty()) deposit.set_tag(tag.substr(0, tag.find('=')), tag.substr(tag.find('=') + 1));
    if (const std::string& tag = told["hop"]; !tag.empty()) deposit.set_hop_tag(tag.substr(0, tag.find('=')), tag.substr(tag.find('=') + 1));
    while (!told["hold"].empty() && ::access(told["hold"].c_str(), F_OK) != 0 && !stopped_) ::usleep(10'000);
    if (told["wait"] == "no") {
      await(std::move(deposit));
    } else {
      deposit.commit();
    }
    return "0 " + uid + (repeated ? " repeated" : "");
  }

  // By the callback: its result, and that it came on another thread, after the call.
  void await(sdk::Deposit deposit) {
    std::mutex mutex;
    std::condition_variable changed;
    int calls = 0;
    mfdata_rc result = MFDATA_OK;
    bool inside = true;
    const auto self = std::this_thread::get_id();
    std::unique_lock lock(mutex);
    deposit.commit([&, self](mfdata_rc rc) {
      const bool same = self == std::this_thread::get_id();
      const std::lock_guard guard(mutex);
      ++calls;
      result = same || inside ? MFDATA_E_STATE : rc;
      changed.notify_all();
    });
    inside = false;
    changed.wait(lock, [&] { return calls > 0; });
    sdk::expect(calls == 1 ? result : MFDATA_E_STATE, "callback", "");
  }

  // What a commit has consumed is not there any more.
  std::string twice() {
    const mfdata_host* host = component().host();
    mfdata_deposit* deposit = nullptr;
    sdk::expect(host->deposit_open(component().raw(), sdk::c(""), sdk::c("twice"), nullptr, &deposit), "open", "");
    std::string codes = std::to_string(host->deposit_commit(component().raw(), deposit, nullptr, nullptr));
    codes += ' ' + std::to_string(host->deposit_commit(component().raw(), deposit, nullptr, nullptr));
    codes += ' ' + std::to_string(host->deposit_write(component().raw(), deposit, "x", 1));
    host->deposit_abort(component().raw(), deposit);
    return codes;
  }

  int socket_;
  std::atomic<bool> stopped_{false};
  std::atomic<int> ticks_{0};
};

class Idler : public sdk::Step {
 public:
  explicit Idler(const sdk::Context& context) : Step(context), gate_(context.text("gate", "")), pause_ms_(context.integer("pause_ms", 300)) {}
  sdk::Result process(sdk::File&) override {
    if (!gate_.empty() && ::access(gate_.c_str(), F_OK) != 0) return sdk::Result::yield("the gate is closed", pause_ms_);
    return sdk::Result::ok();
  }

 private:
  std::string gate_;
  std::int64_t pause_ms_;
};

MFDATA_PLUGIN("porter", "1.0.0", "a listener that does what it is told over a socket, and a step that yields", "BSD-3-Clause",
              sdk::step<Idler>("idler", "ends every file"), sdk::listener<Porter>("main", "is told over a socket what to deposit"))
