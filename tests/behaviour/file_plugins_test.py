"""move, archive, delete, fork: each key of theirs; batches and transforms; the names with placeholders."""
import bz2
import gzip
import itertools
import json
import lzma
import os
import re
import stat
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, Case, content, context_of, main, parse_tags_file, wait_for

GATHER = BUILD / "tests/plugins/gather"
NAME = "first.core.original_basename"


def entry(step):
    return f'[data]\nentry_step = "{step}"\n'


def attribute(path):
    try:
        return context_of(path)
    except OSError:
        return None


class Move(Case):
    def moved(self, custom, name="a.txt", to="{home}/out"):
        home = self.home("move", settings=entry("move/main"), overrides={"move": f'[custom]\ndest_dir = "{to}"\n{custom}\n'})
        os.makedirs(home.root / "out/sub")
        home.start()
        home.drop(name, b"content")
        [path] = wait_for(lambda: home.files(home.root / "out"), "the delivery")
        home.wait_idle()
        self.assertEqual((content(path), home.left_over()), (b"content", []))
        return home, os.fsdecode(path)

    def test_default_name_is_the_original_one_and_tags_are_dropped(self):
        _, path = self.moved("")
        self.assertEqual(os.path.basename(path), "a.txt")
        self.assertIsNone(attribute(path))

    def test_drop_tags_0_keeps_them(self):
        for value in ("0", "false"):
            _, path = self.moved(f"drop_tags = {value}")
            self.assertEqual(attribute(path)[1][NAME], b"a.txt")

    def test_drop_tags_1_drops_them_and_auto_keeps_them_before_a_step(self):
        _, path = self.moved("drop_tags = 1")
        self.assertIsNone(attribute(path))
        home = self.home("move", "archive", settings=entry("move/main"), overrides={"move": '[custom]\ndest_dir = "archive/main"\n'}).start()
        home.drop("b", b"x")
        [path] = wait_for(home.files, "the file in the archive")
        self.assertEqual(attribute(path)[1][NAME], b"b")

    def test_force_chmod_is_octal(self):
        for mode in ("0644", "0600", "0440"):
            _, path = self.moved(f'force_chmod = "{mode}"')
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), int(mode, 8))

    def test_every_placeholder_and_strftime_of_local_time(self):
        year = time.strftime("%Y")
        _, path = self.moved('dest_basename = "{ORIGINAL_BASENAME}|{ORIGINAL_DIRNAME}|{STEP_COUNTER}|{ORIGINAL_UID}|{RANDOM_ID}|%Y|{{UNKNOWN}}|%%"\ndrop_tags = 0')
        uid = attribute(path)[1]["first.core.original_uid"].decode()
        parts = os.path.basename(path).split("|")
        self.assertEqual(parts[:4] + parts[6:], ["a.txt", "incoming", "0", uid, "{UNKNOWN}", "%"])
        self.assertRegex(parts[4], "^[0-9a-f]{32}$")
        self.assertIn(parts[5], (year, time.strftime("%Y")))

    def test_unknown_word_in_a_name_stops_the_step_and_its_files_wait(self):
        for custom, words in (('dest_basename = "%Y-{ORIGINAL_NAME}"', "dest_basename: there is no placeholder {ORIGINAL_NAME}, did you mean {ORIGINAL_BASENAME}?"),
                              ('dest_basename = "{ORIGINAL_BASENAME"', '"{ORIGINAL_BASENAME" is not closed'),
                              ('dest_basename = "%Q-{ORIGINAL_UID}"', 'strftime(3) does not know "%Q"'),
                              ('dest_basename = "a"\ndest_dir = "{home}/out/{{ORIGINAL_DIRNAME}}"', "write it into dest_basename")):
            with self.subTest(custom):
                out = '' if "dest_dir" in custom else 'dest_dir = "{home}/out"\n'
                home = self.home("move", settings=entry("move/main"), overrides={"move": f"[custom]\n{out}{custom}\n"})
                os.makedirs(home.root / "out")
                home.start()
                for name in "abc":
                    home.drop(name, name.encode())
                wait_for(lambda: words in home.step_status("move/main").get("failure", ""), words)
                self.assertEqual((home.files(home.root / "out"), home.trash("move/main")), ([], []))
                home.override("move", '[custom]\ndest_dir = "{home}/out"\ndest_basename = "{ORIGINAL_BASENAME}"\n')
                home.run(MFDATA, "reload")
                wait_for(lambda: len(home.files(home.root / "out")) == 3, "the files that waited")
                self.assertEqual([content(path) for path in home.files(home.root / "out")], [b"a", b"b", b"c"])
                home.stop()

    def test_name_is_taken_as_it_is_in_a_template(self):
        day = time.strftime("%d")
        _, path = self.moved('dest_basename = "{ORIGINAL_BASENAME}.%d"', name="%Y {RANDOM_ID}")
        self.assertIn(os.path.basename(path), ("%Y {RANDOM_ID}." + day, "%Y {RANDOM_ID}." + time.strftime("%d")))

    def test_name_of_a_template_goes_into_a_directory_that_is_there(self):
        _, path = self.moved('dest_basename = "sub/x"')
        self.assertTrue(path.endswith("/out/sub/x"))

    def test_strftime_of_a_template_is_the_local_time_of_the_loader(self):
        home = self.home("move", settings=entry("move/main"), overrides={"move": '[custom]\ndest_dir = "{home}/out"\ndest_basename = "%z"\n'})
        os.makedirs(home.root / "out")
        home.environment["TZ"] = "Pacific/Kiritimati"
        home.start()
        home.drop("a", b"content")
        [path] = wait_for(lambda: home.files(home.root / "out"), "the delivery")
        self.assertEqual(os.path.basename(path), b"+1400")

    def test_existing_file_is_never_overwritten(self):
        home, first = self.moved('dest_basename = "same"')
        home.drop("b", b"second")
        wait_for(lambda: len(home.files(home.root / "out")) == 2, "the second delivery")
        self.assertEqual(sorted((os.path.basename(path), content(path)) for path in home.files(home.root / "out")), [(b"same", b"content"), (b"same-1", b"second")])

    def test_wrong_keys_are_said(self):
        for custom, words in (('dest_dir = ""', "dest_dir is empty"), ('dest_dir = "/tmp"\nforce_chmod = "rw"', "octal"), ('dest_dir = "/tmp"\nforce_chmod = "4755"', "at most 0777"), ('dest_dir = "/tmp"\nmake_dirs_mode = "4755"', "at most 3777"), ('dest_dir = "/tmp"\nforce_chmod = 644', "write \"0644\""),
                              ('dest_dir = "/tmp"\ndrop_tags = "maybe"', "true or false"),
                              ('dest_dir = "move/main"\ndrop_tags = true', "drop_tags is for an absolute dest_dir"),
                              ('dest_dir = "move/main"\nforce_chmod = "0644"', "force_chmod is for an absolute dest_dir"),
                              ('dest_dir = "move/main"\ndest_basename = "x"', "dest_basename is for an absolute dest_dir")):
            home = self.home("move", settings=entry("move/main"), overrides={"move": f"[custom]\n{custom}\n"}).start()
            wait_for(lambda: words in home.status()["steps"][0]["failure"], words)
            home.stop()


