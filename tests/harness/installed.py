"""The SDK as it is installed: a prefix of its own, and an empty directory in which an author works with nothing else of ours."""
import os
import pathlib
import shutil
import subprocess
import tempfile

from harness import BUILD, Case


class Installed(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.place = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-sdk-"))
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", cls.place], check=True, stdout=subprocess.DEVNULL)
        [program] = cls.place.glob("**/bin/mfdata-plugin")
        cls.prefix = program.parent.parent

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.place, ignore_errors=True)
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-author-"))
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.temporary = self.directory / "tmp"
        self.temporary.mkdir()
        self.environment = {"PATH": f"{self.prefix}/bin:{os.environ['PATH']}", "HOME": os.environ.get("HOME", "/"), "PKG_CONFIG_PATH": f"{self.prefix}/share/pkgconfig",
                            "CMAKE_PREFIX_PATH": str(self.prefix), "MFDATA_ADMIN_DIR": str(self.directory / "none"), "TMPDIR": str(self.temporary)}
        if "RUSTUP_HOME" in os.environ:
            self.environment["RUSTUP_HOME"] = os.environ["RUSTUP_HOME"]

    def run_here(self, *words, check=True, cwd=None, **more):
        done = subprocess.run(list(map(str, words)), cwd=cwd or self.directory, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                              text=True, timeout=1800, **more)
        if check and done.returncode != 0:
            raise AssertionError(f"{words} exited {done.returncode}: {done.stdout}")
        return done.stdout

    def needs(self, language):
        if language == "rust" and not shutil.which("cargo"):
            self.skipTest("cargo is missing")
