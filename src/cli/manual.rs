//! The man page, made from the table of options, so that it can't fall behind.
//!
//! `man/websockify.1` is the committed copy; a test holds the two equal and rewrites it on demand. Only tests
//! need the generator, so it is not part of the program.

use super::help;
use super::options::{Group, TABLE, WRAPPING_AVAILABLE};

/// The whole page in the man macros of roff.
fn manual() -> String {
    let mut out =
        format!(".TH WEBSOCKIFY 1 \"\" \"websockify {}\" \"User Commands\"\n", env!("CARGO_PKG_VERSION"));
    out.push_str(INTRODUCTION);
    out.push_str(".SH SYNOPSIS\n");
    for (n, form) in help::FORMS.iter().enumerate() {
        let break_before = if n > 0 { ".br\n" } else { "" };
        out.push_str(&format!("{break_before}.B websockify\n{}\n", escaped(form)));
    }
    let note = if WRAPPING_AVAILABLE { "" } else { " (Not available yet.)" };
    out.push_str(&DESCRIPTION.replace("@WRAPPING@", note));
    out.push_str(".SH OPTIONS\n");
    for group in Group::ALL {
        out.push_str(&format!(".SS {}\n", escaped(group.title())));
        for row in TABLE.iter().filter(|row| row.group == group) {
            let short = row.short.map(|letter| format!("\\fB\\-{letter}\\fR, ")).unwrap_or_default();
            let value =
                row.value_name().map(|name| format!("=\\fI{}\\fR", escaped(name))).unwrap_or_default();
            out.push_str(&format!(".TP\n{short}\\fB\\-\\-{}\\fR{value}\n", escaped(row.name)));
            out.push_str(&format!("{}\n", escaped(&sentence(&help::description(row)))));
        }
    }
    out.push_str(REST);
    out
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

const INTRODUCTION: &str = r".SH NAME
websockify \- gateway between WebSocket clients and TCP or Unix\-socket servers
";

const DESCRIPTION: &str = r".SH DESCRIPTION
.B websockify
listens for WebSocket connections, most often from browsers, and relays the bytes of each to a server that
knows nothing of WebSocket, such as a VNC server.
Options may stand anywhere before
.BR \-\- ,
and a long option may be shortened to any unambiguous beginning.
.SS Arguments
.TP
\fI[source_addr:]source_port\fR
Where to listen: the part behind the last colon is the port, an IPv6 address may stand in brackets.
Without an address it is every IPv4 address of this host, with
.B \-6
every IPv6 and IPv4 address. Port 0 lets the system choose.
There is no such argument with
.B \-\-unix\-listen
and
.BR \-\-inetd .
.TP
\fItarget_addr:target_port\fR
Where to connect, in the same form.
There is no such argument with
.BR \-\-token\-plugin ,
.BR \-\-target\-config ,
.B \-\-unix\-target
and a wrapped program.
.TP
\fIWRAP_COMMAND_LINE\fR
A server to start. When it listens on
.IR source_port ,
it gets a free port instead, to which clients are connected. With
.B \-\-unix\-target
they are connected to that socket.@WRAPPING@
.PP
An option's number may be hexadecimal (0x1e), octal (036) or binary (0b11110). Relative paths start from the
directory that the program was started in, and
.B ~
is a name like any other. An option with an empty value counts as not given.
";

const REST: &str = r".SH EXIT STATUS
.TP
.B 0
The end was asked for: by a signal,
.BR \-\-run\-once ,
.B \-\-timeout
or
.BR \-\-idle\-timeout .
.TP
.B 1
The service could not start, for example because its port was taken.
.TP
.B 2
The command line was wrong.
.PP
With
.B \-\-wrap\-mode=exit
the status is that of the wrapped program.
.SH EXAMPLES
Relay port 6080 to a VNC server on this host:
.PP
.RS
websockify 6080 localhost:5900
.RE
.PP
Listen on this host only and ping each client every 30 seconds:
.PP
.RS
websockify \-\-heartbeat=30 127.0.0.1:6080 localhost:5900
.RE
.PP
From one Unix socket to another:
.PP
.RS
websockify \-\-unix\-listen=web.sock \-\-unix\-listen\-mode=0660 \-\-unix\-target=vnc.sock
.RE
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
        for row in TABLE {
            let name = format!("\\fB\\-\\-{}\\fR", escaped(row.name));
            let entries =
                manual().lines().filter(|line| line.split(['=', ' ']).any(|word| word == name)).count();
            assert_eq!(entries, 1, "{}", row.name);
        }
    }

    #[test]
    fn roff_prints_text_as_it_is() {
        assert_eq!(escaped("a-b\\c"), "a\\-b\\ec");
        assert_eq!(escaped(".x"), "\\&.x");
        assert_eq!(escaped("'x"), "\\&'x");
    }
}
