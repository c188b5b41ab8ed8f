#!/usr/bin/env python3
"""What README and docs/ tell people to do, tried: their commands, proxies, addresses, links, options and log lines.

    python3 tests/docs/run.py              everything
    python3 tests/docs/run.py README.md    one file or some

Each fenced block of shell is run in an empty directory beside the files of the tree: a line that starts a gateway must
listen and relay, other lines must succeed, the output of the line before `# prints` must contain what follows it,
and the addresses after `# open` must exist. A block that is not run has a
comment before it that says why, or which test runs it. Configurations of nginx, HAProxy and Caddy are run by the real
programs, with a page and a session through them. All of it happens in namespaces of its own, since ports are fixed.

WEBSOCKIFY_BIN names another program to try instead of the release build, also where a line says `cargo run`. `.ci/prepare` fetches the proxies.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import page
import stage

ROOT = pathlib.Path(__file__).resolve().parents[2]

README_LINES = 220
"""The most lines that README may have."""


def main(names):
    if "WEBSOCKIFY_DOCS_ALONE" not in os.environ:
        return alone(names)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    files = [ROOT / name for name in names or ("README.md", "CONTRIBUTING.md")]
    if not names:
        files += sorted((ROOT / "docs").glob("*.md"))
    faults = []
    with tempfile.TemporaryDirectory() as scratch:
        place = stage.Stage(ROOT, pathlib.Path(scratch))
        help_text = place.help()
        for file in files:
            text = page.Page(ROOT, file)
            faults += text.faults(help_text)
            for block in text.blocks:
                faults += run(place, block)
    lines = (ROOT / "README.md").read_text().count("\n")
    if lines > README_LINES:
        faults.append(f"README.md has {lines} lines; it may have {README_LINES}")
    for fault in faults:
        print(f"FAILED {fault}")
    return 1 if faults else 0


def run(place, block):
    """Runs a block according to its language and its marker; returns the faults found."""
    if not block.is_run_here():
        return []
    try:
        if block.language == "sh":
            place.shell(block.text)
        elif block.language in stage.PROXIES:
            place.proxy(block.language, block.text)
        else:
            return []
        print(f"ok {block}", flush=True)
        return []
    except (stage.Failure, OSError, subprocess.SubprocessError) as failure:
        return [f"{block}: {failure}"]
    finally:
        place.clear()


def alone(names):
    """Runs this program again in namespaces of its own, with a loopback that nobody else uses."""
    command = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.getuid() != 0:
        command.append("--map-root-user")
    if shutil.which(command[0]) is None:
        print("FAILED: unshare (util-linux) is missing")
        return 1
    environment = {**os.environ, "WEBSOCKIFY_DOCS_ALONE": "1"}
    with subprocess.Popen([*command, sys.executable, __file__, *names], env=environment) as process:
        # unshare blocks TERM; when it is killed, everything in the namespaces ends.
        signal.signal(signal.SIGTERM, lambda *_: process.kill())
        return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
