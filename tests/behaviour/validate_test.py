"""mfdata-plugin validate: passes the sample plugins, and fails plugins that are wrong on purpose, each for its own rule."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from typing import NamedTuple

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA_PLUGIN, PROJECT, Case, main

SETTINGS = {"move": 'dest_dir = "archive/main"', "fork": 'command = ["true", "{PATH}"]', "copy": 'dest_dirs = ["archive/main"]'}
MANIFEST = '[plugin]\nname = "wrong"\nversion = "1"\nlibrary = "wrong.so"\n[step.main]\n[custom]\ndest_dir = "archive/main"\n'
SOURCE = r"""
#include <mfdata/plugin.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
static mfdata_str str(const char *text) { mfdata_str s; s.p = text; s.n = strlen(text); return s; }
static const mfdata_host *host;
static int instance;
static volatile int busy;
@CODE@
#ifndef CREATE
#define CREATE
#endif
#ifndef PROCESS
#define PROCESS
#endif
#ifndef DESCRIPTION
#define DESCRIPTION return &plugin;
#endif
#ifndef DESTROY
#define DESTROY
#endif
#ifndef TICK
#define TICK NULL
#endif
#ifndef INTERRUPT
#define INTERRUPT NULL
#endif
#ifndef VERSION
#define VERSION "1"
#endif
static mfdata_rc create(const mfdata_init *init, void **self) { host = init->host; *self = &instance; CREATE return MFDATA_OK; }
static mfdata_rc process(void *self, mfdata_ctx *ctx, mfdata_file *file) { (void)self; PROCESS return host->emit(ctx, file, MFDATA_OP_MOVE, str("archive/main")); }
static void destroy(void *self, mfdata_ctx *ctx) { (void)self; (void)ctx; (void)busy; DESTROY }
static const mfdata_step step = {sizeof(mfdata_step), 0, create, process, NULL, TICK, NULL, INTERRUPT, destroy};
static const mfdata_component component = {sizeof(mfdata_component), MFDATA_KIND_STEP, "main", "", &step};
static const mfdata_component *const components[] = {&component};
static const mfdata_plugin plugin = {sizeof(mfdata_plugin), 1, 0, 0, "wrong", VERSION, "", "", "1.0", components, 1, 0, NULL};
const mfdata_plugin *mfdata_plugin_v1(void) { DESCRIPTION }
"""
STEP = "static const mfdata_step step = {sizeof(mfdata_step), 0, create, process, NULL, TICK, NULL, INTERRUPT, destroy};"
LISTENER = SOURCE.replace(STEP, "static const mfdata_listener step = {sizeof(mfdata_listener), 0, create, run, stop, destroy};").replace("MFDATA_KIND_STEP", "MFDATA_KIND_LISTENER")
PREDICATE = SOURCE.replace(STEP, "static const mfdata_predicate step = {sizeof(mfdata_predicate), 0, compile, test, destroy};").replace("MFDATA_KIND_STEP", "MFDATA_KIND_PREDICATE")
CPP = r"""
#include <mfdata/plugin.hpp>
namespace sdk = mfdata::sdk;
class Passes : public sdk::Step {
 public:
  using Step::Step;
  sdk::Result process(sdk::File& file) override { @CODE@ file.move_to("archive/main"); return sdk::Result::ok(); }
};
MFDATA_PLUGIN("wrong", "1", "", "", sdk::step<Passes>("main", ""))
"""


class Wrong(NamedTuple):
    rule: str  # that must say so
    code: str = ""  # hooks of SOURCE
    flags: tuple = ()
    manifest: str = MANIFEST
    source: str = SOURCE
    compiler: tuple = ("cc", "-std=gnu11")
    also: frozenset = frozenset()  # rules that break with it


PLUS_PLUS = ("c++", "-std=gnu++20", "-xc++")
BEHIND = "if (((void *const volatile *)@)[sizeof *@ / sizeof(void *)] == (void *)1) return MFDATA_FAIL;"
WRONG = {
    "exports more than its entry point": Wrong("A2", "int more(void); int more(void) { return 1; }", ("-fvisibility=default",)),
    "describes itself anew each time": Wrong("A2", "#define DESCRIPTION mfdata_plugin *p = malloc(sizeof *p); *p = plugin; return p;"),
    "describes itself in other words each time": Wrong("A2", "#define DESCRIPTION static mfdata_plugin p; static char text[9]; static int n; p = plugin; snprintf(text, sizeof text, \"%d\", ++n); "
                                                       "p.summary = text; return &p;"),
    "expects a symbol from the host": Wrong("A12", "int of_the_host(void);\n#define CREATE of_the_host();", ("-Wl,-z,undefs",)),
    "expects a library that the host happens to have": Wrong("A12", "int sodium_init(void);\n#define CREATE sodium_init();"),
    "has the component under another name": Wrong("A3", manifest=MANIFEST.replace("[step.main]", "[step.other]")),
    "lets an exception out when a call fails": Wrong("A6", '#define PROCESS if (host->tag_set_hop(ctx, file, str("x"), str("y"), 0) != MFDATA_OK) throw 1;', compiler=PLUS_PLUS),
    "has text relocations": Wrong("A15", '__asm__(".text\\n.quad plugin_data\\n.data\\nplugin_data: .quad 0\\n.text");', ("-Wl,-z,notext",)),
    "has no build id": Wrong("A16", flags=("-Wl,--build-id=none",)),
    "looks for libraries in a fixed place": Wrong("A18", flags=("-Wl,-rpath,/opt/somewhere",)),
    "has another version than plugin.toml": Wrong("A19", '#define VERSION "2"'),
    "crashes without its configuration": Wrong("A20", '#define CREATE mfdata_str v = {NULL, 0}; host->config_text(init->ctx, str("dest_dir"), &v); if (v.p[0] == 0) return MFDATA_FAIL;', also=frozenset({"A23"})),
    "leaves a descriptor of each instance": Wrong("A21", '#define CREATE if (open("/dev/null", O_RDONLY) < 0) return MFDATA_FAIL;'),
    "leaves a thread of each instance": Wrong("A21", "static void *sleeps(void *x) { pause(); return x; }\n#define CREATE pthread_t t; pthread_create(&t, NULL, sleeps, NULL);", ("-pthread",)),
    "leaves memory of each instance": Wrong("A21", "#define CREATE char *volatile kept = malloc(200); if (!kept) return MFDATA_FAIL;"),
    "leaves memory of each instance that malloc has not given": Wrong("A21", "#define CREATE memset(mmap(NULL, 1000000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, 1000000);"),
    "ends its process with its instance": Wrong("A21", "#define DESTROY if (++instance > 20) _exit(0);"),
    "dies of an empty file": Wrong("A22", "#define PROCESS struct stat s; mfdata_str p = {NULL, 0}; if (host->file_path(ctx, file, &p) != MFDATA_OK || stat(p.p, &s) != 0) return MFDATA_FAIL; "
                                          "if (s.st_size == 0) abort();"),
    "does not look at what the host returns": Wrong("A23", '#define PROCESS mfdata_str p = {NULL, 0}; host->file_path(ctx, file, &p); if (p.p[0] != \'/\') return MFDATA_FAIL;'),
    "dies of the 250th call that fails": Wrong("A23", '#define PROCESS for (int i = 0; i < 300; ++i) if (host->tag_set_hop(ctx, file, str("x"), str("y"), 0) != MFDATA_OK && i > 220) abort();'),
    "does not return when it is told to": Wrong("A24", "#define PROCESS if (host->cancelled(ctx)) sleep(7);"),
    "dies when another thread interrupts it": Wrong("A24", "static void interrupt(void *self) { (void)self; if (busy) abort(); }\n#define INTERRUPT interrupt\n"
                                                            "#define PROCESS busy = 1; for (int i = 0; i < 300; ++i) { usleep(1000); if (!host->cancelled(ctx)) break; } busy = 0;"),
    "goes on after its deadline": Wrong("A24", "#define PROCESS struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); "
                                               "if (host->deadline_ns(ctx) <= t.tv_sec * 1000000000LL + t.tv_nsec) sleep(7);"),
    "gives the host a wrong argument, and does not look": Wrong("A28", '#define PROCESS host->tag_set(ctx, file, str("no name"), str("x"));'),
    "reads behind the host's table": Wrong("A4", "#define CREATE " + BEHIND.replace("@", "host")),
    "reads behind what create gets": Wrong("A4", "#define CREATE " + BEHIND.replace("@", "init")),
    "reads behind what tick gets": Wrong("A4", "static mfdata_rc tick(void *self, mfdata_ctx *ctx, const mfdata_tick *now) { (void)self; (void)ctx; " + BEHIND.replace("@", "now") + " return MFDATA_OK; }\n"
                                               "#define TICK tick"),
    "reads behind the table of rules": Wrong("A4", "#define CREATE const mfdata_rules *rules = (const mfdata_rules *)host->query(init->ctx, MFDATA_RULES, sizeof *rules); if (rules) "
                                                   + BEHIND.replace("@", "rules")),
    "dies of every file": Wrong("A25", "#define PROCESS abort();", also=frozenset({"A4", "A20", "A22", "A23", "A24"})),
    "hangs on every file": Wrong("A25", "#define PROCESS for (;;) pause();", manifest=MANIFEST.replace("[custom]", 'timeout = "1d"\n[custom]')),
}


class Validate(Case):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mfdata-wrong-"))
        self.addCleanup(shutil.rmtree, self.folder, True)

    def validate(self, what, *options):
        done = subprocess.run([MFDATA_PLUGIN, "validate", what, "--json", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, timeout=1800)
        checks = json.loads(done.stdout) if done.stdout else []
        self.assertEqual(done.returncode, 0 if checks and all(check["passed"] for check in checks) else 1)
        return checks, done.stderr

    def built(self, what=Wrong("")):
        source = self.folder / "wrong.c"
        source.write_text(what.source.replace("@CODE@", what.code))
        (self.folder / "plugin.toml").write_text(what.manifest)
        subprocess.run([*what.compiler, "-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-Wl,--build-id", f"-I{PROJECT}/sdk/include", *what.flags, source, "-o", self.folder / "wrong.so"], check=True,
                       stderr=subprocess.DEVNULL)
        return self.folder

    def failed(self, what):
        """The rules by which a plugin fails, and all that is wrong with it as text."""
        wrong = [check for check in self.validate(self.built(what))[0] if not check["passed"]]
        return {check["rule"] for check in wrong}, json.dumps(wrong, indent=1)

    def test_every_sample_plugin_passes(self):
        for folder in sorted((BUILD / "sample_plugins").iterdir()):
            if not (folder / "plugin.toml").exists():
                continue
            with self.subTest(plugin=folder.name):
                options = ["--set", SETTINGS[folder.name]] if folder.name in SETTINGS else []
                checks, _ = self.validate(folder, *options)
                self.assertGreater(len(checks), 14)
                self.assertEqual([check for check in checks if not check["passed"]], [])

    def test_plugin_of_the_test_is_right_when_nothing_is_wrong_with_it(self):
        checks, _ = self.validate(self.built())
        self.assertEqual([check for check in checks if not check["passed"]], [])

    def test_each_wrong_plugin_fails_by_its_own_rule(self):
        for name, what in WRONG.items():
            with self.subTest(name):
                failed, text = self.failed(what)
                self.assertIn(what.rule, failed, text)
                self.assertLessEqual(failed, {what.rule} | what.also, text)

    def test_exception_of_any_type_within_the_guard_passes(self):
        failed, text = self.failed(Wrong("", "if (file.context().cancelled()) throw 1; throw std::string(\"odd\");", (f"-Wl,--version-script={PROJECT}/sdk/mfdata_plugin.map",), source=CPP, compiler=PLUS_PLUS))
        self.assertEqual(failed, set(), text)

    def test_step_that_hangs_is_given_up_after_its_first_file(self):
        checks, _ = self.validate(self.built(WRONG["hangs on every file"]))
        [trouble] = [check["trouble"] for check in checks if check["rule"] == "A25"]
        self.assertEqual(trouble, "it took longer than 30 s")
        self.assertFalse({"A20", "A22", "A23", "A24"} & {check["rule"] for check in checks})

    def test_listeners_that_do_not_stop_or_do_not_look_at_failures_are_told(self):
        begin = "static int stopped; static mfdata_rc run(void *self, mfdata_ctx *ctx) { (void)self; (void)ctx; "
        end = " while (!__atomic_load_n(&stopped, __ATOMIC_SEQ_CST)) usleep(1000); return MFDATA_OK; }\nstatic void stop(void *self) { (void)self; __atomic_store_n(&stopped, 1, __ATOMIC_SEQ_CST); }\n"
        config = 'mfdata_str v = {NULL, 0}; host->config_text(ctx, str("dest_dir"), &v); '
        for body, rules in (("", set()), ("for (;;) pause();", {"A26"}), ("int64_t wait; if (host->pressure(ctx, &wait) == MFDATA_E_IO) abort();", {"A23"}), (config + "if (v.p && v.p[0] == 0) abort();", set())):
            failed, text = self.failed(Wrong("", begin + body + end, source=LISTENER, manifest=MANIFEST.replace("[step.main]", "[listener.main]")))
            self.assertEqual(failed, rules, f"{body}: {text}")

    def test_predicates_that_die_hang_write_or_do_not_look_at_failures_are_told(self):
        for body, rule, compiler in (("return 1;", None, None), (BEHIND.replace("@", "host") + " return 1;", "A4", None), ("abort();", "A27", None), ("sleep(8); return 0;", "A27", None),
                                     ("mfdata_str p = {NULL, 0}; host->file_path(ctx, file, &p); return p.p[0] == '/';", "A23", None),
                                     ("mfdata_str p; if (host->file_path(ctx, file, &p) != MFDATA_OK) throw 1; return 1;", "A6", PLUS_PLUS),
                                     ('mfdata_str p = {"/", 1}; host->file_path(ctx, file, &p); int f = open(p.p, O_WRONLY); return f >= 0 && write(f, "X", 1) == 1;', "A10", None)):
            code = "static int32_t test(void *self, mfdata_ctx *ctx, mfdata_file *file) { (void)self; (void)ctx; (void)file; " + body + " }\n" \
                   "static mfdata_rc compile(const mfdata_init *init, const mfdata_str *a, uint32_t n, void **self) { (void)a; (void)n; host = init->host; *self = &instance; return MFDATA_OK; }\n"
            failed, text = self.failed(Wrong("", code, source=PREDICATE, manifest=MANIFEST.replace("[step.main]\n", ""), compiler=compiler or ("cc", "-std=gnu11")))
            self.assertEqual(failed, {rule} - {None}, f"{body}: {text}")

    def test_rules_are_those_of_the_document(self):
        """Each rule that the document says `validate` watches is checked, and no other."""
        rows = re.findall(r"^\| (A\d+) \|.*\| ([^|]*) \|$", (PROJECT / "doc/plugin_abi.md").read_text(), re.MULTILINE)
        self.assertGreater(len(rows), 20)
        code = "".join(path.read_text() for path in (PROJECT / "tools").glob("*check*.cpp")) + (PROJECT / "tools/validate_command.cpp").read_text()
        self.assertEqual(set(re.findall(r'\{"(A\d+)", ', code)), {rule for rule, watched in rows if "`validate`" in watched})
        checks, _ = self.validate(self.built())
        self.assertLessEqual({check["rule"] for check in checks}, {rule for rule, _ in rows})

    def test_library_alone_and_package_and_junit(self):
        folder = self.built()
        report = self.folder / "report.xml"
        checks, _ = self.validate(folder / "wrong.so", "--junit", report)
        self.assertEqual([check for check in checks if not check["passed"]], [])
        suite = xml.etree.ElementTree.parse(report).getroot()
        self.assertEqual((suite.get("tests"), suite.get("failures")), (str(len(checks)), "0"))
        (folder / ".releaseignore").write_text("*.c\n*.xml\n")
        package = subprocess.run([MFDATA_PLUGIN, "pack", folder, "--output", self.folder], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        checks, _ = self.validate(package)
        self.assertEqual([check for check in checks if not check["passed"]], [])
        self.assertIn("neither a library", self.validate(self.folder / "nothing")[1])

    def test_plugin_that_needs_a_configuration_says_so_and_gets_one(self):
        [check] = [check for check in self.validate(BUILD / "sample_plugins/move")[0] if not check["passed"]]
        self.assertEqual(check["rule"], "A25")
        self.assertIn("dest_dir is empty", check["trouble"])
        self.assertIn("--set", check["trouble"])


if __name__ == "__main__":
    main()
