#!/usr/bin/env python3
"""Makes the gateway's system calls fail, one at a time, and checks what it does.

strace's fault injection lets the nth call of a kind fail. Every call that deals with files, sockets, descriptors,
processes or limits gets its turn, with several errors, in several set-ups. A library (stop.c) stops the program
before its main begins, and strace is attached there, so that what the loader does is left out. The stages:

start    Calls from the beginning of main on. Within 2 s the gateway serves a client, or it ends with 1 and
         one line on standard error that says what has failed. strace counts for each thread, so with the main
         thread's nth call that of every other thread fails, too.
thread   The same for one thread alone, from its first call on.
serving  Calls of one thread of a gateway that serves, while a client comes, at HUP, USR1, USR2 and at TERM.
         Within 2 s the next client is served (after TERM: it has ended); or it ends as above.

With --sample N every Nth fault is tried, which are others for each seed. The exit status is 0 if nothing was
found, 1 if something was, and 2 if the run itself could not be made.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(HERE.parent / "conformance"))

sys.dont_write_bytecode = True
import echo
import gateway

KINDS = "%file,%network,%desc,%process,setrlimit,prlimit64"
# Nothing works without these, and they don't fail.
NEVER = {"exit", "exit_group", "execve", "execveat", "rt_sigreturn", "munmap"}
# Errors that a call may have, by its name.
ERRORS = {
    "openat": ["ENOENT", "EACCES", "EMFILE", "EINTR", "ENOMEM"],
    "socket": ["EMFILE", "EACCES", "ENOBUFS"],
    "bind": ["EADDRINUSE", "EACCES", "ENOSPC"],
    "listen": ["EADDRINUSE", "EPERM"],
    "connect": ["ECONNREFUSED", "EACCES", "EAGAIN"],
    "accept4": ["EMFILE", "ECONNABORTED", "EPROTO", "EINTR", "EPERM"],
    "setsockopt": ["ENOPROTOOPT", "EPERM"],
    "getsockopt": ["ENOPROTOOPT", "ENOBUFS"],
    "getsockname": ["ENOBUFS"],
    "getpeername": ["ENOTCONN"],
    "recvfrom": ["EINTR", "ECONNRESET", "ENOMEM"],
    "recvmsg": ["EINTR", "ECONNRESET", "ENOMEM"],
    "sendto": ["EINTR", "EPIPE", "ENOBUFS"],
    "sendmsg": ["EINTR", "EPIPE", "ENOBUFS"],
    "shutdown": ["ENOTCONN"],
    "read": ["EIO", "EINTR", "EAGAIN", "EISDIR"],
    "pread64": ["EIO", "EINTR"],
    "write": ["ENOSPC", "EIO", "EINTR", "EPIPE", "EAGAIN"],
    "writev": ["ENOSPC", "EIO", "EINTR", "EPIPE"],
    "pwrite64": ["ENOSPC", "EIO", "EINTR"],
    "close": ["EIO", "EINTR"],
    "fcntl": ["EINVAL", "EPERM"],
    "ioctl": ["ENOTTY", "EINVAL"],
    "mmap": ["ENOMEM"],
    "epoll_create1": ["EMFILE", "ENOMEM"],
    "epoll_ctl": ["ENOMEM", "ENOSPC"],
    "epoll_wait": ["EINTR"],
    "poll": ["EINTR", "ENOMEM"],
    "eventfd2": ["EMFILE", "ENOMEM"],
    "pipe2": ["EMFILE"],
    "socketpair": ["EMFILE", "ENOMEM"],
    "dup": ["EMFILE"],
    "dup2": ["EBUSY", "EINTR"],
    "dup3": ["EBUSY", "EINTR"],
    "clone3": ["EAGAIN", "ENOMEM"],
    "clone": ["EAGAIN", "ENOMEM"],
    "fork": ["EAGAIN"],
    "vfork": ["EAGAIN"],
    "wait4": ["EINTR", "ECHILD"],
    "waitid": ["EINTR", "ECHILD"],
    "kill": ["EPERM", "ESRCH"],
    "prlimit64": ["EPERM", "EINVAL"],
    "setrlimit": ["EPERM", "EINVAL"],
}
OTHERS = ["EIO", "EACCES", "ENOMEM"]
SIGNALS = ["client", "HUP", "USR1", "USR2", "TERM"]

Fault = collections.namedtuple("Fault", "setup stage thread call number error")


def main():
    options = parse_options()
    run = Run(options)
    setups = [setup for setup in gateway.SETUPS if not options.setup or setup.name in options.setup]
    with concurrent.futures.ThreadPoolExecutor(options.parallel) as pool:
        faults = [fault for found in pool.map(run.faults_of, setups) for fault in found]
    faults = [fault for fault in faults if not options.only or re.search(options.only, describe(fault))]
    if options.sample > 1:
        random.Random(options.seed).shuffle(faults)
        faults = faults[:: options.sample]
    print(f"{len(faults)} faults, seed {options.seed}", flush=True)
    begun = time.monotonic()
    outcomes, bad = collections.Counter(), []
    with concurrent.futures.ThreadPoolExecutor(options.parallel) as pool:
        for fault, outcome, text in pool.map(run.judge, faults):
            outcomes[outcome] += 1
            if options.verbose or outcome not in FINE:
                print(f"{outcome}: {describe(fault)}\n{indent(text)}", flush=True)
            if outcome not in FINE:
                bad.append(fault)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"{counts} in {time.monotonic() - begun:.0f} s")
    sys.exit(1 if bad or not faults or not outcomes["served"] else 0)


FINE = {"served", "said", "ended", "not met", "waits"}


def describe(fault):
    return f"{fault.setup.name} {fault.stage} {fault.thread} {fault.call} {fault.number} {fault.error}"


def indent(text):
    return "".join(f"    {line}\n" for line in text.splitlines())


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gateway", default=str(ROOT / "target/release/websockify"), help="the program to test")
    parser.add_argument("--setup", action="append", help="one of: " + ", ".join(s.name for s in gateway.SETUPS))
    parser.add_argument("--only", help="faults whose description matches this expression")
    parser.add_argument("--sample", type=int, default=1, metavar="N", help="try every Nth fault")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="which ones those are")
    parser.add_argument("--parallel", type=int, default=2, help="so many at a time (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2, help="how long it may take (default: %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="print what came of every fault")
    options = parser.parse_args()
    if not pathlib.Path(options.gateway).exists():
        print(f"{options.gateway} is not there: cargo build --release", file=sys.stderr)
        sys.exit(2)
    options.gateway = str(pathlib.Path(options.gateway).resolve())
    return options


class Run:
    def __init__(self, options):
        self.options = options
        self.service = echo.start()
        self.scratch = tempfile.TemporaryDirectory(prefix="faults-")
        self.shared = pathlib.Path(self.scratch.name)
        self.stopper = self.shared / "stop.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.stopper, HERE / "stop.c"], check=True)
        making = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        making += ["-days", "2", "-subj", "/CN=127.0.0.1", "-out", "cert.pem", "-keyout", "key.pem"]
        subprocess.run(making, check=True, cwd=self.shared, stderr=subprocess.DEVNULL)
        self.ports = threading.local()

    def port(self):
        """This thread's port, which no client is given by the system."""
        if not hasattr(self.ports, "mine"):
            while True:
                port = random.randrange(12_000, 30_000)
                with socket.socket() as trial:
                    try:
                        trial.bind(("127.0.0.1", port))
                    except OSError:
                        continue
                self.ports.mine = port
                break
        return self.ports.mine

    def start(self, setup, held=0):
        return gateway.Gateway(
            self.options.gateway, self.stopper, setup, self.port(), self.service, self.shared, held
        )

    # What calls there are.

    def faults_of(self, setup):
        parts = [self.faults_of_start, self.faults_of_threads, self.faults_of_serving]
        return [fault for part in parts for fault in part(setup)]

    def faults_of_start(self, setup):
        server = self.start(setup)
        trace = Trace(server.folder / "trace", server.pid, [*following(setup), "-e", f"trace={KINDS}"])
        try:
            server.go()
            if not server.waits(20):
                raise SystemExit(f"{setup.name} does not serve: {server.text()}")
        finally:
            lines = trace.lines()
            server.clear()
            trace.end()
        # The standard library's own calls come before main, which begins with this one.
        calls, before, begun = {}, {}, False
        for thread, call in lines:
            begun = begun or call == "getcwd"
            if not begun:
                before[call] = before.get(call, 0) + 1
            else:
                calls.setdefault(call, collections.Counter())[thread] += 1
        if not begun:
            raise SystemExit("the call with which main begins was not seen")
        for call, threads in sorted(calls.items()):
            skipped = before.get(call, 0)
            main = next(iter(lines))[0]
            most = max(count + (skipped if thread == main else 0) for thread, count in threads.items())
            for number in range(skipped + 1, most + 1):
                for error in errors(call):
                    yield Fault(setup, "start", "-", call, number, error)

    def faults_of_threads(self, setup):
        server = self.start(setup)
        try:
            server.go()
            count = len(os.listdir(f"/proc/{self.settled(server)}/task"))
        finally:
            server.clear()
        for held in range(1, count):
            server, trace = self.start(setup, held), None
            try:
                server.go()
                tid = server.held_thread(8)
                if tid is None:
                    # Their number depends on how busy they are.
                    print(f"{setup.name} has not started thread {held} again", flush=True)
                    continue
                trace = Trace(server.folder / "trace", tid, ["-e", f"trace={KINDS}"])
                trace.release(server.held, 20)
                if not server.waits(20):
                    raise SystemExit(f"{setup.name} does not serve: {server.text()}")
                name = f"{held}:{name_of(server.service_pid(), tid)}"
                counts = collections.Counter(call for _, call in trace.lines())
                # What waiting costs is not the program's.
                counts["access"] = 0
                yield from some_of(counts, lambda *what: Fault(setup, "thread", name, *what))
            finally:
                server.clear()
                if trace:
                    trace.end()

    def faults_of_serving(self, setup):
        for stage in SIGNALS:
            server = self.start(setup)
            try:
                server.go()
                pid = self.settled(server)
                traces = [
                    (name, Trace(server.folder / f"trace.{tid}", tid, ["-e", f"trace={KINDS}"]))
                    for tid, name in threads_of(pid)
                ]
                self.stimulate(server, pid, stage)
                for name, trace in traces:
                    counts = collections.Counter(call for _, call in trace.lines())
                    yield from some_of(counts, lambda *what: Fault(setup, stage, name, *what))
                    trace.end()
            finally:
                server.clear()

    def settled(self, server):
        """Has it serve a few clients, so that threads that are started on demand exist."""
        for _ in range(2):
            if not server.waits(20):
                raise SystemExit(f"{server.setup.name} does not serve: {server.text()}")
        return server.service_pid()

    def stimulate(self, server, pid, stage):
        if stage == "client":
            server.serves(1)
            return
        os.kill(pid, getattr(signal, f"SIG{stage}"))
        deadline = time.monotonic() + self.options.seconds
        if ends(server, stage):
            while is_alive(pid) and time.monotonic() < deadline:
                if server.pid == pid and server.ended() is not None:
                    return
                time.sleep(0.01)
        else:
            # The signal has been handled once a client has been served.
            time.sleep(0.05)
            server.serves(1)

    # One fault.

    def judge(self, fault):
        outcome, text = self.attempt(fault, self.options.seconds)
        if outcome not in FINE:
            # A busy machine is not the gateway's fault.
            outcome, text = self.attempt(fault, 2 * self.options.seconds)
        return fault, outcome, text

    def launched(self, server, seconds):
        deadline = time.monotonic() + seconds
        while server.ended() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return server.ended() == 0

    def attempt(self, fault, seconds):
        server = self.start(fault.setup, int(fault.thread.split(":")[0]) if fault.stage == "thread" else 0)
        trace = None
        inject = ["-e", f"trace={fault.call}", "-e"]
        inject.append(f"inject={fault.call}:error={fault.error}:when={fault.number}")
        try:
            if fault.stage == "start":
                trace = Trace(server.folder / "trace", server.pid, [*following(fault.setup), *inject])
                server.go()
                return self.look(server, trace, seconds, None)
            server.go()
            if fault.stage == "thread":
                tid = server.held_thread(seconds)
                if tid is None:
                    return "not met", "there is no such thread"
                inject[1] += ",access"
                trace = Trace(server.folder / "trace", tid, inject)
                trace.release(server.held, seconds)
                return self.look(server, trace, seconds, None)
            pid = self.settled(server)
            tids = [tid for tid, name in threads_of(pid) if name == fault.thread]
            if not tids:
                return "not met", "there is no such thread"
            trace = Trace(server.folder / "trace", tids[0], inject)
            self.stimulate(server, pid, fault.stage)
            return self.look(server, trace, seconds, pid if ends(server, fault.stage) else None)
        finally:
            server.clear()
            if trace:
                trace.end()

    def look(self, server, trace, seconds, terminated):
        text = lambda: server.logged() + trace.injected()
        if terminated:
            if is_alive(terminated) and not (server.pid == terminated and server.ended() is not None):
                return "DOES NOT END", text()
            status = server.ended()
            if status in (0, None):
                return "ended" if trace.injected() else "not met", text()
            return verdict(status, server.text()), text()
        begun = time.monotonic()
        state = server.waits(seconds)
        if state:
            if server.setup.daemon and not self.launched(server, seconds):
                return "THE LAUNCHER HANGS", text()
            outcome = "served" if trace.injected() else "not met"
            return outcome, f"{text()}after {time.monotonic() - begun:.2f} s"
        if state is None:
            return "waits" if is_of_std(server, trace) else "HANGS", text()
        return verdict(server.ended(), server.text()), text()


