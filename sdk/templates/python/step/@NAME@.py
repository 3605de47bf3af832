"""@NAME@: a step that counts the lines of each file, writes their number into a tag and passes the file on."""
import json
import sys

sys.stdin.readline()  # the hello of the host
print(json.dumps({"type": "hello", "version": 1}), flush=True)
for request in map(json.loads, sys.stdin):
    answer = {"type": "result", "id": request["id"]}
    try:
        with open(request["path"], "rb") as file:
            lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except OSError as error:
        answer.update(status="retry", reason=f"cannot read the file: {error.strerror}")
    else:
        answer.update(status="ok", hop_tags={"lines": str(lines)}, outputs=[{"path": request["path"]}])
    print(json.dumps(answer), flush=True)
