"""mfdata-plugin run: one file through one step as a loader's worker would treat it, and what it shows of that."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, main
from installed import Installed

SOURCE = """#include <mfdata/plugin.hpp>
namespace sdk = mfdata::sdk;
class Counts : public sdk::Step {
 public:
  explicit Counts(const sdk::Context& context) : Step(context), dest_dir_(context.text("dest_dir")), files_(sdk::Metric::counter(context, "files_total", "", {"colour"})) {}
  sdk::Result process(sdk::File& file) override {
    files_.add(3, {file.tag("colour").value_or("none")});
    file.move_to(dest_dir_);
    return sdk::Result::ok();
  }
 private:
  std::string dest_dir_;
  sdk::Metric files_;
};
MFDATA_PLUGIN("counts", "1", "", "", sdk::step<Counts>("main", ""), sdk::step<Counts>("other", ""))
"""
TOML = """[plugin]
name = "counts"
version = "1"
library = "counts.so"
[step.main]
[step.other]
[custom]
dest_dir = "archive/main"
"""


class Run(Installed):
    def counts(self):
        folder = self.directory / "counts"
        folder.mkdir()
        (folder / "counts.cpp").write_text(SOURCE)
        (folder / "plugin.toml").write_text(TOML)
        self.run_here("c++", "-std=c++20", "-shared", "-fPIC", "-fvisibility=hidden", f"-I{self.prefix}/include", folder / "counts.cpp", "-o", folder / "counts.so")
        return folder

    def test_tags_and_metrics_of_the_run_are_shown(self):
        out = self.run_here("mfdata-plugin", "run", self.counts(), __file__, "--step", "other", "--tag", "colour=red", "--tag", "by=me too")
        self.assertIn('metric: mfdata_plugin_counts_files_total{"colour":"red"} 3.0\n', out)
        self.assertIn("  by = me too\n", out)
        self.assertIn("output: archive/main, ", out)

    def test_installed_plugin_is_named_with_its_step_and_has_its_override(self):
        home = self.home("archive", self.counts())
        home.override("counts", '[custom]\ndest_dir = "archive/other"\n')
        run = ["mfdata-plugin", "--home", home.root, "run"]
        self.assertIn("name one of its steps: main, other", self.run_here(*run, "counts", __file__, check=False))
        out = self.run_here(*run, "counts/other", __file__)
        self.assertIn("output: archive/other, ", out)
        self.assertIn("latest.core.step_counter", out)
        self.assertIn("0.counts.other.enter_step", out)
        self.assertEqual(home.spooled(), [])

    def test_delivery_to_another_directory_is_shown_where_it_went(self):
        outside = self.directory / "outside"
        outside.mkdir()
        out = self.run_here("mfdata-plugin", "run", BUILD / "sample_plugins/archive", __file__, "--set", f'dest_dir = "{outside}"', "--set", 'dest_basename = "%Y/{ORIGINAL_BASENAME}"')
        [delivered] = [path for path in outside.rglob("*") if path.is_file() and path.suffix != ".tags"]
        self.assertIn(f"output: {delivered}, {os.path.getsize(__file__)} bytes\n", out)
        self.assertNotIn("output: none", out)

    def test_failures_and_deaths_are_shown_and_nothing_is_left(self):
        run = ["mfdata-plugin", "run"]
        self.environment["TMPDIR"] = str(self.directory)
        mischief, edition = BUILD / "tests/plugins/mischief", BUILD / "tests/plugins/edition/edition3"
        self.assertIn("result: died: it died of signal 6", self.run_here(*run, edition, __file__, check=False))
        self.assertIn("result: failed", self.run_here(*run, mischief, __file__, "--set", 'mode = "fail"', check=False))
        self.assertIn('did you mean "dest_dir"?', self.run_here(*run, mischief, __file__, "--set", 'dest_dri = "x"', check=False))
        self.assertIn("name one of its steps: main, lines", self.run_here(*run, BUILD / "tests/plugins/gather", __file__, check=False))
        self.assertIn("trial: 0 calls", self.run_here(*run, BUILD / "sample_plugins/delete", __file__, "--fail-call", "9"))
        self.assertIn("result: failed", self.run_here(*run, BUILD / "sample_plugins/archive", __file__, "--fail-call", "11", check=False))
        self.assertIn("is not a regular file", self.run_here(*run, mischief, "/dev/null", check=False))
        self.assertEqual(list(self.directory.glob("mfdata-run-*")), [])


if __name__ == "__main__":
    main()
