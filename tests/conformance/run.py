#!/usr/bin/env python3
"""Runs Autobahn's WebSocket cases against a gateway in front of a TCP service that echoes.

The cases are those of PyPI's kosoku (pinned in requirements.txt). They were written for servers that echo
messages. A gateway to a byte stream keeps no message boundaries, and this one refuses text messages, so
each case is run through an adapter that changes as little as possible:

- Text is sent as binary, and what comes back for it is handed to the case as text.
- What comes back is collected and handed to the case message by message, as long as the messages were:
  how the gateway cuts the stream into frames is its own affair. Every byte is compared with what was sent.
- An empty message has no byte that could come back. The adapter sends a ping behind it and takes the
  pong as the proof that the message has passed.
- Cases about text that is not UTF-8 are run with real text, and the gateway has to fail the connection
  with 1003, because it refuses text before it looks at it.
- Cases about compression are not run: the gateway declines every offer by silence. One of them is tried,
  to see that it does.

Cases whose outcome the RFC leaves open count as informational, as Autobahn has it.

The exit status is 0 if no case failed, 1 if one did, and 2 if the run itself could not be made.
"""

import argparse
import asyncio
import pathlib
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import time

try:
    import kosoku
    import kosoku.cases
except ImportError:
    sys.exit("kosoku is not installed: pip install -r tests/conformance/requirements.txt")

import adapter
import echo

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Compression offers: see above.
COMPRESSION = ["12.*", "13.*"]
PASSED = ("OK", "NON-STRICT", "INFORMATIONAL")


def main():
    options = parse_options()
    service = echo.start()
    with tempfile.TemporaryFile("w+") as log:
        port, gateway = start_gateway(options.gateway, service, log, certificate() if options.tls else [])
        try:
            results = run(f"ws://127.0.0.1:{tls_to(port) if options.tls else port}/", options.case)
            alive = gateway.poll() is None
        finally:
            gateway.terminate()
            try:
                gateway.wait(10)
            except subprocess.TimeoutExpired:
                gateway.kill()
        failed = report(results, options.verbose)
        if not alive:
            log.seek(0)
            print("the gateway ended during the run; its last lines:", *log.readlines()[-20:], sep="\n  ")
    sys.exit(0 if alive and not failed and results else 1)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--gateway",
        default=str(ROOT / "target/release/websockify"),
        help="the program to test; started as PROGRAM 127.0.0.1:PORT 127.0.0.1:PORT (default: %(default)s)",
    )
    parser.add_argument("--case", action="append", help="a case or a pattern such as 9.*; may be repeated")
    parser.add_argument("--tls", action="store_true", help="run the cases over wss")
    parser.add_argument("--verbose", action="store_true", help="print passed cases, too")
    options = parser.parse_args()
    if not pathlib.Path(options.gateway).exists():
        print(f"{options.gateway} is not there: cargo build --release", file=sys.stderr)
        sys.exit(2)
    return options


def certificate():
    """The gateway's options for a certificate made for this run."""
    folder = pathlib.Path(tempfile.mkdtemp())
    names = [str(folder / "cert.pem"), str(folder / "key.pem")]
    making = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    making += ["-days", "2", "-subj", "/CN=127.0.0.1", "-out", names[0], "-keyout", names[1]]
    subprocess.run(making, check=True, stderr=subprocess.DEVNULL)
    return ["--ssl-only", "--cert", names[0], "--key", names[1]]


def tls_to(port):
    """The cases' client has no TLS: connections to the port returned here are forwarded over TLS to `port`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    near = echo.free_port()

    async def pump(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def forward(reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        except OSError:
            return writer.close()
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    async def serve():
        server = await asyncio.start_server(forward, "127.0.0.1", near)
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    wait_for_port(near)
    return near


def start_gateway(program, service, log, options):
    """Starts the gateway on a free port and waits until it says that it listens."""
    port = echo.free_port()
    command = [program, f"127.0.0.1:{port}", f"127.0.0.1:{service}", *options]
    gateway = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in gateway.stdout:
        log.write(line)
        if re.search(r"proxying from ", line):
            # Nothing else reads the pipe; that must not stop a gateway, but this test is not about it.
            threading.Thread(target=lambda: log.writelines(gateway.stdout), daemon=True).start()
            wait_for_port(port)
            return port, gateway
    print(f"{program} did not start", file=sys.stderr)
    sys.exit(2)


def wait_for_port(port):
    deadline = time.monotonic() + 10
    while not echo.is_listening(port):
        if time.monotonic() > deadline:
            print(f"nobody listens on port {port}", file=sys.stderr)
            sys.exit(2)
        time.sleep(0.05)


def run(url, patterns):
    adapter.adapt(kosoku.cases.CASES)
    if patterns:
        return client(url, patterns, [])
    print(f"not run: {' and '.join(COMPRESSION)} but one, since the gateway declines compression")
    return client(url, None, COMPRESSION) + client(url, ["12.1.1"], [])


def client(url, cases, exclude):
    try:
        return asyncio.run(kosoku.run_fuzzingclient(url, cases, exclude, concurrency=4))
    except kosoku.FailureError as failure:
        return failure.results


def has_passed(result):
    if result.case_id.startswith("12."):
        # The case notes that its offer was not accepted, and goes no further.
        return result.behavior.value == "UNIMPLEMENTED"
    return result.behavior.value in PASSED and result.behavior_close.value in ("OK", "INFORMATIONAL")


def report(results, verbose):
    groups = {}
    failed = []
    for result in results:
        group = groups.setdefault(result.case_id.split(".")[0], {"passed": 0, "info": 0, "failed": 0, "ms": 0})
        group["ms"] += result.duration
        passed = has_passed(result)
        informational = passed and result.behavior.value not in ("OK", "UNIMPLEMENTED")
        group["passed" if passed and not informational else "info" if passed else "failed"] += 1
        if not passed:
            failed.append(result)
        if verbose or not passed or informational:
            print_case(result, "passed" if passed else "FAILED")
    print(f"{'group':38} {'passed':>6} {'inform.':>7} {'failed':>6} {'ms':>8}")
    for number, group in sorted(groups.items(), key=lambda item: int(item[0])):
        name = f"{number} {adapter.GROUPS.get(number, '')}"
        print(f"{name:38} {group['passed']:6} {group['info']:7} {group['failed']:6} {group['ms']:8}")
    total = {key: sum(group[key] for group in groups.values()) for key in ("passed", "info", "failed")}
    print(f"conformance: {total['passed']} passed, {total['info']} informational, {total['failed']} failed")
    return failed


def print_case(result, word):
    print(f"{word} {result.case_id}: {result.behavior.value}, close {result.behavior_close.value}")
    print(f"    {' '.join(result.description.split())[:100]}")
    print(f"    {result.result} {result.result_close} (code {result.remote_close_code})")
    why = adapter.INFORMATIONAL.get(result.case_id)
    if why:
        print(f"    informational: {why}")


if __name__ == "__main__":
    main()
