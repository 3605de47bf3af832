"""The plugins of a home over its life: versions that do not go with the configuration, folders of others, removal, a loader
that is just starting, provisioning."""
import fcntl
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, alive, main, wait_for
from packages import EDITION_ENTRY, EDITIONS, NOBODY, Packages, need_another_user, tool

GATE = 'gate = "{home}/gate"   # a file named "slow" waits until this file is there\n'


class Store(Packages):
    def changed(self, number, name, *changes):
        """A copy of an edition with other texts in its plugin.toml."""
        source = self.copy_of(number, name)
        text = (source / "plugin.toml").read_text()
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        (source / "plugin.toml").write_text(text)
        return source

    def start_to_meet_a_lock(self, home):
        trace = home.root / "trace"
        home.start(wait=False, prefix=["strace", "-D", "-qq", "-o", trace, "-e", "trace=flock"])
        wait_for(lambda: trace.exists() and "EAGAIN" in trace.read_text(), "the loader to meet the lock")

    def start_slowly(self, home):
        """A loader that has read its plugins, and does not listen yet."""
        home.start(wait=False, prefix=["strace", "-D", "-qq", "-o", "/dev/null", "-e", "inject=bind:delay_enter=3000000"])
        wait_for(lambda: (home.root / "run/workers.lock").exists(), "the loader to have read its plugins")

    def without_gate(self, number):
        return self.changed(number, f"gateless{number}", (GATE, ""))


