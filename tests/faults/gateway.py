"""The gateway in several set-ups, each with a client that checks whether it serves."""

import os
import pathlib
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time

UPGRADE = (
    "GET /{path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


# A token plugin that knows one token.
PLUGIN = r"""while read -r line; do
  id=${line#*'"id":'}; id=${id%%[,\}]*}; id=${id# }
  case $line in
    *'"lookup"'*) echo "{\"id\":$id,\"target\":[\"127.0.0.1\",PORT]}" ;;
    *) echo "{\"id\":$id}" ;;
  esac
done
"""


# So many come side by side where one is not enough: some threads start only for those that come while another is served.
CLIENTS = 4


class Setup:
    """What the command line asks for, in the words of the report."""

    def __init__(self, name, options=(), **what):
        self.name = name
        self.options = list(options)
        self.tls = what.get("tls", False)
        self.unix = what.get("unix", False)
        self.daemon = what.get("daemon", False)
        self.path = what.get("path", "")
        # A page to ask for before a session.
        self.page = what.get("page")
        # Whether other programs are started, whose calls do not count.
        self.programs = what.get("programs", False)
        # Whether HUP reopens the log instead of ending the gateway.
        self.reopens = "--log-file" in self.options
        # Whether the command line names the target.
        self.target = what.get("target", True)

    def arguments(self, folder, port, service):
        words = {"dir": str(folder), "target": f"127.0.0.1:{service}"}
        arguments = [option.format(**words) for option in self.options]
        if not self.unix:
            arguments.append(f"127.0.0.1:{port}")
        if self.target:
            arguments.append(words["target"])
        return arguments


SETUPS = [
    Setup("plain"),
    Setup("tls", ["--ssl-only", "--cert", "{dir}/cert.pem", "--key", "{dir}/key.pem", "--verify-client",
                  "--cafile", "{dir}/cert.pem"], tls=True),
    Setup("web", ["--web", "{dir}/web"], page="/file.txt"),
    Setup("daemon", ["-D", "--log-file", "{dir}/log", "--pid-file", "{dir}/pid"], daemon=True),
    Setup("record", ["--record", "{dir}/tape"]),
    Setup("unix", ["--unix-listen", "{dir}/socket", "--workers", "2"], unix=True),
    Setup("tokens", ["--token-plugin", "TokenFile", "--token-source", "{dir}/tokens", "--auth-plugin",
                     "BasicHTTPAuth", "--auth-source", "@{dir}/passwords", "--web", "{dir}/web", "--web-auth"],
          path="?token=one", page="/", target=False),
    Setup("wrap", ["--wrap-mode", "respawn"], target=False, programs=True),
    Setup("exec", ["--token-plugin", "exec", "--token-source", "exec sh {dir}/plugin"], path="?token=one",
          target=False, programs=True),
    Setup("outputs", ["--log-file", "{dir}/log", "--syslog", "{dir}/syslog", "--traffic", "--heartbeat", "1"]),
]


class Gateway:
    """One run of it, stopped before its main begins."""

    def __init__(self, program, stopper, setup, port, service, shared, held=0):
        self.setup = setup
        self.port = port
        self.scratch = tempfile.TemporaryDirectory(prefix="faults-")
        self.folder = pathlib.Path(self.scratch.name)
        for name in ("cert.pem", "key.pem"):
            os.symlink(shared / name, self.folder / name)
        (self.folder / "web").mkdir()
        (self.folder / "web/file.txt").write_text("a file")
        (self.folder / "tokens").mkdir()
        (self.folder / "tokens/one").write_text(f"one: 127.0.0.1:{service}\n")
        (self.folder / "plugin").write_text(PLUGIN.replace("PORT", str(service)))
        (self.folder / "passwords").write_text("user:password\n")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.context.load_cert_chain(shared / "cert.pem", shared / "key.pem")
        self.command = [program, *setup.arguments(self.folder, port, service)]
        if setup.name == "wrap":
            self.command += ["--", "python3", str(pathlib.Path(__file__).parent / "wrapped.py"), str(port)]
        # The thread that waits to be traced writes its number here.
        self.held = self.folder / "held"
        self.errors = open(self.folder / "stderr", "w+b")
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
            cwd=self.folder,
            env={**os.environ, "LD_PRELOAD": str(stopper), "FAULTS_HOLD": f"{held}:{self.held}"},
            start_new_session=True,
        )
        self.pid = self.process.pid
        self.status = None
        self.clients, self.is_cleared = [], False
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            raise RuntimeError(f"{self.command} has ended before its main")

    def go(self):
        os.kill(self.pid, signal.SIGCONT)

    def held_thread(self, seconds):
        """The thread that waits to be traced, or None if it does not exist yet. Some start with the first client."""
        begun, has_client = time.monotonic(), False
        while not self.held.exists():
            waited = time.monotonic() - begun
            if waited > seconds or self.ended() not in (None, 0):
                return None
            if waited > seconds / 8 and not has_client:
                has_client = True
                for _ in range(CLIENTS):
                    client = threading.Thread(target=self.come_again, args=(begun + seconds,), daemon=True)
                    client.start()
                    self.clients.append(client)
            time.sleep(0.002)
        return int(self.held.read_text())

    def come_again(self, deadline):
        """One client after another until the thread exists."""
        while not self.held.exists() and not self.is_cleared and time.monotonic() < deadline:
            self.serves(0.5)

    def ended(self):
        """The exit status of the process that was started, or None."""
        return self.process.poll()

    def service_pid(self):
        """The process that serves, or None if that is not known."""
        if not self.setup.daemon:
            return self.pid
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != self.pid:
                try:
                    words = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes()
                except OSError:
                    continue
                if words.startswith(os.fsencode(self.command[0])) and os.fsencode(self.folder) in words:
                    return int(entry)
        return None

    def connect(self, seconds):
        if self.setup.unix:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(seconds)
            connection.connect(str(self.folder / "socket"))
            return connection
        connection = socket.create_connection(("127.0.0.1", self.port), seconds)
        return self.context.wrap_socket(connection) if self.setup.tls else connection

    def serves(self, seconds):
        """Whether a client gets what it came for."""
        try:
            if self.setup.page and not self.has_page(seconds):
                return False
            with self.connect(seconds) as connection:
                return self.echoes(connection)
        except OSError:
            return False

    def credentials(self):
        is_asked = self.setup.name == "tokens"
        return "Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n" if is_asked else ""

    def has_page(self, seconds):
        with self.connect(seconds) as connection:
            head = f"GET {self.setup.page} HTTP/1.1\r\nHost: x\r\n{self.credentials()}\r\n"
            connection.sendall(head.encode())
            return connection.recv(12) == b"HTTP/1.1 200"

    def echoes(self, connection):
        head = UPGRADE.format(path=self.setup.path).replace("Host: x\r\n", f"Host: x\r\n{self.credentials()}")
        connection.sendall(head.encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = connection.recv(4096)
            if not more:
                return False
            answer += more
        if not answer.startswith(b"HTTP/1.1 101"):
            return False
        answer = answer.partition(b"\r\n\r\n")[2]
        data = b"sixteen bytes!!!"
        connection.sendall(struct.pack("!BBI", 0x82, 0x80 | len(data), 0) + data)
        while len(answer) < 2 + len(data):
            more = connection.recv(4096)
            if not more:
                return False
            answer += more
        connection.sendall(struct.pack("!BBIH", 0x88, 0x82, 0, 1000))
        return answer == struct.pack("!BB", 0x82, len(data)) + data

    def waits(self, seconds):
        """Waits until it serves (True) or has ended (False); None if neither happens."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status = self.ended()
            if status is not None and not (self.setup.daemon and status == 0):
                return False
            # A client that is not served may have met the fault; the next one must not.
            if self.serves(min(1.0, seconds / 4)):
                return True
            time.sleep(0.02)
        return None

    def text(self):
        self.errors.flush()
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def logged(self):
        """Its output, on standard error or in its file."""
        text = self.text()
        if self.setup.daemon and (self.folder / "log").exists():
            text += (self.folder / "log").read_text(errors="replace")
        return text

    def clear(self):
        """Ends what is left, and removes the files."""
        self.is_cleared = True
        if self.ended() is None:
            self.process.kill()
        self.process.wait(10)
        # The next gateway has the same port.
        for client in self.clients:
            client.join()
        # Its exit is not reported here, and its port is needed again.
        while self.setup.daemon and (pid := self.service_pid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            time.sleep(0.002)
        if self.setup.programs:
            for pid in session_of(self.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.errors.close()
        self.scratch.cleanup()


def session_of(leader):
    """The processes of its session (proc(5)): programs that it has started have groups of their own, and stay in it."""
    for entry in os.listdir("/proc"):
        try:
            fields = pathlib.Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if entry.isdigit() and int(fields[3]) == leader:
            yield int(entry)
