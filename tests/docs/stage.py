"""Runs blocks of the documentation: shell, and configurations of proxies."""

import os
import pathlib
import re
import shlex
import signal
import socket
import socketserver
import ssl
import subprocess
import threading
import time
import urllib.request

import websocket

STEP_S = 30
"""Seconds that one step may take. Steps take under a second; a loaded machine may be much slower."""

BUILD_S = 900
"""Seconds for a line that builds the program first, if necessary."""

TARGETS = (23, 5900, 5901)
"""Ports that the pages use as targets: an echo server listens there."""

PROXIES = ("nginx", "haproxy", "caddy")
PROXY_PORT = 8080

GATEWAY = "websockify -v --heartbeat 30 --web /usr/share/novnc 127.0.0.1:6080 localhost:5900"
"""The gateway behind the proxies: as on the page, but with noVNC's own page instead of one that connects."""

REQUEST = b"GET / HTTP/1.0\r\n\r\n"
"""What is sent through a gateway: it comes back from an echo, and a web server answers it."""

ENDINGS = {0, 128 + signal.SIGTERM}
"""Allowed exit statuses of a gateway after TERM; the second is that of a wrapped program."""


class Failure(Exception):
    """Something did not happen as the page says."""


class Echo(socketserver.BaseRequestHandler):
    """Sends everything back."""

    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    """One that echoes on a loopback port."""

    allow_reuse_address = True
    daemon_threads = True


