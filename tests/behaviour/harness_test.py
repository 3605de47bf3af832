"""The test harness for authors as it is installed: the examples, CMake, and a plugin of a template under test."""
import os
import pathlib
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import PROJECT, main
from installed import Installed

EXAMPLES = PROJECT / "sdk/examples/harness"
CMAKE = """cmake_minimum_required(VERSION 3.20)
project(lines CXX)
set(CMAKE_CXX_STANDARD 20)
find_package(mfdata-sdk 0.1 REQUIRED)
add_executable(lines_test lines_test.cpp lines.cpp)
target_link_libraries(lines_test mfdata::harness)
"""
MESON = """project('lines', 'cpp', default_options: ['cpp_std=c++20'])
test('lines', executable('lines_test', 'lines_test.cpp', 'lines.cpp', dependencies: dependency('mfdata-harness')))
"""


class InstalledHarness(Installed):
    def example(self, name):
        """A copy of an installed example, which has nothing of the source tree."""
        return pathlib.Path(shutil.copytree(self.prefix / "share/mfdata/examples/harness" / name, self.directory / name))

    def from_the_page(self, plugin):
        """The folder of a plugin that the commands of the page on examples make and test, and what they say."""
        lines = [line[4:] for line in (EXAMPLES / "README.md").read_text().splitlines() if line.startswith("    ")]
        mine = [line for line in lines if plugin in line.split() or line.startswith("examples=")]
        self.assertEqual(len(mine), 4)
        return self.directory / plugin, self.run_here("bash", "-c", "set -euo pipefail\n" + "\n".join(mine))

    def leaves_nothing(self):
        self.assertEqual([path.name for path in self.temporary.iterdir() if path.name.startswith("mfdata-")], [])

    def test_every_example_is_installed_and_named(self):
        folders = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
        self.assertEqual(folders, ["c", "cargo", "doctest"])
        table = (EXAMPLES / "README.md").read_text()
        for folder in folders:
            self.assertIn(f"| `{folder}` |", table)

    def test_doctest_example_passes(self):
        folder = self.example("doctest")
        self.assertIn("4 passed | 0 failed", self.run_here("make", "test", cwd=folder))
        self.leaves_nothing()

    def test_c_example_passes(self):
        _, said = self.from_the_page("first_byte")
        self.assertIn("3 passed", said)
        self.leaves_nothing()

    def test_cargo_example_passes_and_its_plugin_links_nothing(self):
        self.needs("rust")
        folder, said = self.from_the_page("lines")
        self.assertIn("3 passed; 0 failed", said)
        self.run_here("make", cwd=folder)
        self.assertNotIn("mfdata-harness", self.run_here("readelf", "-d", folder / "lines.so"))
        self.leaves_nothing()

    def test_plugin_that_breaks_fails_the_test_of_its_example(self):
        folder = self.example("doctest")
        source = folder / "lines.cpp"
        source.write_text(source.read_text().replace('file.set_hop_tag("lines", std::to_string(lines));', 'file.set_hop_tag("lines", "0");'))
        self.assertIn("ERROR: CHECK( output.tags.at", self.run_here("make", "test", check=False, cwd=folder))
        source.write_text(source.read_text().replace('file.set_hop_tag("lines", "0");', 'try { file.set_hop_tag("lines", "2"); } catch (const sdk::Error&) {}'))
        self.assertIn("ERROR: CHECK( (result.outcome", self.run_here("make", "test", check=False, cwd=folder))

    def test_cmake_and_meson_find_the_harness_in_the_prefix(self):
        folder = self.example("doctest")
        (folder / "CMakeLists.txt").write_text(CMAKE)
        self.run_here("cmake", "-S", folder, "-B", self.directory / "cmake")
        self.run_here("cmake", "--build", self.directory / "cmake")
        self.assertIn("4 passed | 0 failed", self.run_here(self.directory / "cmake/lines_test"))
        (folder / "meson.build").write_text(MESON)
        self.run_here("meson", "setup", self.directory / "meson", folder)
        self.assertIn("Ok:                 1", self.run_here("meson", "test", "-C", self.directory / "meson"))

    def test_commands_of_the_section_on_tests_run(self):
        page = (PROJECT / "doc/plugins.md").read_text()
        section = page[page.index("## Tests of a plugin"):].split("\n## ")[0]
        commands = [line[4:] for line in section.splitlines() if line.startswith("    ")]
        self.assertGreater(len(commands), 4)
        out = self.run_here("bash", "-c", "set -euo pipefail\n" + "\n".join(commands))
        self.assertIn("1 passed", out)

    def test_header_is_clean_in_every_language_version_it_promises(self):
        for compiler, language, standards in (("cc", "c", ("c99", "c11", "c17")), ("c++", "c++", ("c++11", "c++14", "c++17", "c++20"))):
            for standard in standards:
                source = self.directory / f"header.{'c' if language == 'c' else 'cpp'}"
                source.write_text("#include <mfdata/harness.h>\n")
                self.run_here(compiler, "-x", language, f"-std={standard}", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", f"-I{self.prefix}/include", source)

    def test_library_exports_its_header_and_nothing_else(self):
        [library] = self.prefix.glob("lib*/**/libmfdata-harness.so.1")
        lines = self.run_here("nm", "-D", "--defined-only", library).splitlines()
        exported = {line.split()[-1].split("@")[0] for line in lines if " A " not in line}
        declared = set(self.run_here("grep", "-oE", r"^MFDATA_HARNESS_API .*mfdata_harness_[a-z_]+\(", self.prefix / "include/mfdata/harness.h").replace("(", "").split())
        self.assertEqual(exported, {word.lstrip("*") for word in declared if word.lstrip("*").startswith("mfdata_harness_")} - {"mfdata_harness_result"})


if __name__ == "__main__":
    main()
