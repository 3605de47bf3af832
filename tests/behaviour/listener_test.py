"""What a listener may rely on: deposits with their answers, keys that make repeats one file, sockets and state that stay, health,
and what the host tells it; and steps that yield."""
import hashlib
import os
import signal
import socket
import stat
import sys
import threading
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, MFDATA, MFDATA_PLUGIN, Case, content, main, parse_tags_file, wait_for

SETTINGS = '[data]\nentry_step = "archive/main"\n[metrics]\nlisten = "127.0.0.1:0"\n'
MISMATCH, BUSY, ARG, UNSUPPORTED, NOT_FOUND, STATE = -12, -10, -1, -3, -2, -6


class DepositCase(Case):
    def porter(self, more="", settings=SETTINGS):
        home = self.home("archive", settings=settings, overrides={"archive": '[custom]\ndest_basename = "{ORIGINAL_BASENAME}"\nkeep_tags_suffix = ".tags"\n'})
        home.override("porter", more)
        home.run(MFDATA_PLUGIN, "install", BUILD / "tests/plugins/porter")
        home.start()
        wait_for(lambda: home.step_status("porter/main").get("workers") == 1, "the listener")
        return home

    @staticmethod
    def connect(home):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(120)
        connection.connect(str(home.root / "run/porter.sock"))
        return connection

    def ask(self, home, *words, connection=None):
        """The words of its answer."""
        own = connection or self.connect(home)
        own.sendall("\t".join(words).encode(errors="surrogateescape") + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            more = own.recv(4096)
            if not more:
                raise ConnectionError("no answer")
            answer += more
        if not connection:
            own.close()
        return answer.decode().split()

    def deposit(self, home, connection=None, **told):
        """(code, uid, whether it is a repeat)"""
        code, *rest = self.ask(home, "deposit", *(f"{name}={value}" for name, value in told.items()), connection=connection)
        return int(code), rest[0] if rest else "", rest[1:] == ["repeated"]

    @staticmethod
    def archived(home, number):
        wait_for(lambda: len(home.files()) >= number, f"{number} archived files")
        home.wait_idle()
        return [path for path in home.files()]


class Deposits(DepositCase):
    def test_the_uid_that_a_deposit_is_answered_with_is_that_of_its_file(self):
        home = self.porter()
        code, uid, _ = self.deposit(home, name="one", content="text", tag="colour=red", hop="depth=7")
        self.assertEqual(code, 0)
        [path] = self.archived(home, 1)
        tags = parse_tags_file(os.fsdecode(path) + ".tags")
        self.assertEqual((tags["first.core.original_uid"], tags["first.core.original_basename"], tags["colour"]), (uid.encode(), b"one", b"red"))
        self.assertEqual((tags["0.porter.main.depth"], tags["latest.porter.main.depth"]), (b"7", b"7"))
        self.assertEqual(content(path), b"text")

    def test_deposits_with_the_same_key_are_one_file_also_after_a_restart(self):
        home = self.porter()
        first = self.deposit(home, name="a", content="text", key="message 1")
        self.assertEqual((first[0], first[2]), (0, False))
        self.assertEqual(self.deposit(home, name="a", content="text", key="message 1"), (0, first[1], True))
        self.assertEqual(self.deposit(home, name="b", content="other", key="message 2")[::2], (0, False))
        self.archived(home, 2)
        self.assertEqual(home.stop(), 0)
        home.start()
        wait_for(lambda: home.step_status("porter/main").get("workers") == 1, "the listener")
        self.assertEqual(self.deposit(home, name="a", content="text", key="message 1", wait="no"), (0, first[1], True))
        self.assertEqual(len(self.archived(home, 2)), 2)
        wait_for(lambda: home.metric("mfdata_repeated_deposits_total", source="porter/main") == 1, "the count of repeats")

    def test_a_key_whose_first_deposit_is_on_its_way_is_busy_until_that_one_has_ended(self):
        home = self.porter()
        gate = home.root / "gate"
        answers = []
        slow = threading.Thread(target=lambda: answers.append(self.deposit(home, name="a", content="slow", key="k", hold=gate)))
        slow.start()
        self.addCleanup(slow.join)
        self.addCleanup(gate.touch)
        wait_for(lambda: any(not name.endswith(".0") for name in os.listdir(home.data / "tmp/accept")), "the slow deposit")
        code, uid, repeated = self.deposit(home, name="a", content="quick", key="k")
        self.assertEqual((code, repeated), (0, False))
        gate.touch()
        slow.join()
        self.assertEqual(answers[0][0], BUSY)  # its uid is none: who asks again is told of the other
        self.assertEqual(self.deposit(home, name="a", content="slow", key="k"), (0, uid, True))
        [path] = self.archived(home, 1)
        self.assertEqual(content(path), b"quick")

    def test_the_key_of_a_deposit_whose_listener_died_is_free_again(self):
        home = self.porter()
        connection = self.connect(home)
        self.addCleanup(connection.close)
        connection.sendall(f"deposit\tname=a\tcontent=half\tkey=k\thold={home.root}/never\n".encode())
        wait_for(lambda: os.listdir(home.data / "tmp/accept"), "the deposit")
        [pid] = home.worker_pids("porter/main")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: home.worker_pids("porter/main") not in ([pid], []), "another worker")
        wait_for(lambda: not os.listdir(home.data / "tmp/accept"), "nothing of the dead one")
        self.assertEqual(self.deposit(home, name="a", content="whole", key="k")[::2], (0, False))
        [path] = self.archived(home, 1)
        self.assertEqual(content(path), b"whole")

    def test_a_deposit_of_another_size_or_digest_than_expected_is_none(self):
        home = self.porter()
        for algorithm, name in (("md5", "md5"), ("sha-256", "sha256"), ("sha-384", "sha384"), ("sha-512", "sha512"), ("sha3-256", "sha3_256"),
                                ("sha3-384", "sha3_384"), ("sha3-512", "sha3_512")):
            right, wrong = hashlib.new(name, b"text").hexdigest(), hashlib.new(name, b"texts").hexdigest()
            self.assertEqual(self.deposit(home, name=algorithm, content="text", algorithm=algorithm, digest=wrong)[0], MISMATCH)
            self.assertEqual(self.deposit(home, name=algorithm, content="text", algorithm=algorithm, digest=right)[0], 0)
        self.assertEqual(self.deposit(home, name="size", content="text", size=5)[0], MISMATCH)
        self.assertEqual(self.deposit(home, name="size", content="text", size=4)[0], 0)
        self.assertEqual(self.deposit(home, name="empty", content="", size=0)[0], 0)
        self.assertEqual(self.deposit(home, name="x", content="text", algorithm="crc32", digest="00")[0], UNSUPPORTED)
        self.assertEqual(self.deposit(home, name="x", content="text", algorithm="md5", digest="00")[0], ARG)
        # A mismatch leaves its key free.
        self.assertEqual(self.deposit(home, name="k", content="text", size=5, key="k")[0], MISMATCH)
        self.assertEqual(self.deposit(home, name="k", content="texts", size=5, key="k")[::2], (0, False))
        self.assertEqual(len(self.archived(home, 10)), 10)

    def test_a_deposit_for_a_watched_directory_is_an_arrival_of_that_directory(self):
        home = self.porter()
        self.assertEqual(self.ask(home, "watched"), [str(home.incoming)])
        self.assertEqual(self.deposit(home, target=home.incoming, name="a", content="x")[0], 0)
        self.assertEqual(self.deposit(home, target=home.incoming, dirname="from the north", name="b", content="x")[0], 0)
        self.assertEqual(self.deposit(home, target="archive/main", name="c", content="x")[0], 0)
        self.assertEqual(self.deposit(home, target=home.root, name="d", content="x")[0], NOT_FOUND)
        tags = {os.path.basename(path): parse_tags_file(os.fsdecode(path) + ".tags")["first.core.original_dirname"] for path in self.archived(home, 3)}
        self.assertEqual(tags, {b"a": b"incoming", b"b": b"from the north", b"c": b"main"})

    def test_a_commit_with_a_callback_is_told_once_on_another_thread(self):
        home = self.porter()
        for number in range(20):
            self.assertEqual(self.deposit(home, name=f"f{number}", content="x", wait="no")[0], 0)
        self.assertEqual(len(self.archived(home, 20)), 20)

    def test_what_a_commit_consumed_cannot_be_used_again(self):
        home = self.porter()
        self.assertEqual(self.ask(home, "twice"), ["0", str(STATE), str(STATE)])

    def test_deposits_of_many_threads_are_all_there_and_counted(self):
        home = self.porter()

        def bring(thread):
            connection = self.connect(home)
            for number in range(25):
                self.assertEqual(self.deposit(home, connection, name=f"{thread}-{number}", content=f"{thread} {number}", wait="no" if number % 2 else "yes")[0], 0)
            connection.close()
        threads = [threading.Thread(target=bring, args=(thread,)) for thread in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        paths = self.archived(home, 300)
        self.assertEqual({os.path.basename(path): content(path) for path in paths}, {f"{t}-{n}".encode(): f"{t} {n}".encode() for t in range(12) for n in range(25)})
        wait_for(lambda: home.metric("mfdata_accepted_files_total", source="porter/main") == 300, "the count")
        self.assertEqual(home.step_status("porter/main")["deposits"], 300)

    def test_keyed_files_that_are_sent_until_they_are_acknowledged_come_once_whoever_is_killed(self):
        home = self.porter()
        done = threading.Event()

        def send(thread):
            for number in range(30):
                while True:
                    try:
                        code, _, _ = self.deposit(home, name=f"{thread}-{number}", content="x", key=f"{thread}-{number}")
                        if code == 0:
                            break
                        self.assertEqual(code, BUSY)
                    except (ConnectionError, FileNotFoundError):
                        pass
                    time.sleep(0.01)

        def kill():
            while not done.wait(0.5):
                for pid in home.worker_pids("porter/main"):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
        killer = threading.Thread(target=kill)
        threads = [threading.Thread(target=send, args=(thread,)) for thread in range(4)]
        for thread in [killer, *threads]:
            thread.start()
        for thread in threads:
            thread.join()
        done.set()
        killer.join()
        self.assertEqual(sorted(os.path.basename(path) for path in self.archived(home, 120)), sorted(f"{t}-{n}".encode() for t in range(4) for n in range(30)))


class Listeners(DepositCase):
    def test_nobody_who_connects_while_a_listener_is_replaced_is_refused(self):
        home = self.porter()
        [before] = home.worker_pids("porter/main")
        os.kill(before, signal.SIGKILL)
        self.assertEqual(self.deposit(home, name="killed", content="x")[0], 0)  # it waits in the queue of the socket
        home.override("porter", "[custom]\npause_ms = 200\n")
        home.run(MFDATA, "reload", "--no-trial")
        self.assertEqual(self.deposit(home, name="reloaded", content="x")[0], 0)
        home.run(MFDATA_PLUGIN, "stop", "porter")
        wait_for(lambda: not home.worker_pids("porter/main"), "no worker")
        connection = self.connect(home)
        home.run(MFDATA_PLUGIN, "start", "porter")
        self.assertEqual(self.deposit(home, connection, name="started", content="x")[0], 0)
        connection.close()
        self.assertEqual(len(self.archived(home, 3)), 3)

    def test_the_socket_of_a_listener_goes_with_it(self):
        home = self.porter()
        path = home.root / "run/porter.sock"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o660)
        home.run(MFDATA_PLUGIN, "remove", "porter")
        wait_for(lambda: not path.exists(), "no socket")

    def test_a_listener_gets_an_address_that_overlaps_the_one_it_had(self):
        home = self.porter()
        home.override("porter", f'[custom]\nsocket = "{home.root}/run/../run/porter.sock"\n')
        home.run(MFDATA, "reload")
        wait_for(lambda: home.step_status("porter/main").get("workers") == 1, "the listener")
        self.assertEqual(self.deposit(home, name="a", content="x")[0], 0)

    def test_a_socket_that_was_removed_is_there_again_with_the_next_worker(self):
        home = self.porter()
        path = home.root / "run/porter.sock"
        path.unlink()
        [pid] = home.worker_pids("porter/main")
        os.kill(pid, signal.SIGKILL)
        wait_for(path.exists, "the socket")
        self.assertEqual(self.deposit(home, name="a", content="x")[0], 0)

    def test_a_socket_that_another_program_has_is_said_and_left_alone(self):
        home = self.home("archive", settings=SETTINGS)
        other = socket.socket(socket.AF_UNIX)
        self.addCleanup(other.close)
        other.bind(str(home.root / "run/porter.sock"))
        other.listen()
        home.run(MFDATA_PLUGIN, "install", BUILD / "tests/plugins/porter")
        home.start()
        wait_for(lambda: "another program listens on" in home.step_log("porter/main"), "the reason")
        other.close()
        wait_for(lambda: home.step_status("porter/main").get("workers") == 1, "the listener")
        self.assertEqual(self.deposit(home, name="a", content="x")[0], 0)

    def test_the_state_of_a_listener_stays(self):
        home = self.porter()
        [path] = self.ask(home, "state")
        self.assertEqual(path, str(home.root / "var/state/porter/main"))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o700)
        with open(path + "/cursor", "w", encoding="utf-8") as file:
            file.write("7")
        self.assertEqual(home.stop(), 0)
        home.start()
        wait_for(lambda: home.step_status("porter/main").get("workers") == 1, "the listener")
        self.assertEqual(self.ask(home, "state"), [path])
        self.assertEqual(content(path + "/cursor"), b"7")

    def test_what_a_listener_says_of_its_health_is_in_status_metrics_and_readyz(self):
        home = self.porter()
        self.assertNotIn("health", home.step_status("porter/main"))

        def ready():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{home.status()['metrics_port']}/readyz", timeout=60) as answer:
                    return answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.read().decode()
        self.ask(home, "health", "1", "reconnecting to the broker")
        wait_for(lambda: home.step_status("porter/main").get("health", {}).get("state") == "degraded", "the state")
        self.assertEqual(home.step_status("porter/main")["health"]["text"], "reconnecting to the broker")
        self.assertIn("reconnecting to the broker", home.run(MFDATA, "status").stdout)
        wait_for(lambda: home.metric("mfdata_component_health", plugin="porter", step="main") == 1, "the metric")
        self.assertNotIn("porter", ready())
        self.ask(home, "health", "2", "no broker answers")
        wait_for(lambda: "porter/main has failed: no broker answers" in ready(), "the reason")
        self.ask(home, "health", "0", "")
        wait_for(lambda: "porter" not in ready(), "it is ready again")
        self.ask(home, "health", "2", "no broker answers")
        wait_for(lambda: home.metric("mfdata_component_health", plugin="porter", step="main") == 2, "the metric")
        os.kill(home.worker_pids("porter/main")[0], signal.SIGKILL)
        wait_for(lambda: home.metric("mfdata_component_health", plugin="porter", step="main") == 0, "what a dead worker said is forgotten")

    def test_a_listener_ticks_and_is_told_of_paths_and_of_pressure(self):
        home = self.home("archive", settings=SETTINGS)
        watched = home.root / "certificate"
        home.override("porter", f'[step.idler]\nmax_queue = 1\n[custom]\nwatched = "{watched}"\n')
        home.run(MFDATA_PLUGIN, "install", BUILD / "tests/plugins/porter")
        home.start()
        wait_for(lambda: home.step_status("porter/main").get("workers") == 1, "the listener")
        wait_for(lambda: int(self.ask(home, "ticks")[0]) >= 2, "ticks")
        watched.write_text("new")
        home.wait_log("porter/main", f"changed: {watched}")
        home.run(MFDATA, "pause", "porter/idler")
        for number in range(3):
            self.assertEqual(self.deposit(home, target="porter/idler", name=f"f{number}", content="x")[0], 0)
        home.wait_log("porter/main", f"pressure {BUSY} for ")
        self.assertEqual(self.deposit(home, name="late", content="x")[0], BUSY)
        home.run(MFDATA, "resume", "porter/idler")
        home.wait_log("porter/main", "pressure 0 for 0 ms")


class Yielding(DepositCase):
    def test_a_step_that_yields_gets_no_file_for_a_while_and_nothing_is_charged(self):
        home = self.home("archive", settings=SETTINGS.replace("archive/main", "porter/idler"))
        gate = home.root / "gate"
        home.override("porter", f'[listener.main]\nnumprocesses = 0\n[step.idler]\nretry_total = 0\n[custom]\ngate = "{gate}"\n')
        home.run(MFDATA_PLUGIN, "install", BUILD / "tests/plugins/porter")
        home.start()
        for number in range(50):
            home.drop(f"f{number}", b"x")
        wait_for(lambda: home.step_status("porter/idler").get("rests_s", 0) > 0, "a rest")
        home.wait_log("porter/idler", "yields for 300 ms: the gate is closed", 3)
        self.assertEqual(home.trash("porter/idler"), [])
        gate.touch()
        home.wait_idle()
        self.assertEqual((home.trash("porter/idler"), home.metric("mfdata_files_total", step="idler", result="ok")), ([], 50))


if __name__ == "__main__":
    main()