class Stage:
    """Where blocks are run, one after another."""

    def __init__(self, root, scratch):
        self.root, self.scratch = root, scratch
        self.running = []
        self.count = 0
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
        self.program = pathlib.Path(os.environ.get("WEBSOCKIFY_BIN", target / "release/websockify")).resolve()
        if not self.program.exists():
            raise SystemExit(f"{self.program} is not built (cargo build --release)")
        (scratch / "bin").mkdir()
        (scratch / "bin/websockify").symlink_to(self.program)
        # Where `./run` looks for what is built.
        (scratch / "built/release").mkdir(parents=True)
        (scratch / "built/release/websockify").symlink_to(self.program)
        self.debian = root / "target/ci/debian"
        self.environment = {
            **os.environ,
            "PATH": f"{scratch / 'bin'}:{os.environ['PATH']}:{self.debian}/usr/sbin:{self.debian}/usr/bin",
            "HOME": str(scratch),
            "CARGO_HOME": os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo")),
            "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", os.path.expanduser("~/.rustup")),
        }
        for port in TARGETS:
            server = Server(("127.0.0.1", port), Echo)
            threading.Thread(target=server.serve_forever, daemon=True).start()
        self.fixed = ports()

    def help(self):
        """The output of the program's `--help`."""
        return subprocess.run([self.program, "--help"], check=True, capture_output=True, text=True).stdout

    def _folder(self):
        """An empty directory with the tree's files beside it, as if it were a fresh checkout."""
        self.count += 1
        folder = self.scratch / str(self.count)
        folder.mkdir()
        for entry in self.root.iterdir():
            if entry.name not in (".git", "target"):
                (folder / entry.name).symlink_to(entry)
        return folder

    def shell(self, text):
        """Runs the lines of a block."""
        folder = self._folder()
        token = None
        pages = re.findall(r"^# open (\S+)", text, re.MULTILINE)
        for address in pages:
            token = token or (re.search(r"[?&](token=[^&]*)", address) or [None, None])[1]
        printed = ""
        for line in re.sub(r"\\\n\s*", "", text).split("\n"):
            wanted = line.removeprefix("# prints ")
            if wanted != line and wanted not in printed:
                raise Failure(f"'{wanted}' is not in '{printed.strip()}'")
            words = shlex.split(line, comments=True)
            if not words:
                continue
            if is_service(words):
                self._gateway(line, words, folder, token)
            else:
                done = subprocess.run(
                    line, shell=True, cwd=folder, env=self.environment, timeout=STEP_S, capture_output=True, text=True
                )
                if done.returncode != 0:
                    raise Failure(f"'{line}' ended with {done.returncode}: {done.stderr.strip()}")
                printed = done.stdout
        for address in pages:
            fetch(address)
        for process, line, log in list(self.running):
            self._end(process, line, log)

    def _gateway(self, line, words, folder, token):
        """Starts a gateway and relays something through it."""
        cwd = self.root if words[0] == "cargo" else folder
        if words[0] == "cargo" and "WEBSOCKIFY_BIN" in os.environ:
            line = f"{self.program} {line.split(' -- ', 1)[1]}"
        built = {"CARGO_TARGET_DIR": str(self.scratch / "built")} if words[0] == "./run" else {}
        process, log = self.start(line, cwd, built)
        patience = BUILD_S if words[0] == "cargo" else STEP_S
        new = self._until(f"'{line}' to listen", lambda: ports() - self.fixed, process, log, patience)
        # A wrapped program may listen, too; the gateway's port is the one that the line names.
        port = next((port for port in sorted(new) if re.search(rf"(?<!\d){port}(?!\d)", line)), None)
        if port is None:
            raise Failure(f"'{line}' listens on {new}")
        path = "/websockify" + (f"?{token}" if token else "")
        self.relays(port, path, "--cert" in line and "wss", line)

    def relays(self, port, path, scheme, what):
        """Sends something through a gateway or a proxy and waits for it to come back."""

        def answered():
            try:
                return websocket.exchange("localhost", port, path, REQUEST, scheme == "wss", STEP_S)
            except (OSError, websocket.Refused) as error:
                answered.why = error
                return None

        try:
            self._until(f"an answer through '{what}'", answered)
        except Failure as failure:
            raise Failure(f"{failure} ({getattr(answered, 'why', 'no answer')})") from None

    def proxy(self, name, text):
        """Runs a proxy with this configuration in front of a gateway: a page and a session get through."""
        folder = self._folder()
        gateway, gateway_log = self.start(GATEWAY, folder)
        self._until("the gateway to listen", lambda: 6080 in ports(), gateway, gateway_log)
        file = folder / f"{name}.conf"
        file.write_text(whole(name, text, folder) + "\n")
        libraries = ":".join(str(path) for path in self.debian.glob("usr/lib/*-linux-gnu"))
        program = next((p for d in ("usr/sbin", "usr/bin") if (p := self.debian / d / name).exists()), name)
        command = {
            "nginx": f"{program} -p {folder} -c {file} -e stderr",
            "haproxy": f"{program} -db -f {file}",
            "caddy": f"{program} run --config {file} --adapter caddyfile",
        }[name]
        extra = {"LD_LIBRARY_PATH": libraries} if program != name else {}
        process, log = self.start(command, folder, extra)
        self._until(f"{name} to listen", lambda: PROXY_PORT in ports(), process, log)
        prefix = "/console" if "/console" in text else ""
        fetch(f"http://localhost:{PROXY_PORT}{prefix}/vnc.html")
        if "httpchk" in text:
            # The check comes every two seconds; once it has, sessions go on only if it has succeeded.
            self._until("a health check", lambda: '"OPTIONS / HTTP/1.0" 204' in gateway_log.read_text(), gateway, gateway_log)
        self.relays(PROXY_PORT, f"{prefix}/websockify", "ws", name)
        if "code 4" in gateway_log.read_text():
            raise Failure(f"the gateway has refused something: {gateway_log.read_text()}")

    def start(self, line, cwd, extra=None):
        """Starts a long-running command, as the leader of a process group."""
        log = self.scratch / f"log-{self.count}-{len(self.running)}"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                ["sh", "-c", f"exec {line}"],
                cwd=cwd,
                env={**self.environment, **(extra or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.running.append((process, line, log))
        return process, log

    def _until(self, what, check, process=None, log=None, patience=STEP_S):
        deadline = time.monotonic() + patience
        while True:
            found = check()
            if found:
                return found
            if process is not None and process.poll() is not None:
                raise Failure(f"while waiting for {what}: ended with {process.returncode}: {log.read_text()}")
            if time.monotonic() > deadline:
                raise Failure(f"no {what} within {patience} s")
            time.sleep(0.05)

    def _end(self, process, line, log):
        """Ends a gateway as its user would; it must exit cleanly."""
        process.terminate()
        status = process.wait(STEP_S)
        if status not in ENDINGS and -status not in (signal.SIGTERM,):
            raise Failure(f"'{line}' ended with {status}: {log.read_text()}")
        self.running.remove((process, line, log))

    def clear(self):
        """Ends what is left of a block."""
        for process, _, _ in self.running:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        self.running = []
        self._until("the ports to be free", lambda: ports() == self.fixed)


def is_service(words):
    """Whether a line starts a gateway, and so keeps running."""
    is_ours = words[0] in ("websockify", "./run") or words[:2] == ["cargo", "run"]
    return is_ours and "--version" not in words and "--help" not in words


def whole(name, text, folder):
    """A configuration in the form for the program: nginx's is part of a larger file."""
    if name == "nginx":
        return f"daemon off; pid {folder}/pid; events {{}} http {{ access_log off; {paths(folder)} {text} }}"
    if name == "caddy":
        return "{\n\tadmin off\n}\n" + text
    return text


def paths(folder):
    """Where nginx puts the files that it usually keeps below /var."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)


def fetch(address):
    """Opens a page, as a browser that trusts every certificate would."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(address, timeout=STEP_S, context=trusting) as answer:
            if b"<html" not in answer.read(65536).lower():
                raise Failure(f"{address} is no page")
    except OSError as error:
        raise Failure(f"{address}: {error}") from None


def ports():
    """The TCP ports on which a process listens, from the kernel's table."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in pathlib.Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                found.add(int(fields[1].rsplit(":", 1)[1], 16))
    return found