class Configuration(Store):
    def expect_unchanged(self, home, *command, options=()):
        before = self.listed(home), self.versions(home)
        done = home.run(MFDATA_PLUGIN, *command, *options, check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("etc/plugins.d/edition.toml:2", done.stderr)
        self.assertIn('"gate"', done.stderr)
        self.assertEqual((self.listed(home), self.versions(home)), before)
        home.run(MFDATA, "check")

    def home_with_a_key_of_its_own(self, number):
        home = self.home("archive", EDITIONS[number], settings=EDITION_ENTRY)
        home.override("edition", '[custom]\ngate = "/nowhere"\n')
        return home

    def test_upgrade_that_the_configuration_does_not_go_with_leaves_the_old_version(self):
        home = self.home_with_a_key_of_its_own(1)
        self.expect_unchanged(home, "install", self.without_gate(2))
        self.assertEqual(self.versions(home), ["1.0.0", "current"])

    def test_rollback_that_the_configuration_does_not_go_with_leaves_the_new_version_unless_it_is_forced(self):
        home = self.home("archive", self.without_gate(1), settings=EDITION_ENTRY)
        home.run(MFDATA_PLUGIN, "install", self.packed(2))
        home.override("edition", '[custom]\ngate = "/nowhere"\n')
        self.expect_unchanged(home, "rollback", "edition")
        home.run(MFDATA_PLUGIN, "rollback", "edition", "--force")
        self.assertEqual(self.listed(home)["version"], "1.0.0")
        self.assertEqual(home.run(MFDATA, "check", check=False).returncode, 1)

    def test_link_to_a_folder_that_the_configuration_does_not_go_with_is_not_made(self):
        home, folder = self.home_with_a_key_of_its_own(1), self.without_gate(2)
        self.expect_unchanged(home, "develop", folder)
        home.run(MFDATA_PLUGIN, "develop", folder, "--force")
        self.assertEqual(self.listed(home)["version"], "2.0.0")

    def test_loader_whose_upgrade_was_refused_starts_again_with_the_old_version(self):
        home = self.home_with_a_key_of_its_own(1).start()
        self.expect_unchanged(home, "install", self.without_gate(2))
        self.assertEqual(home.status()["configuration"]["problem"], "")
        home.stop()
        home.start()
        self.assertEqual(self.listed(home)["runs"], "1.0.0")
        home.drop("a", b"a")
        wait_for(home.files, "the file in the archive")

    def test_plugin_that_needs_one_that_is_not_there_is_refused_until_it_is(self):
        home = self.home("archive", settings='[data]\nentry_step = "archive/main"\n')
        source = self.changed(1, "needy", ("[step.main]\n", '[step.main]\nfailure_policy = "move"\nfailure_policy_move_dest_dir = "delete/main"\n'))
        self.assertIn('there is no step "delete/main"', self.refused(home, source))
        home.run(MFDATA_PLUGIN, "install", "delete")
        home.run(MFDATA_PLUGIN, "install", source)

    def test_what_was_wrong_before_hinders_no_installation(self):
        home = self.home("archive", settings='[data]\nentry_step = "nobody/main"\n')
        home.run(MFDATA_PLUGIN, "install", self.packed(1))
        self.assertEqual(self.listed(home)["version"], "1.0.0")


class Provisioning(Store):
    def provide(self, home, *sources):
        for source in sources:
            shutil.copytree(source, home.root / "etc/provision" / source.name)

    def test_higher_version_runs_whatever_the_files_are_called_and_what_needs_another_comes_after_it(self):
        home = self.home("archive", settings=EDITION_ENTRY)
        for version in ("1.9.0", "1.10.0"):
            self.provide(home, self.changed(1, version, ("1.0.0", version)))
        needy = self.changed(1, "needy", ('"edition"', '"a_first"'), ("[step.main]\n", '[step.main]\nfailure_policy = "move"\nfailure_policy_move_dest_dir = "edition/main"\n'))
        self.provide(home, needy)
        home.start()
        self.assertEqual((self.listed(home)["runs"], self.listed(home)["versions"]), ("1.10.0", ["1.9.0", "1.10.0"]))
        self.assertEqual(self.listed(home, "a_first")["version"], "1.0.0")
        self.assertEqual(home.status()["configuration"]["problem"], "")

    def test_failure_stands_in_the_status_of_the_loader(self):
        home = self.home("archive", settings='[data]\nentry_step = "archive/main"\n[metrics]\nlisten = "127.0.0.1:0"\n')
        (home.root / "etc/provision/bad-1.0.mfplugin").write_bytes(b"bad")
        home.start()
        self.assertIn("etc/provision: ", home.status()["configuration"]["problem"])
        self.assertIn("bad-1.0.mfplugin", home.status()["configuration"]["problem"])
        self.assertEqual(home.metric("mfdata_config_errors_total"), 1)

    def test_loader_waits_for_a_command_that_is_at_work(self):
        home = self.home("archive", settings=EDITION_ENTRY)
        self.provide(home, EDITIONS[1])
        with open(home.root / "plugins/.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.start_to_meet_a_lock(home)
        wait_for(lambda: home.status().get("pid") or home.loader.poll() is not None, "the loader")
        self.assertEqual(self.listed(home)["runs"], "1.0.0")


class Starting(Store):
    def test_installation_while_the_loader_starts_is_taken_up(self):
        home = self.home("archive", EDITIONS[1], settings=EDITION_ENTRY)
        self.start_slowly(home)
        done = home.run(MFDATA_PLUGIN, "install", self.packed(2))
        self.assertIn("the loader takes it up", done.stdout)
        wait_for(lambda: self.listed(home)["runs"] == "2.0.0", "the new version")

    def test_removal_while_the_loader_starts_leaves_it_the_folder_until_it_knows(self):
        home = self.home("archive", EDITIONS[1], "delete", settings=EDITION_ENTRY)
        self.start_slowly(home)
        self.assertIn("the loader takes it up", home.run(MFDATA_PLUGIN, "remove", "delete").stdout)
        wait_for(lambda: [row["step"] for row in home.status()["steps"]] == ["archive/main", "edition/main"], "the plugin to be gone")

    def test_loader_starts_while_commands_look_at_its_lock(self):
        home = self.home("archive")
        (home.root / "run/loader.lock").touch()
        with open(home.root / "run/loader.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            self.start_to_meet_a_lock(home)
        wait_for(lambda: home.status().get("pid") or home.loader.poll() is not None, "the loader")
        self.assertIsNone(home.loader.poll(), home.log())


class Listed(Store):
    def test_state_is_that_of_the_step_that_needs_somebody_most(self):
        source = self.changed(1, "steps", ("[step.main]\n", '[step.main]\n[step.zero]\ncomponent = "main"\nnumprocesses = 0\n[step.last]\ncomponent = "main"\n'))
        home = self.home("archive", source, settings=EDITION_ENTRY).start()
        wait_for(lambda: home.worker_pids("edition/last") and home.worker_pids("edition/main"), "the workers")
        self.assertEqual(self.listed(home)["runs"], "1.0.0, zero not started")
        home.run(MFDATA, "pause", "edition/main")
        self.assertEqual(self.listed(home)["runs"], "1.0.0, main paused")
        home.run(MFDATA_PLUGIN, "stop", "edition")
        self.assertIn("stopped", self.listed(home)["runs"])

    def test_plugin_without_steps_has_rules_only(self):
        home = self.home("archive", self.changed(1, "rules", ("[step.main]\n", "")), settings='[data]\nentry_step = "archive/main"\n').start()
        self.assertEqual(self.listed(home)["runs"], "rules only")

    def test_installed_plugin_tells_its_abi_and_predicates_without_its_code_being_run(self):
        home = self.home("archive", BUILD / "tests/plugins/judge")
        shown = json.loads(home.run(MFDATA_PLUGIN, "info", "judge", "--json").stdout)
        self.assertEqual((shown["name"], shown["abi_major"]), ("judge", 1))
        self.assertTrue([component for component in shown["components"] if component.startswith("predicate ")], shown["components"])
        self.assertNotIn("abi_major", json.loads(tool("info", EDITIONS[1], "--json").stdout), "which only its code tells")

    def test_info_runs_no_code_and_inspect_does(self):
        source, marker = self.copy_of(), self.folder / "ran"
        self.with_constructor(source / "edition.so", f'creat("{marker}", 0600);')
        tool("info", source)
        self.assertFalse(marker.exists())
        tool("inspect", source / "edition.so", check=False)
        self.assertTrue(marker.exists())


class Owners(Store):
    def test_folder_with_something_that_others_can_write_is_refused(self):
        need_another_user(self)
        home = self.home("archive", settings="[mfdata]\nrequire_signatures = true\n" + EDITION_ENTRY)
        for change, words in ((lambda s: os.chown(s / "edition.so", *NOBODY), "edition.so belongs to user 65534"), (lambda s: os.chmod(s / "edition.so", 0o757), "edition.so is writable by others"),
                              (lambda s: os.chmod(s / "data", 0o777), "data is writable by others"), (lambda s: os.chown(s / "data", *NOBODY), "data belongs to user"),
                              (lambda s: (os.chown(s / "data/x", 0, 65534), os.chmod(s / "data/x", 0o664)), "x is writable by others"),
                              (lambda s: os.chmod(s, 0o777), "source is writable by others")):
            source = self.copy_of()
            (source / "data").mkdir()
            (source / "data/x").write_text("x")
            change(source)
            self.assertIn(words, self.refused(home, source))
            shutil.rmtree(source)
        (self.copy_of() / "edition.txt").chmod(0o664)
        home.run(MFDATA_PLUGIN, "install", self.folder / "source")


class Postinstall(Store):
    def test_time_limit_is_that_of_the_configuration_and_nothing_is_left(self):
        need_another_user(self)
        home = self.home("archive", user=NOBODY, settings='[mfdata]\npostinstall_timeout = "5s"\n' + EDITION_ENTRY)
        os.chmod(self.folder, 0o755)
        pids = home.root / "pids"
        source = self.with_postinstall(self.copy_of(), f"#!/bin/sh\necho $$ > {pids}\nsetsid sleep 3600 &\necho $! >> {pids}\nsleep 3600\n")
        self.assertIn("took longer than 5 s", self.refused(home, source))
        self.assertEqual([pid for pid in pids.read_text().split() if alive(pid)], [])

    def test_process_that_it_leaves_in_another_session_ends_with_it(self):
        need_another_user(self)
        home = self.home("archive", user=NOBODY, settings=EDITION_ENTRY)
        os.chmod(self.folder, 0o755)
        pids = home.root / "pids"
        source = self.with_postinstall(self.copy_of(), f"#!/bin/sh\nsetsid sh -c 'echo $$ > {pids}; exec sleep 3600' &\nuntil [ -s {pids} ]; do :; done\n")
        home.run(MFDATA_PLUGIN, "install", source)
        self.assertFalse(alive(pids.read_text().strip()))


class Removal(Store):
    def test_removal_is_refused_for_each_way_in_which_others_need_the_plugin(self):
        rule = '[[switch_rules]]\ntype = "alwaystrue"\nrules = {{ "*" = ["{}/main"] }}\n{}'
        for number, (plugin, settings) in enumerate((("delete", '[step.main]\nfailure_policy = "move"\nfailure_policy_move_dest_dir = "delete/main"\n'),
                                                     ("delete", rule.format("delete", "")), ("switch", rule.format("archive", "")),
                                                     ("fork", rule.format("archive", 'switch = "fork"\n')), ("delete", '[custom]\ndest_dirs = ["a/main", "delete/main"]\n'))):
            source = self.changed(1, f"needy{number}", ('dest_dir = "archive/main"\n', 'dest_dir = "archive/main"\ndest_dirs = []\n'))
            home = self.home("archive", "switch", "delete", "fork", source, settings=EDITION_ENTRY)
            home.override("edition", settings)
            done = home.run(MFDATA_PLUGIN, "remove", plugin, check=False)
            self.assertEqual(done.returncode, 1, settings)
            self.assertRegex(done.stderr, f"files are sent to {plugin} by .*/(plugins/edition/1.0.0/plugin|etc/plugins.d/edition).toml:", settings)
            self.assertIsNotNone(self.listed(home, plugin))
            home.override("edition", "")
            home.run(MFDATA_PLUGIN, "remove", plugin)

    def test_clean_removal_leaves_spool_directories_that_hold_files(self):
        home = self.home("archive", "delete", settings='[data]\nentry_step = "archive/main"\n').start()
        home.stop()
        home.override("delete", "[step.main]\nnumprocesses = 2\n")
        waiting = home.data / "step.delete.main/waiting"
        waiting.write_text("x")
        home.run(MFDATA_PLUGIN, "remove", "delete", "--clean")
        self.assertEqual(waiting.read_text(), "x")
        self.assertEqual([path.name for path in [*home.data.glob("step.delete*"), *home.data.glob("trash/delete*")]], ["step.delete.main"])
        self.assertFalse((home.root / "etc/plugins.d/delete.toml").exists())


if __name__ == "__main__":
    main()
