import json, sys

def say(**message):
    print(json.dumps(message), flush=True)

sys.stdin.readline()
say(type="hello", version=1)
for line in sys.stdin:
    request = json.loads(line)
    attempt = int(request["tags"].get("latest.exec.main_reinject.attempt", "0"))
    with open(request["path"]) as file:
        needed = int(file.read())
    if attempt < needed:
        say(type="result", id=request["id"], status="retry", reason=f"attempt {attempt} is not enough")
    else:
        say(type="result", id=request["id"], status="ok", hop_tags={"attempts": str(attempt)}, outputs=[{"path": request["path"]}])