# Calls of one kind in one thread.
PER_CALL_MAX = 40

# Lines of every start, as scripts know them.
STARTING = re.compile(
    r"WebSocket server settings:|  - |In exit|warning: |this system refuses |"
    r"\S+ - - \[|Starting '|syslog |\d+ log lines "
)


def verdict(status, text):
    """Checks an ending: status 1, and besides the lines of a start one line that says what has failed."""
    if status != 1:
        return f"STATUS {status}"
    lines = [line for line in text.splitlines() if line and not STARTING.match(line)]
    if len(lines) != 1:
        return f"{len(lines)} LINES"
    named = re.fullmatch(r"(?:websockify: error: |Opening socket failed: )(.*)", lines[0])
    if not named or lines[0].startswith("websockify: error: ") and ": " not in named[1]:
        return "NAMES NOTHING"
    return "said"


def is_of_std(server, trace):
    """Whether a start waits for what std's Command waits for: the end of a socket that tells whether the program could
    be executed. It can't be told that closing its own end has failed, which no Linux does without closing it
    (close(2)), nor that reading there has. The program has been started then."""
    return server.setup.programs and re.match(r"(close|recvfrom)\(", trace.injected()) is not None


def some_of(counts, fault):
    for call, count in sorted(counts.items()):
        for number in range(1, min(count, PER_CALL_MAX) + 1):
            for error in errors(call):
                yield fault(call, number, error)


