"""Far more than anybody has: targets, hops, bytes of a tag. Bounded, reported, nothing lost."""
import os
import shutil
import sys
import textwrap

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, Case, content, context_of, main, parse_tags_file, wait_for

TARGETS = 1000


class Extremes(Case):
    def sink(self, home):
        """A plugin with a thousand steps, none of which runs: each file waits where it was sent."""
        folder = home.root / "sink"
        shutil.copytree(BUILD / "sample_plugins/delete", folder)
        steps = "".join(f'[step.s{number}]\ncomponent = "main"\nnumprocesses = 0\n' for number in range(TARGETS))
        head = (folder / "plugin.toml").read_text().replace('name = "delete"', 'name = "sink"').replace("[step.main]\n", "")
        (folder / "plugin.toml").write_text(head + steps)
        return folder

    def test_thousand_targets_each_get_the_file_once(self):
        for suffix, inodes in (("*", 1), ("", TARGETS)):
            home = self.home("switch", settings='[data]\nentry_step = "switch/main"\n')
            home.run(BUILD / "tools/mfdata-plugin", "install", self.sink(home))
            targets = ", ".join(f'"s{number}{suffix}"' for number in range(TARGETS))
            home.override("sink", f'[[switch_rules]]\ntype = "alwaystrue"\nrules = {{ "all" = [{targets}] }}\n')
            home.start()
            home.drop("a", b"content")
            wait_for(lambda: home.status()["files_done"] == 1, "the treatment", 600)
            self.assertEqual(home.left_over(), [])
            places = home.spooled()
            self.assertEqual(len({os.path.dirname(place) for place in places}), TARGETS)
            paths = [os.path.join(os.fsencode(home.data), place) for place in places]
            self.assertEqual((len(paths), {content(path) for path in paths}), (TARGETS, {b"content"}))
            uids = {os.path.basename(place).split(b".")[0] for place in places}
            self.assertEqual(len(uids), TARGETS, "each has an identity of its own")
            self.assertEqual(len({os.stat(path).st_ino for path in paths}), inodes, "links share their content, copies do not")
            self.assertEqual(home.stop(), 0)

    def test_chain_of_thousand_hops_keeps_the_tags_of_the_last(self):
        settings = '[data]\nentry_step = "copy/main"\n'
        home = self.home("copy", settings=settings, overrides={"copy": '[custom]\ndest_dirs = ["copy/main"]\n'}).start()
        home.drop("a", b"content")
        [note] = home.wait_trash("copy/main")
        home.wait_idle()
        self.assertEqual((note["reason"], content(note["path"])), ("loop", b"content"))
        _, tags = context_of(note["path"])
        self.assertEqual(tags["latest.core.step_counter"], b"1000")
        self.assertEqual(tags["first.core.original_basename"], b"a")
        hops = sorted(int(name.split(".")[0]) for name in tags if name[0].isdigit())
        self.assertEqual((len(hops), hops[-1]), (32, 1000))
        self.assertEqual(home.left_over(), [])

    def test_tag_value_with_every_character_and_ones_near_64_kib(self):
        home = self.home("exec", "archive", settings='[data]\nentry_step = "exec/main"\n')
        program = home.root / "program.py"
        program.write_text(textwrap.dedent('''
            import json, sys
            sys.stdin.readline()
            print(json.dumps({"type": "hello", "version": 1}), flush=True)
            for line in sys.stdin:
                request = json.loads(line)
                value = {"all": "".join(map(chr, range(256))), "long": "x" * 30000, "longer": "x" * 40000}[request["tags"]["first.core.original_basename"]]
                print(json.dumps({"type": "result", "id": request["id"], "status": "ok", "hop_tags": {"value": value}, "outputs": [{"path": request["path"]}]}), flush=True)
        '''))
        home.override("exec", f'[custom]\ncommand = ["{sys.executable}", "{program}"]\ndest_dir = "archive/main"\n')
        home.start()
        expected = {"all": "".join(map(chr, range(256))).encode(), "long": b"x" * 30000}
        for name in ("all", "long", "longer"):
            home.drop(name, name.encode())
        wait_for(lambda: len(home.files()) == 2, "the archive")
        [note] = wait_for(lambda: [n for n in home.trash("exec/main") if n["path"]], "the file in trash")
        self.assertEqual((note["original_name"], content(note["path"])), ("longer", b"longer"))
        self.assertIn("limit", note["error"])
        for path in home.files():
            tags = parse_tags_file(path + b".tags")
            self.assertEqual(tags["latest.exec.main.value"], expected[content(path).decode()])
            if content(path) == b"all":
                self.assertEqual(context_of(path)[1]["latest.exec.main.value"], expected["all"])


if __name__ == "__main__":
    main()