class Archive(Case):
    def archived(self, custom=""):
        home = self.home("archive", overrides={"archive": f"[custom]\n{custom}\n"}).start()
        home.drop("name", b"content")
        [path] = wait_for(lambda: [path for path in home.files() if not path.endswith(b".ctx")], "the file in the archive")
        home.wait_idle()
        return home, os.fsdecode(path)

    def test_default_place_is_a_directory_of_the_day_and_the_original_uid(self):
        day = time.strftime("%Y%m%d")
        home, path = self.archived()
        directory, name = os.path.split(os.path.relpath(path, home.archive))
        self.assertIn(directory, (day, time.strftime("%Y%m%d")))
        self.assertEqual(name, attribute(path)[1]["first.core.original_uid"].decode())
        self.assertEqual(parse_tags_file(path + ".tags"), attribute(path)[1])

    def test_suffix_of_the_companion_can_be_another_or_none(self):
        _, path = self.archived('keep_tags_suffix = ".ctx"')
        self.assertEqual(parse_tags_file(path + ".ctx")[NAME], b"name")
        home, path = self.archived('keep_tags_suffix = ""\ndest_basename = "%Y/{ORIGINAL_BASENAME}"\nforce_chmod = "0444"')
        self.assertEqual(home.files(companions=True), [path.encode()])
        self.assertEqual((attribute(path)[1][NAME], stat.S_IMODE(os.stat(path).st_mode)), (b"name", 0o444))

    def test_tags_file_is_sorted_lines(self):
        _, path = self.archived()
        lines = content(path + ".tags").decode().splitlines()
        self.assertEqual(lines, sorted(lines))
        self.assertTrue(all(re.fullmatch(r"[A-Za-z0-9_.@-]+ = .*", line) for line in lines), lines)


    def test_destination_that_is_no_absolute_directory_is_said(self):
        home = self.home("archive", "delete", overrides={"archive": '[custom]\ndest_dir = "delete/main"\n'}).start()
        home.drop("a", b"x")
        failure = wait_for(lambda: home.step_status("archive/main").get("failure"), "the failure in the status")
        self.assertIn('dest_dir is an absolute directory, not "delete/main"', failure)
        self.assertEqual(content(home.incoming / "a"), b"x", "the file waits")


