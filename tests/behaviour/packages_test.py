"""mfdata-plugin: packages, signatures, installing, upgrading and going back while files flow; hostile packages."""
import contextlib
import gzip
import hashlib
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, content, main, parse_tags_file, wait_for
from packages import EDITION_ENTRY, EDITIONS, NOBODY, Packages, members, need_another_user, record, tool

class Pack(Packages):
    def test_same_folder_makes_same_bytes_whatever_its_times_and_owners(self):
        source = self.copy_of()
        first = tool("pack", source, "--output", self.folder).stdout.strip()
        data = content(first)
        for path in source.rglob("*"):
            os.utime(path, (1, 1))
        os.chmod(source / "plugin.toml", 0o600)
        tool("pack", source, "--output", self.folder)
        self.assertEqual(content(first), data)
        self.assertEqual(os.path.basename(first), "edition-1.0.0.mfplugin")

    def test_manifest_names_every_file_and_what_the_library_needs(self):
        files = members(self.packed())
        manifest = json.loads(files.pop("manifest.json"))
        self.assertEqual([file["path"] for file in manifest["files"]], sorted(files))
        self.assertEqual({file["path"]: file["sha256"] for file in manifest["files"]}, {name: hashlib.sha256(data).hexdigest() for name, data in files.items()})
        self.assertEqual((manifest["name"], manifest["version"], manifest["abi_major"], manifest["components"], manifest["architecture"]),
                         ("edition", "1.0.0", 1, ["step main"], os.uname().machine))
        self.assertRegex(manifest["glibc"], r"^2\.\d+$")

    def test_releaseignore_and_hidden_names_and_build_directories_stay_out(self):
        source = self.copy_of()
        for name in ("notes.md", "src/a.c", "src/b.h", "src/deep/a.c", "build.p/x.o", ".git/config", "doc/keep.md", "doc/drop.md", "tmp/x"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(name)
        (source / ".releaseignore").write_text("# comment\n*.md\n!keep.md\nsrc/**/*.c\n/tmp/\n")
        files = set(members(tool("pack", source, "--output", self.folder).stdout.strip())) - {"manifest.json", "plugin.toml", "edition.so", "edition.txt"}
        self.assertEqual(files, {"src/b.h", "doc/keep.md"})
        (source / ".releaseignore").write_text("*.so\n")
        self.assertIn("edition.so would not be in the package", tool("pack", source, "--output", self.folder, check=False).stderr)

    def test_packing_twice_in_the_folder_makes_the_same_bytes_and_never_takes_a_key_along(self):
        source = self.copy_of()
        first = pathlib.Path(tool("pack", ".", cwd=source).stdout.strip())
        data = content(source / first)
        tool("keygen", "--key", self.folder / "author.key")
        tool("sign", source / first, "--key", self.folder / "author.key")
        tool("pack", ".", cwd=source)
        self.assertEqual(content(source / first), data)
        shutil.copy(self.folder / "author.key", source / "author.key")
        for command in (["pack", "."], ["--home", self.home("archive").root, "install", "."]):
            done = tool(*command, check=False, cwd=source)
            self.assertEqual(done.returncode, 1)
            self.assertIn("author.key: it is a secret key", done.stderr)
        (source / ".releaseignore").write_text("*.key\n")
        tool("pack", ".", cwd=source)
        self.assertEqual(content(source / first), data)

    def test_releaseignore_that_cannot_be_read_leaves_nothing_in(self):
        for make in (lambda path: path.mkdir(), lambda path: path.write_text("#" * (1 << 20) + "\n*.so\n"), lambda path: path.symlink_to("nowhere")):
            source = self.copy_of(name="ignored")
            make(source / ".releaseignore")
            done = tool("pack", source, "--output", self.folder, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(".releaseignore cannot be read", done.stderr)
            shutil.rmtree(source)

    def test_folder_that_is_no_plugin_is_not_packed(self):
        for change, words in ((lambda source: (source / "plugin.toml").unlink(), "has no plugin.toml"),
                              (lambda source: (source / "edition.so").unlink(), "build it first"),
                              (lambda source: (source / "edition.so").write_bytes(b"no library"), "is no ELF file"),
                              (lambda source: (source / "plugin.toml").write_text((source / "plugin.toml").read_text().replace('"1.0.0"', '"1.0.1"')), "says edition 1.0.1, the library edition 1.0.0"),
                              (lambda source: (source / "link").symlink_to("plugin.toml"), "not a regular file"),
                              (lambda source: (source / "a\nb").write_text("x"), "printable ASCII"),
                              (lambda source: (source / "plugin.toml").write_text((source / "plugin.toml").read_text().replace("[step.main]", "[step.maim]")), "did you mean \"main\"?")):
            source = self.copy_of(name=f"wrong{words[:5].replace(' ', '')}")
            change(source)
            done = tool("pack", source, "--output", self.folder, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(words, done.stderr)
        self.assertEqual(list(self.folder.glob("*.mfplugin")) + list(self.folder.glob(".*")), [])

    def test_info_and_inspect_and_hash(self):
        package = self.packed()
        shown = json.loads(tool("info", package, "--json").stdout)
        self.assertEqual((shown["name"], shown["version"], len(shown["files"])), ("edition", "1.0.0", 3))
        self.assertIn("component     step main", tool("info", EDITIONS[2]).stdout)
        self.assertEqual(tool("hash", package).stdout.split()[0], hashlib.sha256(content(package)).hexdigest())
        seen = json.loads(tool("inspect", EDITIONS[1] / "edition.so", "--json").stdout)
        self.assertEqual((seen["exported"], seen["text_relocations"], seen["version"]), (["mfdata_plugin_v1"], False, "1.0.0"))
        self.assertIn("libstdc++.so.6", seen["needed"])
        self.assertEqual([component["id"] for component in seen["components"]], ["main"])
        self.assertEqual(tool("inspect", package, check=False).returncode, 1)


class Signatures(Packages):
    def key(self, name="k"):
        tool("keygen", "--key", self.folder / f"{name}.key")
        return self.folder / f"{name}.key"

    def test_minisign_verifies_ours_and_we_verify_its(self):
        self.assertTrue(shutil.which("minisign"), "minisign is missing: apt-get install minisign")
        package, key = self.packed(), self.key()
        self.assertEqual(os.stat(key).st_mode & 0o777, 0o600)
        tool("sign", package, "--key", key)
        subprocess.run(["minisign", "-Vm", package, "-p", self.folder / "k.pub"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["minisign", "-G", "-W", "-p", self.folder / "m.pub", "-s", self.folder / "m.key"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["minisign", "-Sm", package, "-s", self.folder / "m.key"], check=True, stdout=subprocess.DEVNULL)
        self.assertIn("is signed with the key", tool("verify", package, "--public-key", self.folder / "m.pub").stdout)
        self.assertEqual(tool("verify", package, "--public-key", self.folder / "k.pub", check=False).returncode, 1)

    def test_key_with_a_password_is_minisign_s_too(self):
        package, password = self.packed(), self.folder / "password"
        password.write_text("open sesame\n")
        tool("keygen", "--key", self.folder / "p.key", "--password-file", password)
        subprocess.run(["minisign", "-Sm", package, "-s", self.folder / "p.key"], input="open sesame\n", text=True, check=True, stdout=subprocess.DEVNULL)
        tool("verify", package, "--public-key", self.folder / "p.pub")
        tool("sign", package, "--key", self.folder / "p.key", "--password-file", password)
        tool("verify", package, "--public-key", self.folder / "p.pub")
        password.write_text("wrong\n")
        self.assertIn("the password is wrong", tool("sign", package, "--key", self.folder / "p.key", "--password-file", password, check=False).stderr)
        self.assertIn("no terminal", tool("sign", package, "--key", self.folder / "p.key", check=False).stderr)

    def test_key_is_never_replaced_and_broken_keys_are_told(self):
        key = self.key()
        data = content(key)
        self.assertIn("never replaced", tool("keygen", "--key", key, check=False).stderr)
        self.assertEqual(content(key), data)
        key.write_bytes(data[:-20])
        self.assertIn("is no secret key", tool("sign", self.packed(), "--key", key, check=False).stderr)
        self.assertIn("keygen makes one", tool("sign", self.packed(), "--key", self.folder / "none.key", check=False).stderr)

    def test_pair_of_keys_and_signature_come_whole_or_not_at_all(self):
        (self.folder / "half.pub").symlink_to("nowhere/at/all")
        self.assertEqual(tool("keygen", "--key", self.folder / "half.key", check=False).returncode, 1)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["half.pub"])
        self.assertIn("without a password", tool("keygen", "--key", self.folder / "k.key").stdout)
        package = self.packed()
        tool("sign", package, "--key", self.folder / "k.key")
        before = content(f"{package}.minisig")
        killed = subprocess.run(["strace", "-qq", "-o", "/dev/null", "-e", "inject=write:signal=KILL", MFDATA_PLUGIN, "sign", package, "--key", self.folder / "k.key"])
        self.assertEqual(killed.returncode, -signal.SIGKILL)
        self.assertEqual(content(f"{package}.minisig"), before)

    def test_home_that_trusts_a_key_takes_only_what_it_signed(self):
        home, package, key, other = self.home("archive"), self.packed(), self.key(), self.key("other")
        shutil.copy(self.folder / "k.pub", home.root / "etc/keys")
        self.assertIn("is not signed", self.refused(home, package))
        tool("sign", package, "--key", other)
        self.assertIn("is not trusted here", self.refused(home, package))
        tool("sign", package, "--key", key)
        signature = content(f"{package}.minisig")
        pathlib.Path(f"{package}.minisig").write_bytes(signature.replace(b"timestamp:1", b"timestamp:2"))
        self.assertIn("trusted comment was changed", self.refused(home, package))
        pathlib.Path(f"{package}.minisig").write_bytes(signature[:100])
        self.assertIn("is no signature", self.refused(home, package))
        pathlib.Path(f"{package}.minisig").write_bytes(signature)
        data = content(package)
        package.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        self.assertIn("is not what was signed", self.refused(home, package))
        package.write_bytes(data)
        home.run(MFDATA_PLUGIN, "install", package)
        self.assertEqual(self.listed(home)["version"], "1.0.0")

    def test_unsigned_is_allowed_by_hand_unless_signatures_are_required(self):
        home, package = self.home("archive"), self.packed()
        self.key()
        shutil.copy(self.folder / "k.pub", home.root / "etc/keys")
        home.run(MFDATA_PLUGIN, "install", package, "--allow-unsigned")
        home.run(MFDATA_PLUGIN, "remove", "edition")
        home.configure("[mfdata]\nrequire_signatures = true\n")
        self.assertIn("is not signed", self.refused(home, package, "--allow-unsigned"))
        home.run(MFDATA_PLUGIN, "install", EDITIONS[1])
        (home.root / "etc/mfdata.toml").write_text("[mfdata]\nrequire_signatures = maybe\n")
        self.assertIn("mfdata.toml:2", self.refused(home, package))

    def test_older_package_with_a_good_signature_is_refused(self):
        home, key = self.home("archive"), self.key()
        shutil.copy(self.folder / "k.pub", home.root / "etc/keys")
        for number in (1, 2):
            tool("sign", self.packed(number), "--key", key)
        home.run(MFDATA_PLUGIN, "install", self.folder / "edition-2.0.0.mfplugin")
        self.assertIn("is older than 2.0.0", self.refused(home, self.folder / "edition-1.0.0.mfplugin"))
        home.run(MFDATA_PLUGIN, "install", self.folder / "edition-1.0.0.mfplugin", "--force")
        self.assertEqual(self.listed(home)["version"], "1.0.0")


class Hostile(Packages):
    def made(self, entries, records=None, name="edition-1.0.0.mfplugin", manifest=None, first=True, more=None):
        """A package of (TarInfo, data) and manifest records; without them those of the entries. `more`: files in place of the good ones."""
        files = dict(members(self.packed()), **(more or {}))
        own = json.loads(files.pop("manifest.json"))
        given = own if manifest is None else manifest
        good = [(self.entry(path), data) for path, data in files.items()]
        if isinstance(given, dict):
            given["files"] = [record(path, data) for path, data in files.items()] + (records or [])
            given = json.dumps(given).encode()
        head = [(self.entry("manifest.json"), given)]
        target = self.folder / "hostile" / name
        target.parent.mkdir(exist_ok=True)
        with tarfile.open(target, "w:gz", format=tarfile.PAX_FORMAT) as tar:
            for info, data in (head + good if first else good + head) + entries:
                info.size = len(data) if info.isreg() else 0
                tar.addfile(info, io.BytesIO(data))
        return target

    def entry(self, name, kind=tarfile.REGTYPE, mode=0o644, link=""):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.linkname = kind, mode, link
        return info

    def check(self, words, entries=(), records=None, **more):
        home = self.hostile_home
        error = self.refused(home, self.made(list(entries), records, **more))
        for word in words:
            self.assertIn(word, error)

    def setUp(self):
        super().setUp()
        self.hostile_home = self.home("archive")

    def test_good_package_made_by_the_test_installs(self):
        self.hostile_home.run(MFDATA_PLUGIN, "install", self.made([]))
        self.assertEqual(self.listed(self.hostile_home)["version"], "1.0.0")

    def test_defect_19_package_is_not_trusted_and_nothing_of_it_stays_or_runs(self):
        home = self.hostile_home
        before = sorted(home.root.rglob("*"))
        script = f"#!/bin/sh\ntouch {home.root}/ran\n".encode()
        self.check(["is a link"], [(self.entry("way_out", tarfile.SYMTYPE, link=str(home.root)), b""), (self.entry("way_out/ran"), b"x")])
        self.check(['".."'], [(self.entry("../../../ran"), b"x")])
        self.check(["postinstall", "not in the manifest"], [(self.entry("postinstall", mode=0o755), script)])
        self.assertEqual(sorted(home.root.rglob("*")), before)

    def test_names_that_leave_the_folder(self):
        for name, why in (("/etc/passwd", "is absolute"), ("../out", '".."'), ("a/../../out", '".."'), ("./a", '"."'), ("a//b", "empty part"), ("a\\b", "backslash"),
                          ("a\x1bb", "printable ASCII"), ("x" * 300, "longer than 200"), ("\xe9", "printable ASCII")):
            self.check([why], [(self.entry(name), b"x")])
            self.check([why], [], [record(name, b"x")])
        self.assertFalse((self.hostile_home.root / "out").exists())

    def test_everything_but_files_and_directories(self):
        for kind, link, why in ((tarfile.SYMTYPE, "/etc/passwd", "is a link"), (tarfile.LNKTYPE, "plugin.toml", "is a link"), (tarfile.CHRTYPE, "", "neither a file"),
                                (tarfile.BLKTYPE, "", "neither a file"), (tarfile.FIFOTYPE, "", "neither a file")):
            self.check(["odd", why], [(self.entry("odd", kind, link=link), b"")])
        for mode in (0o4755, 0o2755, 0o1755):
            self.check(["odd", "setuid"], [(self.entry("odd", mode=mode), b"")])

    def test_duplicates_and_names_that_clash(self):
        self.check(["plugin.toml", "twice"], [(self.entry("plugin.toml"), b"[plugin]\n")])
        self.check(["manifest.json", "twice"], [(self.entry("manifest.json"), b"{}")])
        self.check(["Plugin.toml", "capitals"], [], [record("Plugin.toml", b"x")])
        self.check(["a/x", "its directory differs from another one in capitals only"], [], [record("A/y", b"x"), record("a/x", b"x")])
        self.check(["plugin.toml/x", "directories is a file"], [], [record("plugin.toml/x", b"x")])

    def test_content_that_the_manifest_does_not_promise(self):
        self.check(["more.txt", "not in the manifest"], [(self.entry("more.txt"), b"x")])
        self.check(["missing.txt", "is missing"], [], [record("missing.txt", b"x")])
        self.check(["a.txt", "its content"], [(self.entry("a.txt"), b"y")], [record("a.txt", b"x")])
        self.check(["a.txt", "its size"], [(self.entry("a.txt"), b"yy")], [record("a.txt", b"x")])

    def test_wrong_manifests(self):
        self.check(["begins with manifest.json"], first=False)
        for manifest in (b"", b"[]", b'{"format": 2}', b'{"format": 1, "name": "../x", "version": "1"}', b'{"format": 1, "name": "x", "version": "../1"}', b"\xff" * 100):
            self.check(["manifest.json"], manifest=manifest)
        self.check(["its name has to be edition-1.0.0.mfplugin"], name="edition-2.0.0.mfplugin")

    def lies(self, **facts):
        return dict(json.loads(members(self.packed())["manifest.json"]), **facts)

    def test_manifest_that_says_something_else_than_the_plugin_in_it(self):
        for fact, value in (("glibc", "9.9"), ("components", ["step nothing"]), ("abi_minor", 5), ("summary", "something nice"), ("license", "none"), ("url", "x")):
            self.check([f"its manifest.json says {'ABI' if fact == 'abi_minor' else fact}"], manifest=self.lies(**{fact: value}))
        toml = members(self.packed())["plugin.toml"]
        self.check(['its manifest.json says name "edition", the plugin in it has "other"'], more={"plugin.toml": toml.replace(b'"edition"', b'"other"')})
        self.check(['its manifest.json says version "1.0.0", the plugin in it has "0.5"'], more={"plugin.toml": toml.replace(b'"1.0.0"', b'"0.5"')})
        package = self.made([], manifest=self.lies(components=["step nothing"]))
        done = tool("validate", package, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, "FAILED A19 .*step nothing")

    def test_package_for_another_host_is_refused_before_its_code_runs(self):
        marker = self.folder / "ran"
        library = self.folder / "constructor.so"
        self.with_constructor(library, f'creat("{marker}", 0600);')
        more = {"edition.so": library.read_bytes()}
        for facts, words in (({"architecture": "z80"}, "it is built for z80, this machine is"), ({"abi_major": 7}, "it is built for ABI 7"), ({"need_minor": 99}, "it needs ABI 1.99")):
            package = self.made([], manifest=self.lies(**facts), more=more)
            self.assertIn(words, self.refused(self.hostile_home, package))
            self.assertIn(words, tool("validate", package, check=False).stderr)
        self.assertFalse(marker.exists())
        self.refused(self.hostile_home, self.made([], more=more))
        self.assertTrue(marker.exists(), "the check can fail")

    def test_symbolic_link_to_a_package_stands_for_it(self):
        package = self.made([])
        link = self.folder / "links/edition-1.0.0.mfplugin"
        link.parent.mkdir()
        link.symlink_to(package)
        tool("info", link)
        self.hostile_home.run(MFDATA_PLUGIN, "install", link)

    def test_extension_headers_that_are_huge_or_many(self):
        huge = self.entry("a")
        huge.pax_headers = {"comment": "x" * 50_000_000}
        self.refused(self.hostile_home, self.made([(huge, b"x")]))
        path = self.made([])
        whole = gzip.decompress(content(path)).rstrip(b"\0")
        chain = self.entry("././@LongLink", b"L")
        chain.size = 100
        with gzip.open(path, "wb", compresslevel=1) as out:
            out.write(whole + b"\0" * (-len(whole) % 512))
            for _ in range(20_000):
                out.write(chain.tobuf() + b"n" * 100 + b"\0" * 412)
        self.refused(self.hostile_home, path)

    def test_truncated_at_every_hundredth_of_its_length(self):
        whole = content(self.made([]))
        for part in range(0, 100, 9):
            path = self.folder / "cut/edition-1.0.0.mfplugin"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(whole[:len(whole) * part // 100])
            self.assertIn("edition-1.0.0.mfplugin", self.refused(self.hostile_home, path))

    def test_what_is_no_package_at_all(self):
        path = self.folder / "edition-1.0.0.mfplugin"
        for data in (b"", b"no archive", gzip.compress(b"no tar"), os.urandom(10_000)):
            path.write_bytes(data)
            self.assertRegex(self.refused(self.hostile_home, path), "it cannot be read, it may be truncated|begins with manifest.json|not compressed with gzip")
        with tarfile.open(path, "w") as tar:
            tar.addfile(self.entry("manifest.json"), io.BytesIO(b""))
        self.assertIn("it is no manifest of format 1", self.refused(self.hostile_home, path))

    def test_bombs_stop_long_before_they_are_unpacked(self):
        size = 300_000_000
        zeros = hashlib.sha256()
        for _ in range(size // 1_000_000):
            zeros.update(bytes(1_000_000))
        promised = {"path": "bomb", "size": size, "sha256": zeros.hexdigest(), "executable": False}
        self.check(["bomb", "200 times"], [(self.entry("bomb"), bytes(size))], [promised])
        self.check(["huge", "2 GB"], [], [{"path": "huge", "size": 10 ** 15, "sha256": "0" * 64}])

    def test_million_entries(self):
        path = self.folder / "edition-1.0.0.mfplugin"
        block = self.entry("d/", tarfile.DIRTYPE).tobuf()
        with gzip.open(path, "wb", compresslevel=1) as out, open(self.made([]), "rb") as good:
            out.write(gzip.decompress(good.read()).rstrip(b"\0") + b"\0" * 512)
        whole = gzip.decompress(content(self.made([])))
        end = whole.rstrip(b"\0")
        padded = end + b"\0" * (-len(end) % 512)
        with gzip.open(path, "wb", compresslevel=1) as out:
            out.write(padded)
            for _ in range(100):
                out.write(block * 10_000)
        self.assertIn("more than 20000 entries", self.refused(self.hostile_home, path))

    def test_library_of_another_machine_or_version_is_refused(self):
        home = self.hostile_home
        source = self.copy_of()
        data = bytearray((source / "edition.so").read_bytes())
        data[18:20] = (183).to_bytes(2, "little")  # e_machine of aarch64
        (source / "edition.so").write_bytes(data)
        self.assertIn("it is built for aarch64, this machine is", self.refused(home, source))
        self.assertIn("it has no entry point mfdata_plugin_v1", self.refused(home, BUILD / "tests/plugins/no_entry"))
        self.assertIn("it is built for ABI", self.refused(home, BUILD / "tests/plugins/other_abi"))

    def test_component_that_can_never_run_is_refused_by_validate_and_install_with_the_reason(self):
        home = self.hostile_home
        root = pathlib.Path(__file__).parents[2]
        code = (root / "tests/plugins/future/future.c").read_text()
        whole = "0, create, process, NULL,"
        self.assertEqual(code.count(whole), 1)
        for table, words in (("0, NULL, process, NULL,", 'the step "main" has no create'), ("0, create, NULL, NULL,", 'the step "main" has neither process nor process_batch')):
            with self.subTest(table=table):
                source = pathlib.Path(shutil.copytree(BUILD / "tests/plugins/future", self.folder / words.rpartition(" ")[2]))
                subprocess.run(["cc", "-shared", "-fPIC", "-w", "-x", "c", "-", "-fvisibility=hidden", f"-I{root}/sdk/include", "-o", source / "future.so"],
                               input=code.replace(whole, table), text=True, check=True)
                self.assertIn(words, self.refused(home, source))
                validated = tool("validate", source, check=False)
                self.assertEqual((validated.returncode, words in validated.stdout + validated.stderr), (1, True), validated.stdout + validated.stderr)


class Install(Packages):
    def test_install_upgrade_roll_back_and_forth(self):
        home = self.home("archive")
        for number in (1, 2):
            home.run(MFDATA_PLUGIN, "install", self.packed(number))
        row = self.listed(home)
        self.assertEqual((row["version"], row["previous"], row["runs"]), ("2.0.0", "1.0.0", "no loader"))
        for version in ("1.0.0", "2.0.0"):
            self.assertIn(f"is back at {version}", home.run(MFDATA_PLUGIN, "rollback", "edition").stdout)
            self.assertEqual(self.listed(home)["version"], version)
        self.assertIn("is back at 1.0.0", home.run(MFDATA_PLUGIN, "rollback", "edition", "1.0.0").stdout)
        self.assertIn("is at 1.0.0 already", home.run(MFDATA_PLUGIN, "rollback", "edition", "1.0.0", check=False).stderr)
        self.assertRegex(home.run(MFDATA_PLUGIN, "rollback", "edition", "9.9.9", check=False).stderr, r"version 9.9.9 of edition is not kept, 1.0.0, .* are: ")
        self.assertIn("no earlier version", home.run(MFDATA_PLUGIN, "rollback", "archive", check=False).stderr)
        self.assertIn('did you mean "edition"?', home.run(MFDATA_PLUGIN, "rollback", "edtion", check=False).stderr)

    def test_same_version_needs_force_and_gets_a_folder_of_its_own(self):
        home, source = self.home("archive"), self.copy_of()
        home.run(MFDATA_PLUGIN, "install", source)
        self.assertIn("is installed already", self.refused(home, source))
        (source / "edition.txt").write_text("changed\n")
        home.run(MFDATA_PLUGIN, "install", source, "--force")
        self.assertEqual((home.root / "plugins/edition/current/edition.txt").read_text(), "changed\n")
        self.assertEqual((home.root / "plugins/edition/previous/edition.txt").read_text(), "1\n")
        home.run(MFDATA_PLUGIN, "install", source, "--new-name", "twin")
        self.assertEqual(self.listed(home, "twin")["version"], "1.0.0")

    def test_remove_refuses_while_others_send_files_to_it(self):
        home = self.home("archive", EDITIONS[1], settings=EDITION_ENTRY)
        done = home.run(MFDATA_PLUGIN, "remove", "archive", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("edition/1.0.0/plugin.toml:11", done.stderr)
        self.assertIn("mfdata.toml:2", home.run(MFDATA_PLUGIN, "remove", "edition", check=False).stderr)
        home.run(MFDATA_PLUGIN, "remove", "archive", "--force")
        self.assertIsNone(self.listed(home, "archive"))

    def test_postinstall_runs_as_the_owner_of_the_home_and_its_failure_takes_everything_back(self):
        need_another_user(self)
        home, source = self.home("archive", user=NOBODY), self.copy_of()
        os.chmod(self.folder, 0o755)
        install = [MFDATA_PLUGIN, "install", source]
        as_root = dict(user=0, group=0)
        self.with_postinstall(source, "#!/bin/sh\nid -u > made\npwd >> made\n")
        home.run(*install, **as_root)
        current = os.path.realpath(home.root / "plugins/edition/current")
        self.assertEqual((pathlib.Path(current) / "made").read_text().splitlines(), ["65534", current])
        (source / "plugin.toml").write_text((source / "plugin.toml").read_text().replace("1.0.0", "1.1.0"))
        (source / "postinstall").write_text("#!/bin/sh\necho no network\nexit 3\n")
        done = home.run(*install, check=False, **as_root)
        self.assertIn("failed with exit code 3: no network", done.stderr)
        self.assertEqual((self.listed(home)["version"], "1.1.0" in self.versions(home)), ("1.0.0", False))
        root_home = self.home("archive")
        self.assertIn("never run as root", self.refused(root_home, source))

    def test_version_whose_postinstall_was_killed_is_none_that_is_kept(self):
        need_another_user(self)
        home, source = self.home("archive", user=NOBODY), self.copy_of()
        os.chmod(self.folder, 0o755)
        home.run(MFDATA_PLUGIN, "install", source)
        (source / "plugin.toml").write_text((source / "plugin.toml").read_text().replace("1.0.0", "1.1.0"))
        self.with_postinstall(source, "#!/bin/sh\nkill -9 $PPID\n")
        self.assertEqual(home.run(MFDATA_PLUGIN, "install", source, check=False).returncode, -signal.SIGKILL)
        self.assertIn("1.1.0", self.versions(home), "it was killed when the folder stood there")
        self.assertEqual(self.listed(home)["versions"], ["1.0.0"])
        self.assertIn("no earlier version", home.run(MFDATA_PLUGIN, "rollback", "edition", check=False).stderr)
        self.assertNotIn("1.1.0", self.versions(home))

    def test_provisioning_installs_what_a_kill_left_unfinished(self):
        home, package = self.home("archive", EDITIONS[1], settings=EDITION_ENTRY), self.packed(2)
        for number in range(1, 20):
            home.run("strace", "-qq", "-o", "/dev/null", "-e", f"inject=rename:signal=KILL:when={number}", MFDATA_PLUGIN, "install", package, check=False)
            if "2.0.0" in self.versions(home):
                break
        self.assertEqual(self.listed(home)["version"], "1.0.0", "it was killed before the switch")
        shutil.copy(package, home.root / "etc/provision")
        home.start()
        self.assertEqual(self.listed(home)["runs"], "2.0.0")

    def test_postinstall_sees_the_home_it_is_installed_into_and_nothing_of_the_caller_s_environment(self):
        need_another_user(self)
        home = self.home("archive", user=NOBODY)
        os.chmod(self.folder, 0o755)
        source = self.with_postinstall(self.copy_of(), "#!/usr/bin/env -S python3 -I\nimport json, os\njson.dump(dict(os.environ), open('made', 'w'))\n")
        environment = dict(home.environment, MFDATA_HOME="/nowhere", SECRET="x", LD_LIBRARY_PATH="/x", HOME="/home/caller", PATH="/home/caller/bin:" + os.environ["PATH"])
        home.run(MFDATA_PLUGIN, "--home", home.root, "install", source, env=environment, user=0, group=0)
        made = json.loads(content(home.root / "plugins/edition/current/made"))
        self.assertEqual((made["MFDATA_HOME"], made["MFDATA_PLUGIN_NAME"]), (str(home.root), "edition"))
        self.assertEqual(set(made) - {"LC_CTYPE"}, {"PATH", "HOME", "LANG", "MFDATA_HOME", "MFDATA_PLUGIN_NAME", "MFDATA_PLUGIN_DIR"})
        self.assertNotIn("/home/caller", made["PATH"] + made["HOME"])

    def test_programs_that_the_owner_of_the_home_may_not_reach_are_named(self):
        need_another_user(self)
        home = self.home("archive", user=NOBODY)
        os.chmod(self.folder, 0o755)
        closed = pathlib.Path(self.folder) / "closed"
        closed.mkdir(mode=0o700)
        program = shutil.copy(MFDATA_PLUGIN, closed)
        done = home.run(program, "install", self.copy_of(), check=False, user=0, group=0)
        self.assertEqual((done.returncode, done.stderr.splitlines()[-1]), (1, f"mfdata-plugin: install mfdata where user 65534 may reach it, not in {closed}: Permission denied"))

    def test_loader_of_root_provisions_and_runs_as_the_owner_of_the_home(self):
        need_another_user(self)
        home = self.home("archive", user=NOBODY, settings=EDITION_ENTRY)
        source = self.with_postinstall(self.copy_of(), "#!/bin/sh\nid -u > made\n")
        package = tool("pack", source, "--output", self.folder).stdout.strip()
        shutil.copy(package, home.root / "etc/provision")
        home.credentials = {}
        home.start()
        self.assertEqual((home.root / "plugins/edition/current/made").read_text(), "65534\n")
        self.assertEqual({path.stat().st_uid for path in (home.root / "plugins").rglob("*")}, {65534})
        wait_for(lambda: home.worker_pids("edition/main"), "its worker")
        self.assertEqual({os.stat(f"/proc/{pid}").st_uid for pid in home.worker_pids()}, {65534})

    def test_init_of_root_in_a_home_of_somebody_else_works_as_its_owner(self):
        need_another_user(self)
        home = self.home("archive", user=NOBODY)
        os.chmod(self.folder, 0o755)
        source = self.with_postinstall(self.copy_of(), "#!/bin/sh\nid -u > made\n")
        home.run(MFDATA, "init", home.root, "--plugins", source, user=0, group=0)
        self.assertEqual((home.root / "plugins/edition/current/made").read_text(), "65534\n")

    def test_first_installation_is_forced_to_disk_with_its_place_among_the_plugins(self):
        home, trace = self.home("archive"), self.folder / "trace"
        home.run("strace", "-qq", "-y", "-o", trace, "-e", "trace=mkdir,fsync,rename", MFDATA_PLUGIN, "install", self.packed())
        calls = trace.read_text().splitlines()
        of = lambda *words: [number for number, call in enumerate(calls) if all(word in call for word in words)]
        [made], [flip] = of("mkdir(", '/plugins/edition"'), of("rename(", '/plugins/edition/current"')
        self.assertTrue([number for number in of("fsync(", f"<{home.root}/plugins>") if made < number < flip], calls)
        self.assertTrue([number for number in of("fsync(", f"<{home.root}/plugins/edition>") if number > flip], calls)

    def test_links_in_the_plugins_directory_are_never_followed(self):
        home, victim = self.home("archive"), self.folder / "victim"
        (victim / "1.0").mkdir(parents=True)
        (victim / "precious").write_text("x")
        (home.root / "plugins/innocent").symlink_to(victim)
        home.run(MFDATA_PLUGIN, "install", "delete")
        self.assertEqual(sorted(path.name for path in victim.iterdir()), ["1.0", "precious"])
        (home.root / "var/precious").mkdir()
        self.assertIn("bad plugin name", home.run(MFDATA_PLUGIN, "install", EDITIONS[1], "--new-name", "../var/precious", check=False).stderr)
        self.assertTrue((home.root / "var/precious").is_dir())

    def test_library_that_hangs_when_it_is_loaded_is_given_up(self):
        home, source = self.home("archive"), self.copy_of()
        self.with_constructor(source / "edition.so", "close(1); close(2); sleep(3600);")
        began = time.monotonic()
        self.assertIn("took longer than 20 s", self.refused(home, source))
        self.assertLess(time.monotonic() - began, 600, "less than the hour that the library wants")

    def test_link_to_a_folder_that_is_gone_is_told(self):
        home, source = self.home("archive"), self.copy_of()
        home.run(MFDATA_PLUGIN, "develop", source)
        self.assertEqual(json.loads(home.run(MFDATA_PLUGIN, "info", "edition", "--json").stdout)["version"], "1.0.0")
        shutil.rmtree(source)
        listed = home.run(MFDATA_PLUGIN, "list", check=False, cwd=EDITIONS[2])
        self.assertEqual(listed.returncode, 1)
        self.assertIn("points to nothing", listed.stdout)
        checked = home.run(MFDATA, "check", check=False)
        self.assertIn("points to nothing", checked.stdout + checked.stderr)
        home.run(MFDATA_PLUGIN, "remove", "edition")
        home.run(MFDATA, "check")

    def test_broken_plugin_hides_no_reference_and_can_be_removed_itself(self):
        home = self.home("archive", EDITIONS[1], settings='[data]\nentry_step = "archive/main"\n')
        home.override("edition", "[custom]\ndest_dri = 1\n")
        self.assertIn("cannot be told", home.run(MFDATA_PLUGIN, "remove", "archive", check=False).stderr)
        home.run(MFDATA_PLUGIN, "remove", "edition", "--clean")

    def test_rollback_of_a_provisioned_version_lasts(self):
        home = self.home("archive", EDITIONS[1], settings=EDITION_ENTRY)
        shutil.copy(self.packed(2), home.root / "etc/provision")
        home.start()
        home.run(MFDATA_PLUGIN, "rollback", "edition")
        home.stop()
        home.start()
        self.assertEqual(self.listed(home)["runs"], "1.0.0")

    def test_provision_is_installed_at_the_start_and_a_bad_one_harms_nothing(self):
        home = self.home("archive", settings=EDITION_ENTRY)
        shutil.copy(self.packed(2), home.root / "etc/provision")
        (home.root / "etc/provision/bad-1.0.mfplugin").write_bytes(b"bad")
        home.start()
        self.assertEqual(self.listed(home)["runs"], "2.0.0")
        self.assertIn("etc/provision", home.log())
        home.drop("a", b"a")
        wait_for(home.files, "the file in the archive")
        home.stop()
        home.start()
        self.assertEqual(len([name for name in self.versions(home) if name.startswith("2")]), 1, "it is not installed again")

    def test_kill_at_any_point_leaves_the_old_or_the_new_state(self):
        """SIGKILL before each system call of its kind; then what is there is looked at, and the next operation works."""
        packages = {number: self.packed(number) for number in (1, 2)}
        for command, old, new in ((["install", packages[1]], None, "1.0.0"), (["install", packages[2]], "1.0.0", "2.0.0"), (["rollback", "edition"], "2.0.0", "1.0.0"),
                                  (["remove", "edition"], "2.0.0", None), (["remove", "edition", "--clean"], "2.0.0", None)):
            for call in ("rename", "symlink", "mkdir", "fsync", "utimensat", "unlinkat,rmdir,unlink"):
                number, finished, seen = 0, False, set()
                home = self.home("archive")
                while not finished:
                    number += 1
                    shutil.rmtree(home.root / "plugins/edition", ignore_errors=True)
                    for package in {None: [], "1.0.0": [1], "2.0.0": [1, 2]}[old]:
                        home.run(MFDATA_PLUGIN, "install", packages[package], "--force")
                    home.override("edition", "[step.main]\nnumprocesses = 1\n")
                    done = home.run("strace", "-qq", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={number}", MFDATA_PLUGIN, *command, check=False)
                    finished = done.returncode == 0
                    row = self.listed(home)
                    seen.add(row and row["version"])
                    self.assertIn(row and row["version"], (old, new), f"{command} {call} {number}")
                    self.assertEqual(row["problem"] if row else "", "", f"{command} {call} {number}")
                    if row:
                        kept = {"1.0.0"} if old is None or (old == "1.0.0" and row["version"] == old) else {"1.0.0", "2.0.0"}
                        self.assertEqual(set(row["versions"]), kept, f"{command} {call} {number}")
                        back = home.run(MFDATA_PLUGIN, "rollback", "edition", check=False)
                        [other] = kept - {row["version"]} or ["no earlier version"]
                        self.assertIn(other, back.stdout + back.stderr, f"{command} {call} {number}")
                    if "--clean" in command:
                        home.run(MFDATA_PLUGIN, *command, check=False)
                        self.assertEqual((self.listed(home), (home.root / "etc/plugins.d/edition.toml").exists()), (None, False), f"{command} {call} {number}")
                self.assertIn(new, seen)
                home.run(MFDATA_PLUGIN, "install", packages[2], "--force")
                self.assertEqual([name for name in os.listdir(home.root / "plugins") if name.startswith(".") and name != ".lock"], [])
                self.assertEqual([name for name in self.versions(home) if name.startswith(".")], [])


class Running(Packages):
    def flow(self, number=1):
        home = self.home("archive", EDITIONS[number], settings=EDITION_ENTRY)
        return home.start()

    def flow_with_a_file_in_hand(self):
        """It stays there until the home has a file `gate`."""
        home = self.flow()
        home.drop("slow", b"x")
        home.wait_log("edition/main", "the slow file is in hand")
        return home

    def archived(self, home):
        """original name -> (code, folder) of each file in the archive."""
        found = {}
        for path in home.files():
            tags = parse_tags_file(path + b".tags")
            name = tags["first.core.original_basename"].decode()
            self.assertNotIn(name, found, "it was delivered twice")
            found[name] = (tags["latest.edition.main.code"].decode(), tags["latest.edition.main.folder"].decode())
        return found

    @contextlib.contextmanager
    def load(self, home):
        """Files arrive all the time; at its end all of them are in the archive: [their number]."""
        stopped, sent = threading.Event(), [0]

        def send():
            while not stopped.is_set():
                home.run(MFDATA, "generate", home.incoming, "--count", "200", "--size", "100", "--rate", "500")
                sent[0] += 200
        sender = threading.Thread(target=send)
        sender.start()
        try:
            yield sent
        finally:
            stopped.set()
            sender.join()
        wait_for(lambda: len(home.files()) == sent[0], "all files", 300)
        home.wait_idle()

    def test_upgrade_and_rollback_under_load_lose_nothing_and_mix_nothing(self):
        home = self.flow()
        with self.load(home) as sent:
            wait_for(lambda: len(home.files()) > 300, "some files")
            home.run(MFDATA_PLUGIN, "install", self.packed(2))
            wait_for(lambda: any(code == "2" for code, _ in self.archived(home).values()), "files of version 2")
            home.run(MFDATA_PLUGIN, "rollback", "edition")
            before = sent[0]
            wait_for(lambda: sent[0] > before + 400, "files that came after it")
        found = self.archived(home)
        self.assertEqual(len(found), sent[0])
        self.assertEqual({pair for pair in found.values()}, {("1", "11"), ("2", "22")}, "code and folder are of one version")
        self.assertEqual((home.left_over(), home.trash("edition/main")), ([], []))

    def test_drain_is_visible_while_an_old_worker_finishes_its_file(self):
        home = self.flow_with_a_file_in_hand()
        home.run(MFDATA_PLUGIN, "install", self.packed(2))
        self.assertEqual(self.listed(home)["runs"], "2.0.0, draining 1.0.0")
        (home.root / "gate").touch()
        wait_for(lambda: self.listed(home)["runs"] == "2.0.0", "the drain to end")
        home.drop("next", b"x")
        wait_for(lambda: len(home.files()) == 2, "both files")
        self.assertEqual(self.archived(home), {"slow": ("1", "11"), "next": ("2", "22")})

    def test_version_that_crashes_on_every_file_is_rolled_back_by_one_command(self):
        home = self.flow(2)
        home.run(MFDATA_PLUGIN, "install", self.packed(3))
        names = [f"f{number}" for number in range(20)]
        for name in names:
            home.drop(name, name.encode())
        wait_for(lambda: "to go back: mfdata-plugin rollback edition" in home.log(), "the offer to go back")
        home.run(MFDATA_PLUGIN, "rollback", "edition")
        wait_for(lambda: len(home.files()) + len(home.trash("edition/main")) == len(names), "all files")
        home.wait_idle()
        self.assertEqual({code for code, _ in self.archived(home).values()}, {"2"})
        for note in home.trash("edition/main"):
            self.assertEqual((note["reason"], content(note["path"])), ("crashed", note["original_name"].encode()))
        home.run(MFDATA, "trash", "retry", "--all")
        wait_for(lambda: len(home.files()) == len(names), "all files in the archive")

    def test_install_and_remove_of_others_while_files_flow(self):
        home = self.flow()
        with self.load(home) as sent:
            for _ in range(3):
                home.run(MFDATA_PLUGIN, "install", "delete")
                wait_for(lambda: home.step_status("delete/main").get("workers") == 1, "its worker")
                home.run(MFDATA_PLUGIN, "remove", "delete")
                wait_for(lambda: home.step_status("edition/main") and not home.step_status("delete/main"), "it to be gone")
        self.assertEqual((len(self.archived(home)), home.left_over()), (sent[0], []))

    def test_wrong_configuration_changes_nothing_and_is_told(self):
        home = self.flow()
        home.override("edition", '[custom]\ndest_dri = "archive/main"\n')
        done = home.run(MFDATA, "reload", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('did you mean "dest_dir"?', done.stderr)
        self.assertIn("dest_dri", home.status()["configuration"]["problem"])
        home.drop("a", b"a")
        wait_for(lambda: len(home.files()) == 1, "the file")
        home.override("edition", "")
        home.run(MFDATA, "reload")
        self.assertEqual(home.status()["configuration"]["problem"], "")

    def test_changed_step_alone_gets_new_workers(self):
        home = self.flow()
        before = {step: home.worker_pids(step) for step in ("edition/main", "archive/main")}
        home.override("archive", '[custom]\ndest_basename = "{ORIGINAL_BASENAME}.new"\n')
        home.run(MFDATA, "reload")
        wait_for(lambda: home.worker_pids("archive/main") not in ([], before["archive/main"]), "a new worker")
        self.assertEqual(home.worker_pids("edition/main"), before["edition/main"])
        home.drop("a", b"a")
        wait_for(lambda: [os.path.basename(path) for path in home.files()] == [b"a.new"], "the file under its new name")

    def test_more_workers_and_another_entrance_begin_anew_at_once(self):
        home = self.flow()
        home.override("edition", "[step.main]\nnumprocesses = 3\n")
        home.run(MFDATA, "reload")
        wait_for(lambda: home.step_status("edition/main").get("workers") == 3, "three workers")
        home.configure('[data]\nentry_step = "archive/main"\n')
        home.run(MFDATA, "reload")
        home.drop("a", b"a")
        [path] = wait_for(home.files, "the file")
        self.assertNotIn("latest.edition.main.code", parse_tags_file(path + b".tags"))
        self.assertEqual(home.stop(), 0)

    def test_configuration_that_cannot_be_run_leaves_the_one_before(self):
        home = self.flow()
        (home.root / "in-the-way").write_text("")
        home.configure(EDITION_ENTRY + 'dir = "{home}/in-the-way/in"\n')
        self.assertEqual(home.run(MFDATA, "reload", check=False).returncode, 1)
        self.assertIn("cannot be used, the one before runs again", home.log())
        self.assertIn("in-the-way", home.status()["configuration"]["problem"])
        home.drop("a", b"a")
        wait_for(home.files, "the file")

    def test_stopped_plugin_keeps_its_files_over_restarts_until_it_is_started(self):
        home = self.flow()
        self.assertIn("edition is stopped", home.run(MFDATA_PLUGIN, "stop", "edition").stdout)
        wait_for(lambda: home.worker_pids("edition/main") == [], "its worker to end")
        home.drop("a", b"a")
        home.stop()
        home.start()
        self.assertEqual((home.step_status("edition/main")["state"], home.worker_pids("edition/main")), ("stopped", []))
        self.assertIn("stopped", self.listed(home)["runs"])
        home.drop("b", b"b")
        wait_for(lambda: home.worker_pids("archive/main"), "the other plugin's worker")
        home.run(MFDATA, "reload")
        self.assertEqual(home.files(), [])
        home.run(MFDATA_PLUGIN, "start", "edition")
        wait_for(lambda: len(home.files()) == 2, "both files")
        self.assertIn('did you mean "edition"?', home.run(MFDATA_PLUGIN, "stop", "editoin", check=False).stderr)
        home.stop()
        self.assertIn("no loader runs", home.run(MFDATA_PLUGIN, "stop", "edition", check=False).stderr)

    def test_plugin_that_lacks_a_key_it_needs_is_installed_with_a_word_on_where_to_write_it(self):
        home = self.flow()
        done = home.run(MFDATA_PLUGIN, "install", "fork", check=False)
        self.assertEqual((done.returncode, "installed fork 1.0.0\n" in done.stdout), (1, True), done)
        self.assertIn("write either command", done.stderr)
        self.assertIn("etc/plugins.d/NAME.toml), and then: mfdata reload.", done.stderr)
        home.drop("a", b"a")
        wait_for(lambda: len(home.files()) == 1, "the flow goes on")
        home.override("fork", '[custom]\ncommand = ["true"]\n')
        home.run(MFDATA, "reload")
        wait_for(lambda: home.worker_pids("fork/main"), "the new plugin")

    def test_two_installs_while_a_file_is_in_hand_both_run(self):
        home = self.flow_with_a_file_in_hand()
        home.override("copy", '[custom]\ndest_dirs = ["archive/main"]\n')
        for plugin in ("delete", "copy"):
            home.run(MFDATA_PLUGIN, "install", plugin)
        (home.root / "gate").touch()
        wait_for(lambda: home.step_status("delete/main") and home.step_status("copy/main"), "both plugins")
        wait_for(lambda: len(home.files()) == 1, "the slow file")

    def test_generation_never_goes_back(self):
        home, seen = self.flow(), []
        for text in ('[custom]\ndest_dir = "archive/main"\n', "", "[step.main]\nnumprocesses = 2\n", ""):
            home.override("edition", text)
            home.run(MFDATA, "reload", "--timeout", "120")
            seen.append(home.status()["configuration"]["generation"])
        self.assertEqual(seen, [2, 3, 4, 5])

    def test_old_worker_keeps_its_time_limit_and_is_named_by_its_version(self):
        home = self.flow_with_a_file_in_hand()
        home.override("edition", "[step.main]\ntimeout = 0.1\n")
        home.run(MFDATA, "reload")
        reloaded = home.status()["uptime_s"]
        wait_for(lambda: home.status()["uptime_s"] > reloaded + 1, "the new time limit to be over")
        (home.root / "gate").touch()
        wait_for(lambda: len(home.files()) == 1, "the slow file")
        self.assertNotIn("died", home.log())

    def test_linked_folder_runs_what_is_built_there(self):
        source = self.copy_of()
        home = self.home("archive", settings=EDITION_ENTRY)
        home.run(MFDATA_PLUGIN, "develop", source)
        home.start()
        home.drop("a", b"a")
        wait_for(lambda: len(home.files()) == 1, "the file")
        fresh = source / "edition.so.new"
        shutil.copy(EDITIONS[2] / "edition.so", fresh)
        os.replace(fresh, source / "edition.so")
        wait_for(lambda: "its library was rebuilt" in home.log(), "the new library")
        home.drop("b", b"b")
        wait_for(lambda: len(home.files()) == 2, "the file")
        self.assertEqual({name: code for name, (code, _) in self.archived(home).items()}, {"a": "1", "b": "2"})
        self.assertEqual(self.listed(home)["developed"], str(source))


if __name__ == "__main__":
    main()
