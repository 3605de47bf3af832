"""Runs the protocol model and counts its scenarios and controls: --quick or --controls, as of spool_model.py."""
import pathlib
import re
import subprocess
import sys

done = subprocess.run([sys.executable, str(pathlib.Path(__file__).with_name("spool_model.py")), *sys.argv[1:]],
                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
print(done.stdout)
scenarios = re.findall(r"^.{55} \S+ +\S+ +\d+ +(\d+) +[\d.]+s$", done.stdout, re.MULTILINE)
controls = re.findall(r"^control: .* (noticed|SILENT)$", done.stdout, re.MULTILINE)
failed = sum(violations != "0" for violations in scenarios) + controls.count("SILENT")
if not scenarios + controls:
    failed = 1
print(f"{len(scenarios) + len(controls) - failed} passed, {failed} failed")
sys.exit(1 if failed or done.returncode else 0)
