"""The hosts of the matrix: programs whose worker is today's, shows the table of an older one, or is built from other sources.

A worker is rebuilt from the commands of the build directory: with another header in front, and with texts of its sources
replaced. What is not replaced is taken from the libraries that are built already.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, PROJECT

WORKER = PROJECT / "loader/worker"
STRUCTURES = ("mfdata_host", "mfdata_init", "mfdata_tick", "mfdata_rules")  # that a host hands to a plugin, and that grow
PROGRAMS = ("tools/mfdata", "tools/mfdata-plugin", "loader/mfdata-loader")

# What the next version does with its own members and flags.
NEXT_HOST = {
    "host_table.cpp": [("listen_socket, file_set_name>();", "listen_socket, file_set_name, next_member>();"),
                       ("constexpr mfdata_host kTable = ", "void next_member() {}\n\nconstexpr mfdata_host kTable = "),
                       ("kDeliveryFlags = ", "kDeliveryFlags = MFDATA_DELIVERY_NEXT | "), ("kTagFlags = ", "kTagFlags = MFDATA_TAG_NEXT | ")],
}
# Controls: each of these protections is what some cells of the matrix stand on.
UNCHECKED_HOST = {
    "plugin_library.cpp": [("plugin->abi_major != MFDATA_ABI_MAJOR", "false"), ("plugin->need_minor > kHostAbiMinor", "false"),
                           ("plugin->struct_size < kLeastPlugin", "false"), ("component->struct_size < kLeastComponent || ", ""),
                           ("std::min<std::size_t>(size, sizeof table)", "sizeof table"), ("size_of(component->table) < least_table(component->kind)", "false"),
                           ("if (component && !known_kind(component->kind)) continue;", "")],
    "host_table.cpp": [("kDeliveryFlags = ", "kDeliveryFlags = 0xffffffffu | "), ("kTagFlags = ", "kTagFlags = 0xffffffffu | "),
                       ("return op >= MFDATA_OP_MOVE && op <= MFDATA_OP_LINK;", "return op >= MFDATA_OP_MOVE;"), ("how->struct_size < kLeastDelivery", "false"),
                       ("|| min_size > PluginHost::of(ctx).rules_shown()->struct_size", "")],
    "rules_table.cpp": [("std::min<std::size_t>(rule->struct_size, sizeof full)", "sizeof full"), ("rule->struct_size < kLeastRule", "false")],
    "ending_policy.cpp": [("} else if (rc == MFDATA_OK) {\n    note_routes(", "} else if (rc == MFDATA_OK || rc > MFDATA_YIELD) {\n    note_routes(")],
    "step_instance.cpp": [("each.data());", "each.data());\n  for (auto& one : each) one = one > MFDATA_YIELD ? MFDATA_OK : one;")],
}
STRICT_HOST = {"plugin_library.cpp": [("component->struct_size < kLeastComponent", "component->struct_size != sizeof(mfdata_component)"),
                                      ("if (!plugin->id ||", "if (plugin->flags != 0 || !plugin->id ||")]}


class Host:
    """Programs in a folder of their own, or those of the build directory."""

    def __init__(self, name, place=BUILD, table_size=0):
        self.name, self.place, self.table_size = name, place, table_size

    def run(self, folder, file, *options):
        """What `mfdata-plugin run --json` says, with the bytes of each output as `content`."""
        size = ["--host-size", str(self.table_size)] if self.table_size else []
        done = subprocess.run([self.place / "tools/mfdata-plugin", "--json", "run", folder, file, "--keep", *size, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, text=True, timeout=120)
        if not done.stdout:
            return {"result": "error", "reason": done.stderr, "log": "", "outputs": [], "trash": None}
        out = json.loads(done.stdout)
        for output in out["outputs"]:
            output["content"] = pathlib.Path(output["path"]).read_bytes()
        shutil.rmtree(out["kept"])
        return out

    def inspect(self, library):
        return subprocess.run([self.place / "tools/mfdata-plugin", "inspect", library], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


def compile_command(source):
    """The command of the build directory for a source of the worker, without what is written and what is an error."""
    [entry] = [entry for entry in json.loads((BUILD / "compile_commands.json").read_text()) if (BUILD / entry["file"]).resolve() == source]
    words = shlex.split(entry["command"])
    for option in ("-o", "-MF", "-MQ"):
        at = words.index(option)
        del words[at:at + 2]
    return [word for word in words if word not in ("-c", "-MD", "-Werror", "-g") and not word.startswith("-O") and word != entry["file"]]


def replaced(source, pairs):
    text = source.read_text()
    for old, new in pairs:
        if text.count(old) != 1:
            raise ValueError(f"{source.name} has {text.count(old)} places instead of one with: {old}")
        text = text.replace(old, new)
    return text


def worker(place, changes, include=None, like=None):
    """Builds place/loader/mfdata-worker: the sources in `changes`; with another include directory all of them, but for those
    that are as in `like`, another such host."""
    objects = place / "objects"
    objects.mkdir(parents=True)
    sources = sorted(WORKER.glob("*.cpp")) if include else [WORKER / name for name in changes]

    def compiled(source):
        if like and source.name not in changes:
            return like.place / "objects" / source.with_suffix(".o").name
        changed = objects / source.name
        changed.write_text(replaced(source, changes.get(source.name, [])))
        words = compile_command(source)
        first = next(at for at, word in enumerate(words) if word.startswith("-"))  # behind the compiler, and what stands before it (ccache)
        words[first:first] = [f"-I{include}"] if include else []
        subprocess.run([*words, "-O0", "-w", "-c", changed, "-o", changed.with_suffix(".o")], cwd=BUILD, check=True)
        return changed.with_suffix(".o")

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        built = list(pool.map(compiled, sources))
    commands = subprocess.run(["ninja", "-t", "commands", "loader/mfdata-worker"], cwd=BUILD, stdout=subprocess.PIPE, text=True, check=True).stdout
    link = shlex.split(commands.splitlines()[-1])
    if include:  # every source of the worker is there: nothing of today's is linked
        link = [word for word in link if not word.startswith("loader/mfdata-worker.p/") and word != "loader/libmfdata_worker.a"]
    output = link.index("-o")
    link[output + 1] = str(place / "loader/mfdata-worker")
    (place / "loader").mkdir()
    subprocess.run([*link[:output + 2], *map(str, built), *link[output + 2:]], cwd=BUILD, check=True)


def host(name, place, changes, include=None, like=None):
    """A host in the directory `place`, whose worker is built anew."""
    worker(place, changes, include, like)
    for program in PROGRAMS:
        (place / program).parent.mkdir(exist_ok=True)
        shutil.copy(BUILD / program, place / program)
    (place / "sample_plugins").symlink_to(BUILD / "sample_plugins")
    return Host(name, place)


def released_sizes():
    """What `mfdata-plugin validate` knows of released hosts: version -> the sizes of STRUCTURES."""
    [all_of_them] = re.findall(r"kReleasedSizes\[\] = \{(.+)\};", (PROJECT / "tools/trials.hpp").read_text())
    return {version: [int(size) for size in sizes.split(",")] for version, sizes in re.findall(r'\{"([^"]+)", \{([\d, ]+)\}\}', all_of_them)}