class Others(Case):
    def test_delete_deletes(self):
        home = self.home("delete", settings=entry("delete/main")).start()
        home.drop("a", b"x")
        wait_for(lambda: home.status()["files_done"] == 1, "the treatment")
        home.wait_idle()
        self.assertEqual((home.left_over(), home.trash("delete/main")), ([], []))

    def test_fork_without_returned_paths_ends_its_file(self):
        home = self.home("fork", "archive", settings=entry("fork/main"), overrides={
            "fork": '[custom]\ncommand = ["sh", "-c", "cp $1 x; echo FILEPATH: x", "sh", "{PATH}"]\ncommand_returning_path = 0\ndest_dir = "archive/main"\n'}).start()
        home.drop("a", b"x")
        wait_for(lambda: home.status()["files_done"] == 1, "the treatment")
        home.wait_idle()
        self.assertEqual((home.files(), home.trash("fork/main")), ([], []))


class Batch(Case):
    def gather_home(self, custom="", step="max_wait = 1000"):
        """Batches of three, as long as it may take until they are full."""
        return self.home(GATHER, "archive", settings=entry("gather/main"), overrides={"gather": f"[step.main]\n{step}\n[custom]\n{custom}\n"}).start()

    def tags(self, home, number):
        paths = wait_for(lambda: home.files() if len(home.files()) == number else None, "the archive")
        return [parse_tags_file(path + b".tags") for path in paths]

    def test_batch_is_full_at_max_size(self):
        home = self.gather_home()
        for i in range(6):
            home.drop(f"f{i}", b"x")
        tags = self.tags(home, 6)
        self.assertEqual({each["latest.gather.main.number"] for each in tags}, {b"3"})
        batches = [each["0.gather.main.batch_id"] for each in tags]
        self.assertEqual(sorted(batches.count(batch) for batch in set(batches)), [3, 3])
        self.assertFalse([name for name in tags[0] if name.startswith("latest.") and name.endswith("batch_id")], "no latest")

    def test_batch_waits_for_max_wait_after_the_first(self):
        home = self.gather_home(step="max_wait = 0.5")
        home.drop("a", b"x")
        self.assertEqual([each["latest.gather.main.number"] for each in self.tags(home, 1)], [b"1"])

    def test_stop_forces_a_batch(self):
        home = self.gather_home()
        for name in ("a", "b"):
            home.drop(name, b"x")
        wait_for(lambda: [p for p in (home.data / "tmp/gather.main/0/in").iterdir()] and len(list((home.data / "tmp/gather.main/0/in").iterdir())) == 2, "both in hand")
        self.assertEqual(home.stop(), 0)
        self.assertEqual(len(list((home.data / "step.archive.main").iterdir())) + len(home.files()), 2)
        home.start()
        self.assertEqual([each["latest.gather.main.number"] for each in self.tags(home, 2)], [b"2", b"2"])

    def test_files_in_hand_when_the_loader_died_run_one_at_a_time_once(self):
        home = self.gather_home(custom='gate = "{home}/gate"')
        for i in range(3):
            home.drop(f"f{i}", b"x")
        home.wait_log("gather/main", "a batch is in hand")
        home.kill()
        (home.root / "gate").touch()
        home.start()
        self.assertEqual([tags["latest.gather.main.number"] for tags in self.tags(home, 3)], [b"1"] * 3)
        for i in range(3):
            home.drop(f"g{i}", b"x")
        self.assertEqual(sorted(tags["latest.gather.main.number"] for tags in self.tags(home, 6)), [b"1"] * 3 + [b"3"] * 3)

    def test_one_status_is_that_of_all(self):
        home = self.gather_home(custom='fail = "f1"')
        for i in range(3):
            home.drop(f"f{i}", b"x")
        notes = home.wait_trash("gather/main", 3)
        self.assertEqual({note["error"] for note in notes}, {"one of them is bad"})
        self.assertEqual({content(note["path"]) for note in notes}, {b"x"})

    def test_reason_of_one_file_of_a_batch_is_not_that_of_the_next(self):
        home = self.gather_home(custom="each = true")
        for name in ("fail", "odd", "silent", "fail-too", "written", "silent-too"):
            home.drop(name, name.encode())
        notes = wait_for(lambda: home.trash("gather/main") if len(home.trash("gather/main")) == 6 else None, "all of them in trash")
        reasons = {note["original_name"]: note["error"] for note in notes}
        self.assertEqual({name: reasons[name] for name in ("fail", "fail-too")}, {"fail": "fail is bad", "fail-too": "fail-too is bad"})
        self.assertEqual({reasons["silent"], reasons["silent-too"]}, {"the step failed this file of its batch"})
        self.assertEqual(reasons["odd"], "the step returned 77 for this file of its batch")
        self.assertIn("changed the content of its input", reasons["written"])

    def test_output_of_a_whole_batch_comes_about_whichever_of_its_files_fails(self):
        for bad in ("fail", "written", "taken"):  # the first one: the others say that they are good
            home = self.gather_home(custom="each = true\nbundle = true", step="max_wait = 1000")
            for number, name in enumerate((bad, "ok1")):
                home.drop(name, name.encode())
                wait_for(lambda: home.step_status("gather/main").get("in_flight") == number + 1, "it to be in hand, before the next one comes")
            home.drop("ok2", b"ok2")
            wait_for(lambda: len(home.files()) == 3, "two files and the one of the batch")
            home.wait_idle()
            bundles = [content(path) for path in home.files() if context_of(path)[1]["first.core.original_dirname"] == b"gather.main"]
            self.assertEqual([sorted(bundle.split()) for bundle in bundles], [sorted({b"ok1", b"ok2", bad.encode()} - {b"fail"})])
            self.assertEqual(len(home.wait_trash("gather/main")), 1)

    def batch_with(self, name, step):
        """A batch of two good files and `name`, once nothing is on its way any more; {original basename: path} of the archive."""
        home = self.gather_home(custom="each = true", step="max_wait = 1000\n" + step.replace("{folder}", self.folder()))
        home.drop("ok1", b"ok1")
        home.drop(name, name.encode())
        home.drop("ok2", b"ok2")
        wait_for(lambda: home.step_status("gather/main").get("in_flight") == 0 and len(home.files()) >= 2, "the good files in the archive")
        home.wait_idle()
        self.assertEqual(home.left_over(), [])
        found = {context_of(path)[1][NAME].decode(): path for path in home.files()}
        self.assertEqual([content(found[good]) for good in ("ok1", "ok2")], [b"ok1", b"ok2"])
        self.assertEqual(len(home.files()), len(found), "each file once")
        self.assertEqual(len({context_of(path)[1]["0.gather.main.batch_id"] for path in found.values()}), 1)
        return home, found

    def folder(self):
        if not hasattr(self, "made_folder"):
            self.made_folder = self.home("archive").root / "failed"
            self.made_folder.mkdir()
        return str(self.made_folder)

    def test_failed_file_of_a_batch_is_deleted_by_that_policy(self):
        home, found = self.batch_with("fail", 'failure_policy = "delete"')
        self.assertEqual((sorted(found), home.trash("gather/main")), (["ok1", "ok2"], []))

    def test_failed_file_of_a_batch_moves_to_a_step_with_its_tags(self):
        home, found = self.batch_with("fail", 'failure_policy = "move"\nfailure_policy_move_dest_dir = "archive/main"')
        self.assertEqual((sorted(found), home.trash("gather/main")), (["fail", "ok1", "ok2"], []))
        self.assertEqual((content(found["fail"]), context_of(found["fail"])[1]["latest.core.step_counter"]), (b"fail", b"1"))

    def test_failed_file_of_a_batch_moves_to_a_directory_with_a_tags_file(self):
        home, found = self.batch_with("fail", 'failure_policy = "move"\nfailure_policy_move_dest_dir = "{folder}"')
        self.assertEqual((sorted(found), home.trash("gather/main")), (["ok1", "ok2"], []))
        self.assertEqual(sorted(os.listdir(self.folder())), ["fail", "fail.tags"])
        self.assertEqual(content(self.folder() + "/fail"), b"fail")
        tags = parse_tags_file(self.folder() + "/fail.tags")
        self.assertEqual(tags[NAME], b"fail")
        self.assertEqual(tags["0.gather.main.batch_id"], context_of(found["ok1"])[1]["0.gather.main.batch_id"])

    def test_skipped_file_of_a_batch_is_kept_by_that_policy(self):
        home, found = self.batch_with("skip", 'unmatched_policy = "keep"')
        self.assertEqual(sorted(found), ["ok1", "ok2"])
        [note] = home.trash("gather/main")
        self.assertEqual((note["reason"], note["error"], note["original_name"], content(note["path"])), ("unmatched", "skip is none of ours", "skip", b"skip"))

    def test_each_file_of_a_batch_ends_by_its_own_result(self):
        retry = 'retry_total = 1\nretry_min_wait = "1h"\nretry_max_wait = "1h"\n'
        home = self.gather_home(custom="each = true", step=retry + 'max_size = 4\nmax_wait = 1000\nunmatched_policy = "keep"')
        for name in ("fail", "ok", "retry", "skip"):
            home.drop(name, name.encode())
        [archived] = wait_for(home.files, "the archive")
        notes = {note["original_name"]: note for note in home.wait_trash("gather/main", 2)}
        self.assertEqual({name: (note["reason"], note["error"], content(note["path"])) for name, note in notes.items()},
                         {"fail": ("failed", "fail is bad", b"fail"), "skip": ("unmatched", "skip is none of ours", b"skip")})
        [waiting] = wait_for(lambda: list((home.data / "step.gather.main_reinject").iterdir()), "the file that waits")
        self.assertEqual((content(archived), content(waiting)), (b"ok", b"retry"))
        wait_for(lambda: len(home.spooled()) == 1 and not home.left_over(), "nothing else to wait")
        batch = "0.gather.main.batch_id"
        self.assertEqual({note["tags"][batch] for note in notes.values()}, {parse_tags_file(archived + b".tags")[batch].decode()})

    def test_max_wait_counts_from_the_first_file(self):
        home = self.gather_home(step="max_wait = 1\nmax_size = 10000")
        began, number = time.monotonic(), itertools.count()

        def drop_one_more():  # if it counted from the last one, the batch would never end
            home.drop(f"f{next(number)}", b"x")
            return home.files()
        wait_for(drop_one_more, "the first batch, though files keep coming")
        self.assertGreater(time.monotonic() - began, 1)


