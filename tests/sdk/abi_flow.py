"""A home whose plugins are all built from one header, on one host: files come by the listener, and the switch with its
predicate gives them to the transform, the batch archiver and the archive. Each must have done its work."""
import os
import re
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import Home, content, context_of, parse_tags_file, wait_for

PARTS = ("listener", "switch", "predicate", "transform", "bundle", "archive")
FILES = {"a.txt": b"hello you", "caps.txt": b"capitals", "b1.txt": b"one\n", "b2.txt": b"two\n", "b3.txt": b"three\n", "nobody.txt": b"no rule"}


def sent(home):
    """The answers of the listener to each file."""
    answers = []
    for name, data in FILES.items():
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(home.root / "run/listener.sock"))
            peer.sendall(name.encode() + b"\n" + data)
            peer.shutdown(socket.SHUT_WR)
            answers.append(peer.recv(100))
    return answers


def entries(bundle):
    """name -> content of a file that bundle has made."""
    found, rest = {}, bundle
    while rest:
        line, rest = rest.split(b"\n", 1)
        name, size = line.decode().rsplit(" ", 1)
        found[name], rest = rest[:int(size)], rest[int(size):]
    return found


def came_by(path):
    """The steps that a file has passed, in their order."""
    tags = [name for name in context_of(path)[1] if re.fullmatch(r"\d+\.\w+\.main\.enter_step", name)]
    return [name.split(".")[1] for name in sorted(tags, key=lambda name: int(name.split(".")[0]))]


def listens(address):
    with socket.socket(socket.AF_UNIX) as peer:
        return peer.connect_ex(str(address)) == 0


def work(home):
    """part -> what it should have done and has not; empty: all is well."""
    wait_for(lambda: listens(home.root / "run/listener.sock"), "the socket of the listener")
    answers = sent(home)
    wait_for(lambda: len(home.files()) >= 3, "three files in the archive", 60)
    home.wait_idle()
    files = {content(path): path for path in home.files()}
    bundles = [path for path in home.files() if b"/day/bundle" in path]
    bundled = {name: data for path in bundles for name, data in entries(content(path)).items()}
    wrong = {}
    if answers != [b"ok\n"] * len(FILES):
        wrong["listener"] = f"it answered {answers}"
    if files.keys() != {b"hello you", b"CAPITALS", *map(content, bundles)}:
        wrong["switch"] = f"the archive holds {sorted(files)}"
    if b"hello you" not in files or came_by(files[b"hello you"]) != ["switch", "predicate", "archive"]:
        wrong["predicate"] = "the file of its rule did not come by it"
    if b"CAPITALS" not in files or came_by(files[b"CAPITALS"]) != ["switch", "transform", "archive"]:
        wrong["transform"] = "there are no capitals that came by it"
    if bundled != {name: data for name, data in FILES.items() if name[0] == "b"} or len(bundles) != 1 or parse_tags_file(bundles[0] + b".tags")["bundled"] != b"3":
        wrong["bundle"] = f"it made {bundled} in {len(bundles)} files"
    if any(not os.path.exists(path + b".tags") for path in files.values()):
        wrong["archive"] = "a file is without its tags"
    if home.stop() != 0:
        wrong = dict.fromkeys(PARTS, "the loader did not stop well") | wrong
    return wrong


def run(host, folders):
    """part -> "runs", or what is wrong with it."""
    home = None
    try:
        home = Home([folders[part] for part in PARTS], settings='[data]\nentry_step = "switch/main"\n[loader]\npredicate_timeout = 60\n', build=host.place)
        wrong = work(home.start())
        return {part: "runs" if part not in wrong else "runs wrongly: " + wrong[part] for part in PARTS}
    except AssertionError as error:
        said = str(error) + (home.log() + "".join(home.step_log(f"{part}/main") for part in PARTS) if home else "")
        lines = re.findall(r"(?:is refused: |does not start: )(?:(?!\\x0a).)*", said)
        return dict.fromkeys(PARTS, lines[0].replace("is refused", "refused") if lines else f"does not run: {error}")
    finally:
        if home:
            home.close()
