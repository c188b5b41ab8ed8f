"""A page of the documentation: its blocks of code, and what can be checked without running anything."""

import re
import unicodedata

MARKER = re.compile(r"<!-- (not run|run by|run with|commands not run): *(.*?) *-->|<!-- (run by) (.*?) -->")
LANGUAGES = {"sh", "js", "html", "json", "ini", "yaml", "text", "nginx", "haproxy", "caddy"}

COMMANDS = (
    "websockify ./run cargo .ci/ benches/ tests/ packaging/ bash openssl curl printf python3 git npm nice sudo apt apt-get "
    "dnf pip tar podman skopeo systemctl kill ss gdb jq chrt"
).split()
"""The beginnings of lines or spans of code that are commands."""

FOREIGN_OPTIONS = {"--no-default-features", "--bench", "--sample", "--only"}
"""Options of other programs that the pages mention on their own."""


class Block:
    """A fenced block of code, with the comment that stands before it."""

    def __init__(self, page, line, language, text, marker):
        self.page, self.line, self.language, self.text, self.marker = page, line, language, text, marker

    def __str__(self):
        return f"{self.page.name}:{self.line}"

    def is_run_here(self):
        """Whether these tests run it: unmarked blocks, and those whose comment names these tests."""
        if self.marker is None:
            return True
        kind, words = self.marker
        return kind == "run with" or "tests/docs/run.py" in words and kind == "run by"


class Page:
    """A Markdown file of the tree."""

    def __init__(self, root, file):
        self.root, self.file = root, file
        self.name = str(file.relative_to(root))
        self.text = file.read_text()
        self.blocks, self.prose = self._split()

    def _split(self):
        blocks, prose, fence, marker = [], [], None, None
        for number, line in enumerate(self.text.split("\n"), 1):
            if fence is not None:
                if line == "```":
                    blocks.append(Block(self, *fence, "\n".join(body), marker))
                    fence = marker = None
                else:
                    body.append(line)
            elif line.startswith("```"):
                fence, body = (number, line[3:].strip()), []
            else:
                found = MARKER.fullmatch(line)
                if found:
                    marker = (found[1] or found[3], found[2] or found[4])
                elif line.strip():
                    marker = None
                prose.append((number, line))
        return blocks, prose

    def faults(self, help_text):
        """What is wrong with the page, as lines; `help_text` is the program's."""
        found = [*self._blocks(), *self._indented(), *self._links(), *self._spans(help_text)]
        if self.name == "docs/errors.md":
            found += self._log_lines()
        return [f"{self.name}{fault}" for fault in found]

    def _blocks(self):
        for block in self.blocks:
            if block.language not in LANGUAGES:
                yield f":{block.line}: a block without a known language: '{block.language}'"
            if block.marker is None:
                continue
            kind, words = block.marker
            if not words:
                yield f":{block.line}: the comment gives no reason"
            if kind == "run by":
                for path in re.findall(r"[\w./-]+/[\w./-]+", words):
                    if not (self.root / path).exists():
                        yield f":{block.line}: there is no {path}"

    def _indented(self):
        """Commands in indented blocks, which these tests would not find."""
        for number, line in self.prose:
            if line.startswith("    ") and line.strip().startswith(tuple(f"{c} " for c in COMMANDS)):
                yield f":{number}: a command outside of a fenced block"

    def _links(self):
        for number, line in self.prose:
            for target in re.findall(r"\]\(([^)\s]+)\)", line):
                if "://" in target:
                    continue
                path, _, anchor = target.partition("#")
                file = (self.file.parent / path).resolve() if path else self.file
                if not file.exists():
                    yield f":{number}: {target} is not there"
                elif anchor and anchor not in anchors(file.read_text()):
                    yield f":{number}: {target} leads to no heading"

    def _spans(self, help_text):
        """Options that are named exist; commands in the middle of a sentence name what exists, and the page says why
        they are not run."""
        options = set(re.findall(r"--[a-z0-9][\w-]*", help_text)) | FOREIGN_OPTIONS
        says_why = any(line.startswith("<!-- commands not run: ") for _, line in self.prose)
        text = "\n".join(line for _, line in self.prose)
        for span in re.findall(r"`([^`]+)`", text):
            span = " ".join(span.split())
            words = span.split()
            if words[0].startswith("--") and words[0] != "--":
                name = re.match(r"--[\w-]*", words[0])[0]
                if name not in options:
                    yield f": there is no option {name}"
            is_command = len(words) > 1 and any(
                words[0] == start or start.endswith("/") and words[0].startswith(start) for start in COMMANDS
            )
            if not is_command:
                continue
            if words[0] in ("websockify", "./run"):
                ours = span.split(" -- ")[0].split(" COMMAND")[0]
                for name in re.findall(r"(?<!\S)--[a-z][\w-]*", ours):
                    if name not in options:
                        yield f": there is no option {name}: {span}"
            if not says_why:
                yield f": `{span}` is not run, and no comment says why"
            for bench in re.findall(r"--bench (\w+)", span):
                if not (self.root / f"benches/{bench}.rs").exists():
                    yield f": there is no bench {bench}: {span}"
            for name in re.findall(r"\.ci/long ([a-z-]+)", span):
                if not (self.root / f".ci/long.d/{name}").exists():
                    yield f": there is no .ci/long.d/{name}: {span}"
            if "/" in words[0] and words[0] != "./run" and not (self.root / words[0]).exists():
                yield f": there is no {words[0]}: {span}"

    def _log_lines(self):
        """Log lines that the table quotes must exist in the program."""
        code = " ".join(
            re.sub(r"\\\s*\n\s*", "", file.read_text()) for file in sorted((self.root / "src").rglob("*.rs"))
        ).replace('\\"', '"')
        column = None
        for _, line in self.prose:
            cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
            if not cells:
                column = None
            elif column is None:
                heads = ("what the gateway logs", "message")
                column = next((at for at, cell in enumerate(cells) if cell in heads), len(cells))
            elif column < len(cells):
                for quoted in re.findall(r"`([^`]+)`", cells[column]):
                    if not said(quoted, code):
                        yield f": the program never says '{quoted}'"


def said(quoted, code):
    """Whether a format string can produce the text: numbers stand for what is filled in."""
    pattern = re.escape(quoted)
    for number in set(re.findall(r"\d{3}", quoted)):
        pattern = pattern.replace(number, r"(?:\{\w*\}|" + number + ")")
    pattern = pattern.replace("client", r"(?:client|\{\w*\})")
    return re.search(pattern, code) is not None


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        letters = (c for c in heading.lower() if c in " -_" or unicodedata.category(c)[0] in "LN")
        found.add("".join(letters).replace(" ", "-"))
    return found