class Transform(Case):
    def lines_home(self):
        return self.home(GATHER, "archive", settings=entry("gather/lines"), overrides={"archive": '[custom]\ndest_basename = "{ORIGINAL_BASENAME}"\n'}).start()

    def test_many_outputs_with_the_tags_of_the_input(self):
        home = self.lines_home()
        home.drop("text", b"one\ntwo\nthree\n")
        paths = wait_for(lambda: home.files() if len(home.files()) == 3 else None, "three files")
        found = sorted((content(path), parse_tags_file(path + b".tags")["latest.gather.lines.line"]) for path in paths)
        self.assertEqual(found, [(b"one", b"1"), (b"three", b"3"), (b"two", b"2")])
        self.assertEqual(sorted(os.path.basename(path) for path in paths), [b"text", b"text-1", b"text-2"])
        self.assertEqual(len({context_of(path)[0]["uid"] for path in paths}), 3)
        self.assertEqual({context_of(path)[1]["first.core.original_uid"] for path in paths}, {context_of(paths[0])[1]["first.core.original_uid"]})

    def test_uid_in_a_name_is_that_of_the_file_itself_so_that_outputs_of_one_file_do_not_collide(self):
        home = self.home(GATHER, "archive", settings=entry("gather/lines"), overrides={"archive": '[custom]\ndest_basename = "{UID}"\n'}).start()
        home.drop("text", b"one\ntwo\nthree\n")
        paths = wait_for(lambda: home.files() if len(home.files()) == 3 else None, "three files")
        self.assertEqual({os.path.basename(path).decode() for path in paths}, {context_of(path)[0]["uid"] for path in paths})

    def test_run_shows_outputs_in_the_order_in_which_the_step_made_them(self):
        home = self.home(GATHER, "archive", settings=entry("gather/lines"))
        lines = [f"{number:{'a'}>{number}}" for number in range(1, 41)]
        (home.root / "text").write_text("".join(line + "\n" for line in lines))
        out = json.loads(home.run(MFDATA_PLUGIN, "run", "gather/lines", home.root / "text", "--json").stdout)
        self.assertEqual([output["tags"]["latest.gather.lines.line"] for output in out["outputs"]], [str(number) for number in range(1, 41)])
        self.assertEqual([output["size"] for output in out["outputs"]], [len(line) for line in lines])

    def step_home(self, step, custom=""):
        return self.home(GATHER, "archive", settings=entry(f"gather/{step}"), overrides={"archive": '[custom]\ndest_basename = "{ORIGINAL_BASENAME}"\n'}).start()

    def test_first_line_is_dropped(self):
        home = self.step_home("headless")
        cases = {"two": (b"head\nbody\nmore", b"body\nmore"), "one": (b"only", b""), "empty": (b"", b""), "binary": (b"\xff\n\0\n", b"\0\n")}
        for name, (data, _) in cases.items():
            home.drop(name, data)
        paths = wait_for(lambda: home.files() if len(home.files()) == len(cases) else None, "the archive")
        self.assertEqual({os.path.basename(path).decode(): content(path) for path in paths}, {name: rest for name, (_, rest) in cases.items()})

    def test_step_reads_compressed_files_uncompressed(self):
        home = self.step_home("inner")
        data = {"plain": b"x" * 100, "gz": gzip.compress(b"x" * 5000), "bz2": bz2.compress(b"y" * 7000), "xz": lzma.compress(b"z" * 9000)}
        for name, packed in data.items():
            home.drop(name, packed)
        paths = wait_for(lambda: home.files() if len(home.files()) == 4 else None, "the archive")
        found = {os.path.basename(path).decode(): (content(path), parse_tags_file(path + b".tags")["latest.gather.inner.size"]) for path in paths}
        self.assertEqual(found, {name: (packed, size) for (name, packed), size in zip(data.items(), (b"100", b"5000", b"7000", b"9000"))})
        home.drop("bomb", gzip.compress(b"\0" * 2_000_000))
        home.drop("broken", gzip.compress(b"x" * 5000)[:-5])
        notes = home.wait_trash("gather/inner", 2)
        errors = {note["original_name"]: note["error"] for note in notes}
        self.assertIn("more than max_size", errors["bomb"])
        self.assertIn("ends too early", errors["broken"])
        home.wait_idle()
        self.assertEqual(home.left_over(), [])

    def test_no_output_ends_the_file_and_a_failure_shows_none(self):
        home = self.lines_home()
        home.drop("empty", b"")
        wait_for(lambda: home.status()["files_done"] == 1, "the treatment")
        home.drop("bad", b"one\ntwo\n")
        [note] = wait_for(lambda: [n for n in home.trash("gather/lines") if n["path"]], "the file in trash")
        self.assertEqual(content(note["path"]), b"one\ntwo\n")
        home.wait_idle()
        self.assertEqual((home.files(), home.left_over()), ([], []))


if __name__ == "__main__":
    main()
