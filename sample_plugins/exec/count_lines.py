"""An example for the plugin exec: tags each text file with its number of lines, and passes it on."""
import json
import sys

print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    with open(request["path"], "rb") as file:
        content = file.read()
    if b"\0" in content:
        answer = {"status": "fail", "reason": "it is no text"}
    else:
        answer = {"status": "ok", "tags": {"lines": str(content.count(b"\n"))}, "outputs": [{"path": request["path"]}]}
    print(json.dumps(answer), flush=True)
