//! The man page, made from the table of options, so that it can't fall behind.
//!
//! `man/websockify.1` is the committed copy; a test holds the two equal and rewrites it on demand. Only tests
//! need the generator, so it is not part of the program.

mod completions;
mod text;

use super::help;
use super::options::{Group, TABLE};

/// The whole page in the man macros of roff.
fn manual() -> String {
    let mut out = format!(
        ".TH WEBSOCKIFY 1 \"{DATE}\" \"websockify {}\" \"User Commands\"\n",
        env!("CARGO_PKG_VERSION")
    );
    out.push_str(INTRODUCTION);
    out.push_str(".SH SYNOPSIS\n");
    for (n, form) in help::FORMS.iter().chain([&help::REBIND_FORM]).enumerate() {
        let break_before = if n > 0 { ".br\n" } else { "" };
        out.push_str(&format!("{break_before}.B websockify\n{}\n", escaped(form)));
    }
    out.push_str(DESCRIPTION);
    out.push_str(".SH OPTIONS\n");
    for group in Group::ALL {
        out.push_str(&format!(".SS {}\n", escaped(group.title())));
        for row in TABLE.iter().filter(|row| row.group == group) {
            let short = row.short.map(|letter| format!("\\fB\\-{letter}\\fR, ")).unwrap_or_default();
            let (before, behind) = row.value_signs();
            let name = row.value_name().map(|name| format!("\\fI{}\\fR", escaped(name))).unwrap_or_default();
            let value = format!("{before}{name}{behind}");
            out.push_str(&format!(".TP\n{short}\\fB\\-\\-{}\\fR{value}\n", escaped(row.name)));
            out.push_str(&format!("{}\n", escaped(&sentence(&help::description(row)))));
        }
    }
    out.push_str(text::BEFORE_LIMITS);
    out.push_str(".SH LIMITS\n");
    for heading in ["## Times", "## Sizes and numbers"] {
        for (name, value) in rows(section(LIMITS, heading)) {
            out.push_str(&format!(".TP\n{}\n{}\n", marked_up(name), marked_up(value)));
        }
    }
    out.push_str(".SH DIFFERENCES\nFrom the Python program of this name (\\(lqthere\\(rq); all of them are intentional.\n");
    for item in section(MIGRATING, "## All differences").split("\n- ").skip(1) {
        out.push_str(&format!(".IP \\(bu 2\n{}\n", marked_up(item)));
    }
    out.push_str(text::BEHIND_DIFFERENCES);
    out
}

/// The pages of the documentation that the man page repeats.
const LIMITS: &str = include_str!("../../docs/limits.md");
const MIGRATING: &str = include_str!("../../docs/migrating.md");

