import json, sys

print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    attempt = int(request["tags"].get("latest.exec.main_reinject.attempt", "0"))
    with open(request["path"]) as file:
        needed = int(file.read())
    if attempt < needed:
        answer = {"status": "retry", "reason": f"attempt {attempt} is not enough"}
    else:
        answer = {"status": "ok", "tags": {"attempts": str(attempt)}, "outputs": [{"path": request["path"]}]}
    print(json.dumps(answer), flush=True)
