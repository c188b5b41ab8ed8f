"""Prints the licenses of the libraries that the program is linked with: each text once, behind the names of those that
come under it. Run in the top directory of the tree."""

import json
import pathlib
import subprocess
import sys

NAMES = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")
RULE = "-" * 80


def cargo(*words):
    command = ["cargo", words[0], "--locked", *words[1:]]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def linked():
    """The packages that end up in the program: what it needs, and neither for its build nor for its tests."""
    needs = "normal,no-proc-macro"
    tree = cargo("tree", "-p", "websockify", f"--edges={needs}", "--prefix=none", "--format={p}")
    names = {tuple(line.split()[:2]) for line in tree.splitlines()}
    packages = json.loads(cargo("metadata", "--format-version=1"))["packages"]
    found = [p for p in packages if (p["name"], f"v{p['version']}") in names and p["name"] != "websockify"]
    return sorted(found, key=lambda package: (package["name"], package["version"]))


def texts(package):
    """The license files of a package, and of C code that it brings along."""
    directory = pathlib.Path(package["manifest_path"]).parent
    files = [file for file in directory.iterdir() if file.name.upper().startswith(NAMES)]
    files += directory.glob("*/LICENSE*")
    return [file.read_text(encoding="utf-8", errors="replace").strip() for file in sorted(files) if file.is_file()]


def main():
    packages = linked()
    by_text = {}
    print("websockify is linked with these libraries:\n")
    for package in packages:
        print(f"  {package['name']} {package['version']}: {package['license']}")
        found = texts(package)
        if not found:
            sys.exit(f"licenses.py: {package['name']} brings no license text")
        for text in found:
            by_text.setdefault(" ".join(text.split()), (text, []))[1].append(package["name"])
    print("  the standard library of Rust: MIT OR Apache-2.0")
    for text, names in by_text.values():
        print(f"\n{RULE}\n{', '.join(dict.fromkeys(names))}\n{RULE}\n\n{text}")


main()
