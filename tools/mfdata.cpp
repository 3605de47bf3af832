// mfdata: the operator's command. Only the command line is here; the commands are in the files beside.
#include <functional>

#include "command_line.hpp"
#include "commands.hpp"

using namespace mfdata::tools;

int main(int argc, char** argv) {
  CLI::App app("Operates a home of mfdata. Exit code: 0 done, 1 failed or problems found, 2 wrong usage.");
  app.require_subcommand(1);
  app.set_version_flag("--version", MFDATA_VERSION);
  app.fallthrough();
  std::string home;
  bool as_json = false;
  std::function<int()> run;
  app.add_option("--home", home, "the home (default: MFDATA_HOME, or /var/lib/mfdata)");
  app.add_flag("--json", as_json, "print JSON (commands that list or show)");

  std::string directory, plugins = "guess_file_type,switch";
  auto* init_command = app.add_subcommand("init", "makes a home and installs plugins in it");
  init_command->add_option("DIR", directory, "the new home")->required();
  init_command->add_option("--plugins", plugins, "names of built-in plugins or folders, with commas; the first gets the files")->capture_default_str();
  init_command->callback([&] { run = [&] { return init(directory, plugins); }; });

  bool no_trial = false;
  auto* check_command = app.add_subcommand("check", "checks the whole configuration, and starts each component on trial; prints every problem");
  check_command->add_flag("--no-trial", no_trial, "starts nothing: for components that cannot run twice at a time");
  check_command->callback([&] { run = [&] { return check(home, as_json, !no_trial); }; });
  bool all_refused = false;
  auto* status_command = app.add_subcommand("status", "shows the loader, its steps, what takes long, trash, refused arrivals; without a loader what stands on disk, exit 1");
  status_command->add_flag("--refused", all_refused, "show all refused arrivals, not only the first hundred");
  status_command->callback([&] { run = [&] { return status(home, as_json, all_refused); }; });

  double timeout = 60;
  auto* stop_command = app.add_subcommand("stop", "stops the loader after the files in hand, and waits for it");
  add_seconds(*stop_command, "--timeout", timeout, "how long to wait (default 60)");
  stop_command->callback([&] { run = [&] { return stop(home, timeout); }; });
  auto* reload_command = app.add_subcommand("reload", "has the loader take up a changed configuration while files flow; a wrong one changes nothing");
  add_seconds(*reload_command, "--timeout", timeout, "how long to wait (default 60)");
  reload_command->add_flag("--no-trial", no_trial, "does not start changed components on trial before: for those that cannot run twice at a time");
  reload_command->callback([&] { run = [&] { return reload(home, timeout, !no_trial); }; });

  InjectOptions injected;
  auto* inject_command = app.add_subcommand("inject", "puts copies of files into a watched directory, or before a step");
  inject_command->add_option("FILE", injected.files, "the files")->required();
  auto* incoming = inject_command->add_option("--incoming", injected.incoming, "into this watched directory (default: incoming)")->expected(0, 1);
  inject_command->add_option("--step", injected.step, "before this step, PLUGIN/STEP")->excludes(incoming);
  inject_command->add_option("--tag", injected.tags, "a tag NAME=VALUE (with --step); may be repeated")->expected(1)->take_all()->check(assignment());
  inject_command->add_flag("--move", injected.move, "remove the source once it is injected");
  inject_command->add_flag("--random-basename", injected.random_basename, "under a random name");
  auto* wait_option = inject_command->add_flag("--wait", injected.wait, "follow these files, and say where each of them ended; exit 1 when one did not end well");
  add_seconds(*inject_command, "--timeout", injected.timeout_s, "how long all of it may take, with --wait (default 10m; 0: for ever)")->needs(wait_option);
  inject_command->callback([&] { run = [&] { return inject(home, injected); }; });

  std::vector<std::string> files;
  std::string file, other, suffix;
  auto* tags = app.add_subcommand("tags", "shows or changes the tags of files");
  tags->require_subcommand(1);
  auto* print = tags->add_subcommand("print", "prints the tags as name = value lines");
  print->add_option("FILE", files)->required();
  print->callback([&] { run = [&] { return print_tags(files, as_json); }; });
  auto* get = tags->add_subcommand("get", "prints the value of one tag");
  get->add_option("FILE", file)->required();
  get->add_option("NAME", other)->required();
  get->callback([&] { run = [&] { return get_tag(file, other); }; });
  const auto tag_command = [&](const char* name, const char* help, const char* second,
                               int (*command)(const std::string&, const std::string&, const std::string&)) {
    auto* sub = tags->add_subcommand(name, std::string(help) + ", in the companion beside the file too");
    sub->add_option("FILE", file)->required();
    sub->add_option(second, other)->required();
    sub->add_option("--suffix", suffix, "the companion is called FILE and this (default: the one that stands there)")
        ->check([](const std::string& text) { return std::string(text.empty() || text.find('/') != std::string::npos ? "a suffix is like .tags" : ""); });
    sub->callback([&, command] { run = [&, command] { return command(file, other, suffix); }; });
  };
  tag_command("set", "sets one tag", "NAME=VALUE", set_tag);
  tag_command("unset", "removes one tag", "NAME", unset_tag);
  tag_command("copy", "gives a file the tags of another one", "TO", copy_tags);

  TrashOptions trashed;
  std::string uid;
  auto* trash = app.add_subcommand("trash", "shows the files in trash, gives them back to their step, or removes them");
  trash->require_subcommand(1);
  const auto trash_command = [&](const char* name, const char* help, std::function<int()> command) {
    auto* sub = trash->add_subcommand(name, help);
    sub->add_option("UID", trashed.uids, "only these files");
    sub->add_option("--step", trashed.step, "only those of this step, PLUGIN/STEP");
    sub->add_option("--reason", trashed.reason, "only those with this reason: failed, crashed, unmatched, loop ...");
    sub->add_option("--name", trashed.name, "only those whose original name matches this shell pattern: '*.grib'");
    add_seconds(*sub, "--older", trashed.older_s, "only those that are in trash for longer: 90, 10m, 7d");
    sub->callback([&, command] { run = command; });
    return sub;
  };
  trash_command("list", "lists them, the oldest arrival first", [&] { return list_trash(home, trashed, as_json); });
  trash_command("retry", "gives them back to their step; their retries are counted anew", [&] { return retry_trash(home, trashed); })
      ->add_flag("--all", trashed.all, "all of them");
  trash_command("purge", "removes them for good", [&] { return purge_trash(home, trashed); })->add_flag("--all", trashed.all, "all of them");
  auto* show = trash->add_subcommand("show", "prints all that is known of one: reason, error, tags, path");
  show->add_option("UID", uid)->required();
  show->callback([&] { run = [&] { return show_trash(home, uid); }; });

  QueueOptions queued;
  auto* queue = app.add_subcommand("queue", "shows the files that wait before steps, removes them, or puts them before another step");
  queue->require_subcommand(1);
  const auto queue_command = [&](const char* name, const char* help, bool needs_step, std::function<int()> command) {
    auto* sub = queue->add_subcommand(name, help);
    sub->add_option("STEP", queued.step, "PLUGIN/STEP")->required(needs_step);
    sub->callback([&, command] { run = command; });
    return sub;
  };
  const auto choose_files = [&](CLI::App* sub, bool with_all) {
    sub->add_option("NAME", queued.names, "only these: their names there, or uids");
    add_seconds(*sub, "--older", queued.older_s, "only those that wait there for longer: 90, 10m, 7d");
    if (with_all) sub->add_flag("--all", queued.all, "all of them");
  };
  auto* queue_list = queue_command("list", "lists them: original name, age, size, attempts", false, [&] { return list_queue(home, queued, as_json); });
  choose_files(queue_list, false);
  add_number<std::size_t>(*queue_list, "--limit", queued.limit, 0, 1'000'000'000, "at most so many; 0: all (default 1000)");
  auto* queue_show = queue_command("show", "prints all that is known of some, with their tags, as JSON", true, [&] { return show_queue(home, queued); });
  queue_show->add_option("NAME", queued.names, "their names there, or uids")->required();
  choose_files(queue_command("drop", "removes them for good", true, [&] { return drop_queue(home, queued); }), true);
  auto* queue_move = queue_command("move", "puts them before another step, with their tags", true, [&] { return move_queue(home, queued); });
  choose_files(queue_move, true);
  queue_move->add_option("--to", queued.target, "that step, PLUGIN/STEP")->required();

  std::string step;
  auto* pause_command = app.add_subcommand("pause", "a step gets no more files until it is resumed, also after a restart");
  pause_command->add_option("STEP", step, "PLUGIN/STEP")->required();
  pause_command->callback([&] { run = [&] { return pause_step(home, step); }; });
  auto* resume_command = app.add_subcommand("resume", "a paused step goes on");
  resume_command->add_option("STEP", step, "PLUGIN/STEP")->required();
  resume_command->callback([&] { run = [&] { return resume_step(home, step); }; });

  bool all = false, charge = false;
  auto* kill_command = app.add_subcommand("kill", "ends the treatment that a step has in hand for the longest time: its file goes back before the step, and the step goes on");
  kill_command->add_option("STEP", step, "PLUGIN/STEP")->required();
  kill_command->add_flag("--all", all, "every treatment of the step");
  kill_command->add_flag("--charge", charge, "count it as a crash of the file: after [loader] max_crashes it goes to trash");
  kill_command->callback([&] { run = [&] { return kill_step(home, step, all, charge); }; });

  ExplainOptions explained;
  auto* explain_command = app.add_subcommand("explain", "shows what the routing rules make of a file: each rule, the value it sees, match or not, the targets");
  explain_command
      ->add_option("FILE", explained.file,
                   "a file with tags: in trash, before a step, in an archive; or any file: its entry step is run on a copy first, "
                   "where what a command of fork or exec does, and what a step sends, is really done")
      ->required();
  explain_command->add_option("--tag", explained.tags, "a tag NAME=VALUE beside those of the file; may be repeated")->expected(1)->take_all()->check(assignment());
  explain_command->add_flag("--matching", explained.matching_only, "leave out the rules that do not match");
  explain_command->callback([&] { run = [&] { return explain(home, explained, as_json); }; });

  GenerateOptions generated;
  auto* generate_command = app.add_subcommand("generate", "makes test files of random bytes, renamed into place");
  generate_command->add_option("DIR", generated.directory)->required();
  add_number<std::uint64_t>(*generate_command, "--count", generated.count, 1, 1'000'000'000, "how many (default 1)");
  add_bytes(*generate_command, "--size", generated.size, std::uint64_t{1} << 44, "of each: bytes, or 4KiB, 10MB (default 4KiB)");
  add_real(*generate_command, "--rate", generated.rate, 0, 1e6, "files a second (default, and 0: as fast as possible)");
  generate_command->callback([&] { run = [&] { return generate(generated); }; });

  return run_command_line(app, argc, argv, [&] { return run(); });
}
