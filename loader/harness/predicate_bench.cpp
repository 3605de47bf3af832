#include "harness/predicate_bench.hpp"

#include "libmfdata/arrival.hpp"
#include "libmfdata/clock.hpp"
#include "worker/predicate_instance.hpp"

namespace mfdata {
namespace {

bool same(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

void show(std::int32_t code, const std::string& reason, KeptResult& result) {
  result.set_outcome(code == 1 ? "yes" : code == 0 ? "no" : "error", code == 1 || code == 0 ? "" : reason);
}

}  // namespace

Result<void> ask_predicate(TestRoom& room, const std::string& pattern, const TestFile& file, KeptResult& result) {
  const wire::WorkerSettings settings = room.predicate_settings();
  const Slot nowhere{settings.step.dotted(), 0};
  PluginHost host(room.spool(), settings, room.page(), room.surroundings());
  Treatment treatment(room.spool(), nowhere, settings);
  auto path = room.copy(file);
  if (!path) return path.error();
  TagSet tags = first_tags("", file.name, fresh_uid());
  for (const auto& [name, value] : file.tags) MFDATA_TRY(tags.set(name, value));
  const std::int64_t began = monotonic_ns();
  auto predicate = PredicateInstance::compile(host, room.plugin(), pattern);
  if (!predicate && predicate.is(Code::kNotFound)) return predicate.error();
  if (!predicate) {
    result.set_outcome("not started", predicate.error().text);
  } else {
    const auto before = room.spool().disk().status(*path);
    const std::int64_t limit_ns = static_cast<std::int64_t>(room.timeout_s(settings.predicate_timeout_s) * 1e9);
    const std::int64_t asked = monotonic_ns();
    std::string reason;
    const std::int32_t code = predicate->test(treatment, *path, tags, asked + limit_ns, reason);
    if (monotonic_ns() - asked > limit_ns) result.note_late();
    const auto after = room.spool().disk().status(*path);
    const bool changed = !before || !after || !same(*before, *after);
    changed ? show(MFDATA_E_STATE, "the predicate changed the file that it was asked about", result) : show(code, reason, result);
  }
  result.add_duration(monotonic_ns() - began);
  room.finish(result, {});
  return {};
}

}  // namespace mfdata
