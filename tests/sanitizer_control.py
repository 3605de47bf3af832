"""A worker leaks while it treats a file. Exit code 0 if the sanitizers reported that to the files that ASAN_OPTIONS names."""
import glob
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "harness"))
from harness import BUILD, Home, wait_for

home = Home([BUILD / "tests/plugins/mischief", "archive"], settings='[data]\nentry_step = "mischief/main"\n',
            overrides={"mischief": '[custom]\nmode = "leak_heap"\ndest_dir = "archive/main"\n'})
try:
    home.start()
    home.drop("f", b"x")
    wait_for(home.files, "the file")
    home.stop()
finally:
    home.close()
reports = glob.glob(re.search("log_path=([^:]*)", os.environ["ASAN_OPTIONS"])[1] + ".*")
texts = [open(report).read() for report in reports]
print(f"{len(reports)} reports", *texts, sep="\n")
sys.exit(not any("LeakSanitizer" in text and "mischief" in text for text in texts))
