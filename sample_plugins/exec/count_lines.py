"""An example for the plugin exec: tags each text file with its number of lines, and passes it on."""
import json
import sys

def say(**message):
    print(json.dumps(message), flush=True)

sys.stdin.readline()  # the hello of the host
say(type="hello", version=1)
for line in sys.stdin:
    request = json.loads(line)
    with open(request["path"], "rb") as file:
        content = file.read()
    if b"\0" in content:
        say(type="result", id=request["id"], status="fail", reason="it is no text")
    else:
        say(type="result", id=request["id"], status="ok", hop_tags={"lines": str(content.count(b"\n"))}, outputs=[{"path": request["path"]}])
