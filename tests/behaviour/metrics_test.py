"""/metrics and /healthz: what is counted is what happened."""
import contextlib
import os
import re
import socket
import sys
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, Case, main, wait_for

MISCHIEF = BUILD / "tests/plugins/mischief"
SETTINGS = '[data]\nentry_step = "mischief/main"\n[loader]\nmax_crashes = 1\n[metrics]\nlisten = "127.0.0.1:0"\n'


class Metrics(Case):
    def setUp(self):
        self.runs = self.home(MISCHIEF, "archive", settings=SETTINGS, overrides={
            "mischief": '[custom]\ndest_dir = "archive/main"\n', "archive": ""}).start()

    def assert_metric(self, value, name, **labels):
        wait_for(lambda: self.runs.metric(name, **labels) == value or None, f"{name} {labels} to be {value}", 30)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.runs.status()['metrics_port']}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()

    def test_files_bytes_times_routes_and_ends_are_counted_once_each(self):
        for number in range(3):
            self.runs.drop(f"f{number}", b"pass\n")
        wait_for(lambda: len(self.runs.files()) == 3, "the files")
        self.runs.wait_idle()
        for plugin in ("mischief", "archive"):
            step = dict(plugin=plugin, step="main")
            self.assert_metric(3, "mfdata_files_total", result="ok", **step)
            self.assert_metric(15, "mfdata_bytes_total", **step)
            self.assert_metric(3, "mfdata_processing_seconds_count", **step)
            self.assert_metric(1, "mfdata_workers", state="ready", **step)
            self.assert_metric(0, "mfdata_queue_files", **step)
        self.assert_metric(3, "mfdata_accepted_files_total")
        self.assert_metric(3, "mfdata_accepted_files_total", source="incoming")
        self.assert_metric(3, "mfdata_routed_files_total", **{"from": "mischief/main", "to": "archive/main"})
        self.assert_metric(3, "mfdata_end_to_end_seconds_count")
        self.assert_metric(0, "mfdata_quarantined_files_total")

    def test_failures_and_crashes_are_counted_with_their_trash_and_exits(self):
        step = dict(plugin="mischief", step="main")
        self.runs.drop("failed", b"fail\n")
        self.assert_metric(1, "mfdata_files_total", result="failed", **step)
        self.assert_metric(1, "mfdata_quarantined_files_total", **step)
        self.runs.drop("crashed", b"crash\n")
        self.runs.wait_trash("mischief/main", 2)
        self.assert_metric(2, "mfdata_files_total", result="failed", **step)
        self.assert_metric(2, "mfdata_quarantined_files_total", **step)
        self.assert_metric(2, "mfdata_trash_files")
        self.assert_metric(1, "mfdata_worker_exits_total", **step)

    def test_trash_of_an_earlier_run_and_of_this_one_are_counted_together(self):
        for number in range(3):
            self.runs.drop(f"early{number}", b"fail\n")
        self.runs.wait_trash("mischief/main", 3)
        self.runs.stop()
        for number in range(4):
            self.runs.drop(f"late{number}", b"fail\n")
        self.runs.start()
        self.runs.wait_trash("mischief/main", 7)
        self.assert_metric(7, "mfdata_trash_files")

    def test_waiting_files_are_counted_and_the_oldest_is_timed(self):
        self.runs.override("archive", "[step.main]\nnumprocesses = 0\n")
        self.runs.run(BUILD / "tools/mfdata", "reload")
        for number in range(4):
            self.runs.drop(f"f{number}", b"pass\n")
        self.assert_metric(4, "mfdata_queue_files", plugin="archive", step="main")
        wait_for(lambda: self.runs.metric("mfdata_queue_oldest_seconds", plugin="archive", step="main") > 0, "an age")

    def test_every_family_has_a_type_and_a_help_text(self):
        status, text = self.get("/metrics")
        names = set(re.findall(r"^(mfdata_\w+?)(?:_bucket|_sum|_count)?[{ ]", text, re.MULTILINE))
        self.assertEqual(status, 200)
        self.assertGreater(len(names), 5)
        for name in names:
            self.assertRegex(text, rf"(?m)^# HELP {name}(_count)? ..")
            self.assertRegex(text, rf"(?m)^# TYPE {name}(_count)? (counter|gauge|histogram)$")

    def test_healthz_says_ok_and_other_paths_are_not_found(self):
        self.assertEqual(wait_for(lambda: self.get("/healthz"), "an answer"), (200, "ok\n"))
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.get("/metricss")
        self.assertEqual(caught.exception.code, 404)
        caught.exception.close()

    def get_any(self, path):
        """Status and body, of an error too."""
        try:
            return self.get(path)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def connections(self, held, number, send):
        for _ in range(number):
            one = held.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=60))
            one.sendall(send)
            yield one

    def test_metrics_are_served_while_fifty_connections_idle_and_fifty_are_slow(self):
        self.port = self.runs.status()["metrics_port"]
        with contextlib.ExitStack() as held:
            idle = list(self.connections(held, 50, b""))
            slow = list(self.connections(held, 50, b"GET /metrics HT"))
            for _ in range(5):
                self.assertEqual(self.get("/metrics")[0], 200)
                self.assertEqual(self.get("/healthz"), (200, "ok\n"))
                with contextlib.suppress(OSError):  # closed after two seconds
                    for one in slow:
                        one.sendall(b"T")
            for one in idle:
                self.assertEqual(one.recv(10), b"", "who says nothing is closed")

    def test_more_connections_than_the_server_keeps_push_out_the_oldest(self):
        self.port = self.runs.status()["metrics_port"]
        with contextlib.ExitStack() as held:
            list(self.connections(held, 300, b""))
            self.assertEqual(self.get("/healthz"), (200, "ok\n"))

    def asked(self, request):
        with socket.create_connection(("127.0.0.1", self.runs.status()["metrics_port"]), timeout=60) as one:
            one.sendall(request)
            return one.makefile("rb").read().decode()

    def test_requests_that_are_none_get_an_error_and_head_gets_no_body(self):
        self.assertIn("HTTP/1.1 400 ", self.asked(b"nonsense\r\n\r\n"))
        self.assertIn("HTTP/1.1 405 Method Not Allowed\r\n", self.asked(b"POST /metrics HTTP/1.1\r\n\r\n"))
        self.assertIn("HTTP/1.1 431 ", self.asked(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20_000))
        self.assertRegex(self.asked(b"HEAD /healthz HTTP/1.1\r\n\r\n"), r"^HTTP/1.1 200 OK\r\n(.+\r\n)*\r\n$")
        self.assertIn("HTTP/1.1 200 OK", self.asked(b"GET /healthz?x=1 HTTP/1.0\r\n\r\n"))

    def assert_ready(self, status, *words):
        def there():
            answer = self.get_any("/readyz")
            return answer[0] == status and all(word in answer[1] for word in words) and answer
        return wait_for(there, f"/readyz to say {status} {words}")

    def test_readyz_says_why_nothing_flows_while_healthz_stays_well(self):
        self.assertEqual(self.assert_ready(200), (200, "ready\n"))
        self.runs.configure(SETTINGS.replace("[data]\n", '[data]\nmin_free_space = "100%"\n'))
        self.runs.run(BUILD / "tools/mfdata", "reload")
        self.assert_ready(503, "the entrances are closed: less than min_free_space")
        self.assert_metric(0, "mfdata_entrances_open")
        self.assertEqual(self.get("/healthz"), (200, "ok\n"))
        self.runs.configure(SETTINGS)
        self.runs.run(BUILD / "tools/mfdata", "reload")
        self.assert_ready(200)
        self.assert_metric(1, "mfdata_entrances_open")
        self.assertGreater(self.runs.metric("mfdata_filesystem_free_bytes"), 0)

    def test_readyz_names_a_step_that_does_not_start(self):
        [library] = (self.runs.root / "plugins/archive").glob("1.0.0/*.so")
        broken = library.with_suffix(".new")
        broken.write_bytes((BUILD / "tests/plugins/no_entry/no_entry.so").read_bytes())
        broken.rename(library)
        self.runs.stop()
        self.runs.start()
        self.assert_ready(503, "archive/main does not start: ")

    def test_suspended_step_is_a_metric_and_a_reason_of_readyz(self):
        self.assert_metric(0, "mfdata_step_suspended", plugin="mischief", step="main")
        for number in range(5):
            self.runs.drop(f"f{number}", b"crash\n")
        self.assert_ready(503, "mischief/main is suspended: it crashes")
        self.assert_metric(1, "mfdata_step_suspended", plugin="mischief", step="main")
        self.assert_metric(0, "mfdata_step_suspended", plugin="archive", step="main")

    def test_trash_is_counted_for_each_step(self):
        self.runs.drop("failed", b"fail\n")
        self.assert_metric(1, "mfdata_step_trash_files", plugin="mischief", step="main")
        self.assert_metric(1, "mfdata_trash_files")
        self.runs.run(BUILD / "tools/mfdata", "trash", "purge", "--all")
        self.runs.stop()
        self.runs.drop("failed", b"fail\n")
        self.runs.drop("failed again", b"fail\n")
        self.runs.start()
        self.assert_metric(2, "mfdata_step_trash_files", plugin="mischief", step="main")

    def test_name_that_the_loader_does_not_know_is_an_error_of_the_test(self):
        with self.assertRaises(AssertionError):
            self.runs.metric("mfdata_worker_exit_total")


if __name__ == "__main__":
    main()
