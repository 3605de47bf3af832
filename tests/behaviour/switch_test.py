"""switch: every kind of rule, the union of their targets, hard links, and rules that are wrong."""
import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, Case, content, context_of, main, parse_tags_file, wait_for
from guess_file_type_test import png

ENTRY = '[data]\nentry_step = "switch/main"\n'
NAME = "first.core.original_basename"
PATIENT = ENTRY + "[loader]\npredicate_timeout = 60\n"


def block(kind, rules, tag=NAME, more=""):
    table = ", ".join(f"{json.dumps(pattern)} = {json.dumps(targets)}" for pattern, targets in rules.items())
    tag = f'tag = "{tag}"\n' if tag else ""
    return f'[[switch_rules]]\ntype = "{kind}"\n{tag}{more}rules = {{ {table} }}\n'


class Switch(Case):
    def switch_home(self, rules, targets=("t1", "t2", "t3"), held=(), custom="", start=True, settings=ENTRY):
        """A home whose files go to switch, with `targets`: plugins that deliver into a directory of their own name,
        or leave their files waiting (`held`). The rules are those of the plugin t1."""
        home = self.home("switch", "archive", "guess_file_type", settings=settings, overrides={"switch": f"[custom]\n{custom}\n"})
        for name in targets:
            home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/move", "--new-name", name)
            processes = "[step.main]\nnumprocesses = 0\n" if name in held else ""
            home.override(name, f'{processes}[custom]\ndest_dir = "{home.root}/{name}"\n' + (rules if name == "t1" else ""))
            os.mkdir(home.root / name)
        return home.start() if start else home

    def routed(self, home, names, targets=("t1", "t2", "t3")):
        """{name: the targets that got it} once nothing waits any more."""
        for name in names:
            home.drop(name, name.encode())
        wait_for(lambda: home.status()["results"] >= len(names), "the files to be treated")
        home.wait_idle()
        return {name: "".join(target[1:] for target in targets if (home.root / target / name).exists()) for name in names}

    def test_every_type_of_rule_and_its_negation(self):
        expected = {
            block("equal", {"a": ["main"], "b": ["main", "t2/main"]}): {"a": "1", "b": "12", "c": ""},
            block("notequal", {"a": ["main"], "b": ["t2/main"]}): {"a": "2", "b": "1", "c": "12"},
            block("fnmatch", {"a*": ["main"], "[ab]?": ["t2/main"], "*": ["t3/main"]}): {"a": "13", "ab": "123", "c": "3"},
            block("notfnmatch", {"a*": ["main"]}): {"a": "", "ba": "1"},
            block("regex", {"a+b": ["main"], "^.b": ["t2/main"]}): {"aab": "1", "ab": "12", "bab": ""},
            block("notregex", {"a": ["main"]}): {"ab": "", "ba": "1"},
            block("bytes", {"a": ["main"], "@1:b": ["t2/main"], "?": ["t3/main"]}, tag=None): {"a": "13", "ab": "123", "bb": "23"},
            block("notbytes", {"a": ["main"]}, tag=None): {"ab": "", "ba": "1"},
            block("alwaystrue", {"whatever": ["main", "t3/main"]}, tag=None): {"a": "13"},
            block("equal", {"{NOT_FOUND}": ["main"]}, tag="latest.nobody.main.sets"): {"a": "1"},
            block("notequal", {"x": ["main"]}, tag="latest.nobody.main.sets"): {"a": "1"},
        }
        for rules, routes in expected.items():
            with self.subTest(rules):
                home = self.switch_home(rules)
                self.assertEqual(self.routed(home, list(routes)), routes)
                self.assertEqual(home.left_over(), [])
                home.stop()

    def test_rules_of_all_plugins_are_united_and_a_target_named_twice_gets_the_file_once(self):
        home = self.switch_home(block("equal", {"a": ["main", "t2/main", "main"]}), start=False)
        home.override("t2", f'[custom]\ndest_dir = "{home.root}/t2"\n' + block("fnmatch", {"a": ["main", "t3/main"], "?": ["t1/main"]}))
        home.start()
        self.assertEqual(self.routed(home, ["a", "b"]), {"a": "123", "b": "1"})
        self.assertEqual([len(os.listdir(home.root / target)) for target in ("t1", "t2", "t3")], [2, 1, 1])

    def test_star_allows_a_link_if_every_mention_has_it(self):
        rules = block("equal", {"a": ["main*", "t2/main*", "t3/main*", "t4/main"]}) + block("fnmatch", {"a": ["t3/main"]})
        targets = ("t1", "t2", "t3", "t4")
        home = self.switch_home(rules, targets, held=targets)
        home.drop("a", b"content")
        waiting = wait_for(lambda: [p for t in targets for p in (home.data / f"step.{t}.main").iterdir()] if all(
            list((home.data / f"step.{t}.main").iterdir()) for t in targets) else None, "a file before each target")
        self.assertEqual([content(path) for path in waiting], [b"content"] * 4)
        inodes = [os.stat(path).st_ino for path in waiting]
        self.assertEqual(inodes[0], inodes[1], "two links share one inode")
        self.assertEqual(len(set(inodes)), 3, "the others have their own")

    def routed_inodes(self, rules):
        """The inode of a file that arrives, and those of the files that wait before t1, t2 and t3 then (None: none)."""
        targets = ("t1", "t2", "t3")
        home = self.switch_home(rules, held=targets, start=False)
        home.start().stop()
        home.drop("a", b"content")
        arrived = os.stat(home.incoming / "a").st_ino
        home.start()
        wait_for(lambda: home.status()["files_done"] == 1, "the file to be routed")
        waiting = [list((home.data / f"step.{target}.main").iterdir()) for target in targets]
        self.assertEqual({content(path) for paths in waiting for path in paths}, {b"content"})
        self.assertEqual(home.left_over(), [])
        return arrived, [os.stat(paths[0]).st_ino if paths else None for paths in waiting]

    def test_single_target_gets_the_file_itself(self):
        arrived, waiting = self.routed_inodes(block("equal", {"a": ["t2/main"]}))
        self.assertEqual(waiting, [None, arrived, None])

    def test_last_of_several_copies_is_the_file_itself(self):
        arrived, waiting = self.routed_inodes(block("equal", {"a": ["main", "t2/main", "t3/main"]}))
        self.assertEqual((waiting[2], len(set(waiting))), (arrived, 3))

    def test_links_and_copies_carry_contexts_of_their_own(self):
        home = self.switch_home(block("equal", {"a": ["main*", "t2/main*", "t3/main"]}), start=False)
        for target in ("t1", "t2", "t3"):
            (home.root / f"etc/plugins.d/{target}.toml").write_text((home.root / f"etc/plugins.d/{target}.toml").read_text().replace(
                "[custom]\n", "[custom]\ndrop_tags = false\n"))
        home.start()
        self.assertEqual(self.routed(home, ["a"]), {"a": "123"})
        contexts = [context_of(home.root / target / "a") for target in ("t1", "t2", "t3")]
        self.assertEqual(len({header["uid"] for header, _ in contexts}), 3)
        for target, (_, tags) in zip(("t1", "t2", "t3"), contexts):
            self.assertEqual({name.split(".")[1] for name in tags if name.endswith(".enter_step")}, {"switch", target})

    METERED = ENTRY + '[metrics]\nlisten = "127.0.0.1:0"\n'

    def unmatched(self, home):
        """What the count in `mfdata status`, the metric and the log say of files that no rule matched."""
        text = home.run(MFDATA, "status").stdout
        lines = [line.split(" INFO ", 1)[-1].split("info", 1)[-1] for line in home.step_log("switch/main").splitlines() if "is skipped" in line]
        return (home.step_status("switch/main")["skipped"], home.metric("mfdata_files_total", step="main", plugin="switch", result="skipped"),
                [line.strip() for line in text.splitlines() if "skipped since" in line], lines)

    def test_what_no_rule_matches_is_kept_in_trash_counted_and_named_in_the_log(self):
        home = self.switch_home(block("equal", {"a": ["main"]}), settings=self.METERED)
        self.assertEqual(self.routed(home, ["a", "b"]), {"a": "1", "b": ""})
        [note] = home.wait_trash("switch/main")
        self.assertEqual((note["reason"], note["original_name"], content(note["path"])), ("unmatched", "b", b"b"))
        self.assertEqual(note["error"], 'no rule matches: "b"')
        listed = json.loads(home.run(MFDATA, "trash", "list", "--reason", "unmatched", "--json").stdout)
        self.assertEqual([entry["original_name"] for entry in listed], ["b"])
        count, metric, shown, lines = self.unmatched(home)
        self.assertEqual((count, metric, shown), (1, 1, ["skipped since the start: 1, kept: mfdata trash list --reason unmatched"]))
        self.assertEqual(len(lines), 1)
        self.assertIn('is skipped and kept in trash: no rule matches: "b"', lines[0])

    def test_what_no_rule_matches_is_deleted_when_told_so_and_still_counted_and_named(self):
        home = self.switch_home(block("equal", {"a": ["main"]}), settings=self.METERED, custom='no_match_policy = "delete"')
        self.assertEqual(self.routed(home, ["a", "b"]), {"a": "1", "b": ""})
        self.assertEqual((home.trash("switch/main"), home.left_over()), ([], []))
        count, metric, shown, lines = self.unmatched(home)
        self.assertEqual((count, metric, shown), (1, 1, ["skipped since the start: 1, deleted (its unmatched_policy or no_match_policy)"]))
        self.assertEqual(len(lines), 1)
        self.assertIn('is skipped and deleted: no rule matches: "b"', lines[0])

    def test_log_line_of_an_unmatched_file_says_what_it_is(self):
        home = self.home("guess_file_type", "switch", settings='[data]\nentry_step = "guess_file_type/main"\n').start()
        home.drop("report.txt", b"hello\n")
        home.wait_log("switch/main", 'is skipped and kept in trash: no rule matches: "report.txt", system_magic "ASCII text"')

    def test_unmatched_policy_of_the_switch_s_own_step_wins_where_it_is_written(self):
        for policy, kept in (("delete", 0), ("keep", 1)):
            other = {"delete": "keep", "keep": "delete"}[policy]
            home = self.home("switch", settings=ENTRY, overrides={"switch": f'[step.main]\nunmatched_policy = "{policy}"\n[custom]\nno_match_policy = "{other}"\n'}).start()
            home.drop("a", b"x")
            wait_for(lambda: home.step_status("switch/main")["skipped"] == 1, "the result")
            home.wait_idle()
            self.assertEqual(len(home.trash("switch/main")), kept)
            home.stop()

    def test_no_match_policy_that_is_neither_keep_nor_delete_is_a_problem_with_its_line(self):
        home = self.home("switch", settings=ENTRY, overrides={"switch": '[custom]\nno_match_policy = "kep"\n'})
        done = home.run(MFDATA, "check", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r'switch.toml:2.*no_match_policy is one of keep\|delete, not "kep"')

    def test_kept_file_is_found_by_its_name(self):
        home = self.switch_home(block("equal", {"a": ["main"]}), custom="no_match_keep_original_basename = true")
        wait_for(lambda: "no_match_keep_original_basename has no effect" in home.step_log("switch/main"), "the warning")
        home.drop("c", b"kept")
        [note] = wait_for(lambda: [n for n in home.trash("switch/main") if n["path"]], "the file in trash")
        self.assertEqual((note["reason"], note["original_name"], content(note["path"])), ("unmatched", "c", b"kept"))
        for pattern, found in (("[bc]", 1), ("d*", 0)):
            self.assertEqual(len(json.loads(home.run(MFDATA, "trash", "list", "--name", pattern, "--json").stdout)), found)

    def test_rules_can_be_addressed_to_another_switch(self):
        rules = block("alwaystrue", {"all": ["switch2/main", "main"]}, tag=None) + block("alwaystrue", {"all": ["t2/main"]}, tag=None, more='switch = "switch2"\n')
        home = self.switch_home(rules, start=False)
        home.run(MFDATA_PLUGIN, "install", BUILD / "sample_plugins/switch", "--new-name", "switch2")
        home.start()
        self.assertEqual(self.routed(home, ["a"]), {"a": "12"})

    def test_bad_rules_are_problems_of_their_own_and_the_good_ones_hold(self):
        bad = {
            block("fmatch", {"a": ["main"]}): 'did you mean "fnmatch"?',
            block("equal", {"a": ["main"]}, tag=None): "tag is missing",
            block("equal", {"a": ["main"]}, tag="no tag"): "no name of a tag",
            block("regex", {"a(": ["main"], "b": ["main"]}): "regular expression",
            block("regex", {"a\\E": ["main"]}): "bad escape \\E",
            block("bytes", {"a\\n": ["main"]}, tag=None): "a backslash begins \\xHH",
            block("bytes", {"a": ["main"]}): "has no tag",
            block("equal", {"a": ["t9/main"]}): 'there is no step "t9/main"',
            block("equal", {"a": []}): "an array",
            block("alwaystrue", {"a": ["main"]}): "has no tag",
            block("equal", {"a": ["main"]}, more='switch = "nobody"\n'): 'no plugin "nobody"',
            block("equal", {"a": ["main"]}, more="swich = \"x\"\n"): 'did you mean "switch"?',
            '[[switch_rules]]\ntype = "equal"\ntag = "x"\n': "rules is a table",
        }
        home = self.switch_home(block("equal", {"good": ["main"]}) + "".join(bad) + block("equal", {"good too": ["t2/main"]}), start=False)
        done = home.run(MFDATA, "check", check=False)
        self.assertEqual(done.returncode, 1)
        problems = json.loads(home.run(MFDATA, "check", "--json", check=False).stdout)
        self.assertEqual(len(problems), len(bad))
        for words in bad.values():
            self.assertIn(words, done.stderr)
        for problem in problems:
            self.assertTrue(problem["file"].endswith("/t1.toml") and problem["line"] > 0, problem)
        home.start()
        self.assertEqual(self.routed(home, ["good", "good too", "a", "b"]), {"good": "1", "good too": "2", "a": "", "b": "1"})
        self.assertEqual((home.log().count("a rule is left out"), home.log().count("files fail there")), (len(bad) - 1, 1))
        [note] = home.wait_trash("switch/main")  # a file whose only place is not there is no file without a rule
        self.assertEqual((note["original_name"], "t9/main" in note["error"]), ("a", True))

    def test_regex_that_would_run_for_ever_counts_as_no_match_and_is_logged_and_counted(self):
        home = self.switch_home(block("regex", {"(a+)+$": ["main"], "a": ["t2/main"]}), settings=ENTRY + '[metrics]\nlisten = "127.0.0.1:0"\n')
        name = "a" * 60 + "b"
        self.assertEqual(self.routed(home, ["ab"]), {"ab": "2"})
        self.assertEqual(self.undecided(home), 0)
        self.assertEqual(self.routed(home, [name, name + "b"]), {name: "2", name + "b": "2"})
        home.wait_log("switch/main", "cannot be matched within its limits")
        self.assertIn("t1.toml:", home.step_log("switch/main"))
        self.assertEqual(self.undecided(home), 2)

    @staticmethod
    def undecided(home):
        return home.metric("mfdata_plugin_switch_undecided_rules_total")

    def test_negated_regex_that_would_run_for_ever_counts_as_no_match(self):
        home = self.switch_home(block("notregex", {"(a+)+$": ["main"]}) + block("fnmatch", {"a*": ["t2/main"]}))
        names = ["a" * 60 + "b", "a" * 60, "ab"]
        self.assertEqual(self.routed(home, names), {names[0]: "2", names[1]: "2", names[2]: "12"})
        home.wait_log("switch/main", "cannot be matched within its limits")
        self.assertEqual(home.step_log("switch/main").count("cannot be matched within its limits"), 1)

    def test_file_that_no_rule_could_be_told_to_match_is_kept(self):
        home = self.switch_home(block("regex", {"(a+)+$": ["main"]}))
        home.drop("a" * 60 + "b", b"content")
        [note] = wait_for(lambda: [n for n in home.trash("switch/main") if n["path"]], "the file in trash")
        self.assertIn("t1.toml:", note["error"])

    def code_home(self, rules, settings=PATIENT, targets=("t1", "t2", "t3")):
        """Rules whose predicates are those of the plugin judge; they have time to answer."""
        home = self.switch_home("", targets, start=False, settings=settings)
        home.run(MFDATA_PLUGIN, "install", BUILD / "tests/plugins/judge")
        home.override("judge", block("plugin", rules, tag=None))
        return home.start()

    def test_code_rules_of_other_plugins_read_the_file_its_tags_and_their_configuration(self):
        home = self.code_home({"begins_with(a)": ["t1/main"], "begins_with": ["t2/main"], 'named(b, "x, y" , c)': ["t3/main"]})
        self.assertEqual(self.routed(home, ["a", "configured", "b", "x, y", "none"]),
                         {"a": "1", "configured": "2", "b": "3", "x, y": "3", "none": ""})
        self.assertEqual(home.left_over(), [])

    def test_code_rule_that_does_not_compile_is_left_out_and_the_others_hold(self):
        home = self.code_home({"begins_with(a)": ["t1/main"], "unknown": ["t2/main"], "begins_with(refused)": ["t2/main"],
                               "does(segv)": ["t2/main"], "named(a, b)": ["t3/main"], "begins_with(b": ["t2/main"]})
        self.assertEqual(self.routed(home, ["a", "b"]), {"a": "13", "b": "3"})
        log = home.step_log("switch/main")
        for why in ('has no predicate "unknown"', "this word is refused", "signal 11"):
            self.assertRegex(log, rf"a rule is left out: .*judge.toml:\d+: .*{why}")
        self.assertIn("is no predicate with its arguments", home.log())

    def test_code_rule_that_harms_itself_counts_as_no_match_and_is_suspended_after_three(self):
        for harm, why, limits in (("segv", "signal 11", [60]), ("exit", "process died", [60]), ("hang", "did not answer in time", [0.2, 3, 12])):
            with self.subTest(harm):
                for limit in limits:  # a good predicate of a slow machine does not answer within the first one
                    try:
                        self.harmed_four_times(harm, why, limit)
                        break
                    except AssertionError:
                        if limit == limits[-1]:
                            raise

    def harmed_four_times(self, harm, why, limit):
        home = self.code_home({f"does({harm}, bad)": ["t1/main"], "named(bad1, bad2, bad3, bad4, good, good4)": ["t2/main"]},
                              settings=ENTRY + f'[metrics]\nlisten = "127.0.0.1:0"\n[loader]\npredicate_timeout = {limit}\n')
        names = ["good", "bad1", "good", "bad2", "bad3", "bad4"]
        for name in names[:3]:
            self.assertEqual(self.routed(home, [name])[name], "12" if name == "good" else "2", "one failure harms nobody")
        self.routed(home, names[3:])
        log = home.step_log("switch/main")
        self.assertEqual(log.count(why), 4 - 1 + 1, log)
        self.assertIn("is suspended for 60 s: it failed 3 times in a row", log)
        self.assertEqual(self.undecided(home), 4)
        self.assertEqual([len(list((home.root / target).iterdir())) for target in ("t1", "t2")], [2, 6])
        self.assertEqual(self.routed(home, ["good4"])["good4"], "2", "while it is suspended, it is not asked")
        self.assertEqual((home.trash("switch/main"), home.left_over()), ([], []))
        self.assertEqual(home.status()["steps"][0]["state"], "running")
        home.stop()

    def test_predicate_that_fails_for_one_rule_is_suspended_though_another_of_its_rules_answers(self):
        home = self.code_home({"does(segv, bad)": ["t1/main"], "does(hang, nobody)": ["t2/main"]})
        self.routed(home, ["bad1", "bad2", "bad3", "bad4"])
        self.assertIn("it failed 3 times in a row", home.step_log("switch/main"))
        self.assertEqual(home.step_log("switch/main").count("signal 11"), 3 + 0)

    def test_large_tags_with_any_byte_reach_a_predicate(self):
        home = self.code_home({"named(big)": ["t1/main"]})
        home.run(MFDATA, "inject", "--step", "switch/main", self.big_file(home), "--tag", "big=" + "\x01" * 60_000)
        wait_for(lambda: (home.root / "t1/big").exists(), "the file to be routed")

    @staticmethod
    def big_file(home):
        (home.root / "big").write_bytes(b"x")
        return home.root / "big"

    def test_predicates_end_with_their_worker_and_its_files_are_treated(self):
        home = self.code_home({"does(hang, bad)": ["t1/main"], "begins_with(b)": ["t2/main"]}, settings=ENTRY + "[loader]\npredicate_timeout = 100\n")
        self.routed(home, ["b"])
        home.drop("bad", b"bad")
        wait_for(lambda: home.step_status("switch/main")["in_flight"] == 1, "the file to be in hand")
        [worker] = home.worker_pids("switch/main")
        children = wait_for(lambda: [int(pid) for pid in content(f"/proc/{worker}/task/{worker}/children").split()], "the process of the predicates")
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: not [pid for pid in children if os.path.exists(f"/proc/{pid}")], "its end")
        home.kill()
        home.start()
        self.assertTrue(home.step_status("switch/main"))

    def test_predicate_may_not_change_the_file(self):
        rules = {f"does({what}, {what})": ["t1/main"] for what in ("throw", "write", "stage", "make")} | {"named(throw, write, stage, make)": ["t2/main"]}
        home = self.code_home(rules)
        self.assertEqual(self.routed(home, ["throw"])["throw"], "12")
        for name in ("write", "stage", "make"):
            with self.subTest(name):
                self.assertEqual(self.routed(home, [name])[name], "12")
        self.assertEqual(home.step_log("switch/main").count("counts as no match"), 4)

    def test_file_that_only_a_failing_predicate_could_route_is_kept(self):
        home = self.code_home({"does(segv, bad)": ["t1/main"]})
        home.drop("bad", b"content")
        [note] = wait_for(lambda: [n for n in home.trash("switch/main") if n["path"]], "the file in trash")
        self.assertEqual((content(note["path"]), note["attempts"]), (b"content", 1))

    def test_ten_thousand_rules(self):
        def long_block(kind, rules):
            lines = "".join(f"{json.dumps(pattern)} = {json.dumps(targets)}\n" for pattern, targets in rules.items())
            return f'[[switch_rules]]\ntype = "{kind}"\ntag = "{NAME}"\n[switch_rules.rules]\n{lines}'
        rules = (long_block("equal", {f"e{i}": ["main"] for i in range(5000)})
                 + long_block("fnmatch", {f"f{i:04}*": ["t2/main"] for i in range(5000)}))
        home = self.switch_home(rules)
        self.assertEqual(self.routed(home, ["e4999", "f4321x", "none"]), {"e4999": "1", "f4321x": "2", "none": ""})

    def test_standard_flow_of_a_png_to_the_archive(self):
        home = self.home("guess_file_type", "switch", "archive", settings='[data]\nentry_step = "guess_file_type/main"\n',
                         overrides={"archive": block("fnmatch", {"PNG image*": ["main"]}, "latest.guess_file_type.main.system_magic")}).start()
        home.drop("picture 100%.png", png())
        home.drop("text", b"some text\n")
        [path] = wait_for(home.files, "the picture in the archive")
        home.wait_idle()
        self.assertEqual((content(path), len(home.files())), (png(), 1))
        tags = parse_tags_file(path + b".tags")
        self.assertEqual(tags[NAME], b"picture 100%.png")
        self.assertEqual(tags["latest.core.step_counter"], b"2")
        self.assertEqual([tags.get(f"{n}.{step}.main.enter_step") is not None for n, step in enumerate(("guess_file_type", "switch", "archive"))], [True] * 3)


if __name__ == "__main__":
    main()