/// What a page says under a heading, up to the next one.
fn section(page: &'static str, heading: &str) -> &'static str {
    let (_, rest) = page.split_once(&format!("\n{heading}\n")).expect("the page has it");
    rest.split("\n#").next().unwrap_or(rest)
}

/// The rows of a table of two columns, without its head.
fn rows(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .filter_map(|line| line.trim_matches('|').trim().split_once(" | "))
}

/// Text in Markdown: code is bold, links are their text, and lines don't matter.
fn marked_up(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut plain = String::new();
    let mut rest = &words[..];
    while let Some((before, link)) = rest.split_once('[') {
        plain.push_str(before);
        match link.split_once("](").and_then(|(name, behind)| Some((name, behind.split_once(')')?.1))) {
            Some((name, behind)) if !name.contains('[') => {
                plain.push_str(name);
                rest = behind;
            }
            _ => {
                plain.push('[');
                rest = link;
            }
        }
    }
    plain.push_str(rest);
    let pieces = plain.split('`').enumerate().map(|(number, piece)| match number % 2 {
        0 => escaped(piece),
        _ => format!("\\fB{}\\fR", escaped(piece).trim_start_matches("\\&")),
    });
    let line: String = pieces.collect();
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

/// A description as a sentence.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

/// Text that roff prints as it is: dashes stay dashes, and a line does not become a request.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// When the page was last gone through.
const DATE: &str = "2026-11-25";

const INTRODUCTION: &str = r".SH NAME
websockify \- gateway between WebSocket clients and TCP or Unix\-socket servers
";

const DESCRIPTION: &str = r".SH DESCRIPTION
.B websockify
listens for WebSocket connections, usually from browsers, and relays the bytes of each to a server that
does not speak WebSocket, such as a VNC server.
Options may appear anywhere before
.BR \-\- ,
and a long option may be shortened to any unambiguous prefix.
.SS Arguments
.TP
\fI[source_addr:]source_port\fR
Where to listen: the part after the last colon is the port; an IPv6 address may be in brackets.
Without an address it is every IPv4 address of this host, with
.B \-6
every IPv6 and IPv4 address. Port 0 lets the system choose.
Omit this argument with
.B \-\-unix\-listen
and
.BR \-\-inetd .
.TP
\fItarget_addr:target_port\fR
Where to connect, in the same form.
Omit this argument with
.BR \-\-token\-plugin ,
.BR \-\-target\-config ,
.B \-\-unix\-target
or a wrapped program.
.TP
\fIWRAP_COMMAND_LINE\fR
A server to start. When it binds
.IR source_port ,
it gets a free loopback port instead, to which clients are connected; clients that come before it listens wait for up to 10
seconds. With
.B \-\-unix\-target
they are connected to that socket. Programs that are statically linked, written in Go or set\-user\-id keep their port; for
these, and for programs that do not listen, use
.BR \-\-wrap\-stdin :
the program is started for each session (at most 256 at a time), with the session's data on standard input and output.
.TP
\fB\-\-rebind\fR \fIOLD_PORT NEW_PORT COMMAND\fR
As the first argument: start
.I COMMAND
in this program's place. When it or its children bind TCP port
.I OLD_PORT
they get
.I NEW_PORT
of a loopback address instead: IPv4 on 127.0.0.1; IPv6 there too if the socket accepts IPv4, otherwise on ::1. The command
.B rebind
does the same. It works through
.BR LD_PRELOAD ,
so it does not reach programs that are statically linked, written in Go, set\-user\-id, set\-group\-id or that have file
capabilities; it says so when
.I COMMAND
is one of these. The exit status is that of the command, 127 if the command does not exist, 126 if it can't be executed, and 1 if
the library can't be written anywhere.
.PP
Numbers may be decimal, hexadecimal (0x1e), octal (036) or binary (0b11110). Relative paths start from the
directory that the program was started in, and
.B ~
is not expanded. An option with an empty value is treated as not given.
";

mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_committed_page_is_the_generated_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/websockify.1");
        if std::env::var_os("UPDATE_MAN").is_some() {
            std::fs::write(&path, manual()).expect("man/websockify.1 can be written");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == manual(),
            "man/websockify.1 is out of date: run `UPDATE_MAN=1 cargo test --lib cli::manual` and commit it"
        );
    }

    #[test]
    fn every_option_has_one_entry() {
        let page = manual();
        let (_, options) = page.split_once(".SH OPTIONS\n").expect("it has options");
        let (options, _) = options.split_once(".SH SIGNALS\n").expect("signals are behind them");
        for row in TABLE {
            let name = format!("\\fB\\-\\-{}\\fR", escaped(row.name));
            let entries = options.lines().filter(|line| line.split(['=', ' ', '[']).any(|word| word == name));
            assert_eq!(entries.count(), 1, "{}", row.name);
        }
    }

    #[test]
    fn text_in_markdown_is_marked_up() {
        assert_eq!(marked_up("`-v` [says](x.md)\n  so [a:]b"), "\\fB\\-v\\fR says so [a:]b");
        assert_eq!(rows(section(LIMITS, "## Times")).next(), Some(("first byte of a connection", "10 s")));
        assert!(rows(section(LIMITS, "## Sizes and numbers")).count() > 10);
        assert!(section(MIGRATING, "## All differences").matches("\n- ").count() > 10);
    }

    #[test]
    fn roff_prints_text_as_it_is() {
        assert_eq!(escaped("a-b\\c"), "a\\-b\\ec");
        assert_eq!(escaped(".x"), "\\&.x");
        assert_eq!(escaped("'x"), "\\&'x");
    }
}
