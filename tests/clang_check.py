"""Every C and C++ file of the build through clang's front end (syntax and warnings as errors), two at a time."""
import concurrent.futures
import json
import pathlib
import shlex
import subprocess
import sys

build = pathlib.Path(sys.argv[1])
commands = json.loads((build / "compile_commands.json").read_text())


def check(entry):
    words = shlex.split(entry["command"])
    while not words[1].startswith("-"):  # ccache c++ ..
        del words[0]
    compiler = "clang++" if "++" in words[0] else "clang"
    kept, skip = [], False
    for word in words[1:]:
        if skip or word in ("-c", "-MD"):
            skip = False
            continue
        if word in ("-o", "-MQ", "-MF"):
            skip = True
            continue
        kept.append(word)
    flags = ["-fsyntax-only", "-Werror", "-Wno-unknown-warning-option", "-Wno-unused-command-line-argument"]
    done = subprocess.run([compiler, *flags, *kept], cwd=entry["directory"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return entry["file"], done.returncode, done.stdout


with concurrent.futures.ThreadPoolExecutor(2) as pool:
    failed = [(file, text) for file, code, text in pool.map(check, commands) if code]
for file, text in failed:
    print(f"clang: {file}\n{text[:3000]}")
print(f"{len(commands) - len(failed)} passed, {len(failed)} failed")
sys.exit(bool(failed))