def following(setup):
    """Whether strace follows the process's children: not into programs that it starts."""
    return [] if setup.programs else ["-f"]


def errors(call):
    return [] if call in NEVER else ERRORS.get(call, OTHERS)


def ends(server, stage):
    """Whether the gateway ends at this signal: HUP is for its log file."""
    return stage == "TERM" or stage == "HUP" and not server.setup.reopens


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def name_of(pid, tid):
    try:
        return pathlib.Path(f"/proc/{pid}/task/{tid}/comm").read_text().strip()
    except OSError:
        return "gone"


def threads_of(pid):
    """The threads of a process, each with a name; those that have the same get numbers."""
    seen, named = collections.Counter(), []
    for tid in sorted(int(entry) for entry in os.listdir(f"/proc/{pid}/task")):
        name = name_of(pid, tid)
        seen[name] += 1
        named.append((tid, name if seen[name] == 1 else f"{name}#{seen[name]}"))
    return named


class Trace:
    """strace, attached to a thread, or to a process and its children."""

    def __init__(self, file, pid, options):
        self.file = file
        # -qq: its own messages would be taken for the gateway's.
        command = ["strace", "-qq", "-o", file, "-p", str(pid), *options]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        deadline = time.monotonic() + 20
        while not re.search(r"^TracerPid:\s*[1-9]", self.status(pid), re.M):
            if not pathlib.Path(f"/proc/{pid}").exists():
                # A thread that had nothing more to do.
                self.process.wait()
                break
            if self.process.poll() is not None or time.monotonic() > deadline:
                print(f"strace can't trace here: {self.process.stderr.read()}", file=sys.stderr)
                os._exit(2)
            time.sleep(0.005)

    def release(self, held, seconds):
        """Lets the thread go on that waits for `held` to be removed, once its calls are seen."""
        deadline = time.monotonic() + seconds
        while "access(" not in self.text() and time.monotonic() < deadline:
            time.sleep(0.002)
        held.unlink()

    @staticmethod
    def status(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return ""

    def lines(self):
        """Threads and what they have called."""
        found = []
        for line in self.text().splitlines():
            match = re.match(r"(?:(\d+) +)?(\w+)\(", line)
            if match:
                found.append((match[1], match[2]))
        return found

    def injected(self):
        return "".join(f"{line}\n" for line in self.text().splitlines() if "(INJECTED)" in line)

    def text(self):
        try:
            return self.file.read_text(errors="replace")
        except OSError:
            return ""

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:
            # It waits for a process that init has not reaped yet.
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()


if __name__ == "__main__":
    main()
