"""What tests of packages and of the plugin store share: folders of three versions of one plugin, and mfdata-plugin."""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

from harness import BUILD, MFDATA_PLUGIN, Case

EDITIONS = {number: BUILD / f"tests/plugins/edition/edition{number}" for number in (1, 2, 3)}
EDITION_ENTRY = '[data]\nentry_step = "edition/main"\n'


def tool(*words, check=True, **more):
    done = subprocess.run([str(MFDATA_PLUGIN), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, **more)
    if check and done.returncode != 0:
        raise AssertionError(f"{words} exited {done.returncode}: {done.stdout}{done.stderr}")
    return done


NOBODY = (65534, 65534)


def need_another_user(case):
    if os.geteuid() != 0:
        case.skipTest("only root gives a home to somebody else")


def members(package):
    with tarfile.open(package) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar.getmembers()}


def record(path, data, **more):
    return dict({"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "executable": path.endswith(".so")}, **more)


class Packages(Case):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-package-"))
        self.addCleanup(shutil.rmtree, self.folder, True)

    def copy_of(self, number=1, name="source"):
        return pathlib.Path(shutil.copytree(EDITIONS[number], self.folder / name))

    def packed(self, number=1):
        return pathlib.Path(tool("pack", EDITIONS[number], "--output", self.folder).stdout.strip())

    def with_postinstall(self, source, script):
        (source / "postinstall").write_text(script)
        (source / "postinstall").chmod(0o755)
        return source

    def with_constructor(self, library, statement):
        """A library that is none of a plugin, and runs a statement of C when it is loaded."""
        code = f'#include <fcntl.h>\n#include <unistd.h>\n__attribute__((constructor)) static void run(void) {{ {statement} }}\n'
        subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library], input=code, text=True, check=True)

    def versions(self, home, plugin="edition"):
        return sorted(os.listdir(home.root / "plugins" / plugin)) if (home.root / "plugins" / plugin).exists() else None

    def listed(self, home, plugin="edition"):
        rows = json.loads(home.run(MFDATA_PLUGIN, "list", "--json").stdout)
        return next((row for row in rows if row["name"] == plugin), None)

    def refused(self, home, package, *options):
        """Why it is not installed; nothing of it is visible then."""
        before = sorted(os.listdir(home.root / "plugins")), self.versions(home)
        done = home.run(MFDATA_PLUGIN, "install", package, *options, check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual((sorted(os.listdir(home.root / "plugins")), self.versions(home)), (sorted(set(before[0]) | {".lock"}), before[1]))
        return done.stderr
