"""The program of exec in the campaign over the standard flow. The first line of a file, "<word> <serial> <choice> ..", says
what becomes of it: a number (so many retries first), "split" (a second file), "never" (a retry each time), or "fail"."""
import json
import os
import sys

sys.stdin.readline()
print(json.dumps({"type": "hello", "version": 1}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    attempt = int(request["tags"].get("latest.exec.main_reinject.attempt", "0"))
    with open(request["path"], "rb") as file:
        serial, choice = (word.decode() for word in file.readline().split()[1:3])
    outputs = [{"path": request["path"]}]
    if choice == "split":
        made = os.path.join(request["scratch"], "made")
        with open(made, "w", encoding="ascii") as file:
            file.write(f"PLAIN {serial} made by exec\n")
        outputs.append({"path": made})
    if choice == "fail" or choice == "never" or choice.isdigit() and attempt < int(choice):
        answer = {"status": "fail" if choice == "fail" else "retry", "reason": f"{choice} was chosen, this is attempt {attempt}"}
    else:
        answer = {"status": "ok", "hop_tags": {"chosen": choice}, "outputs": outputs}
    print(json.dumps({"type": "result", "id": request["id"], **answer}), flush=True)
