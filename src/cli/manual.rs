//! The man page, made from the table of options, so that it can't fall behind.
//!
//! `man/websockify.1` is the committed copy; a test holds the two equal and rewrites it on demand. Only tests
//! need the generator, so it is not part of the program.

use super::help;
use super::options::{Group, TABLE};

/// The whole page in the man macros of roff.
fn manual() -> String {
    let mut out =
        format!(".TH WEBSOCKIFY 1 \"\" \"websockify {}\" \"User Commands\"\n", env!("CARGO_PKG_VERSION"));
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
it gets a free loopback port instead, to which clients are connected; those that come before it listens wait for up to 10
seconds. With
.B \-\-unix\-target
they are connected to that socket. Programs that are linked statically, made by Go or set\-user\-id keep their port; for
these, and for programs that listen nowhere, there is
.BR \-\-wrap\-stdin :
then the program is started for each session (at most 256 at a time) and has its data on standard input and output.
.TP
\fB\-\-rebind\fR \fIOLD_PORT NEW_PORT COMMAND\fR
As the first argument: start
.I COMMAND
in this program's place. What it and its children bind to TCP port
.I OLD_PORT
lands on
.I NEW_PORT
of a loopback address instead: IPv4 on 127.0.0.1, IPv6 on the same if it takes IPv4, too, and else on ::1. The command
.B rebind
does the same. It works through
.BR LD_PRELOAD ,
so it does not reach programs that are statically linked, made by Go, set\-user\-id, set\-group\-id or that have file
capabilities; it says so when
.I COMMAND
is one. The exit status is that of the command, 127 if there is no such command, 126 if it can't be executed, and 1 if
there is no place for the library.
.PP
An option's number may be hexadecimal (0x1e), octal (036) or binary (0b11110). Relative paths start from the
directory that the program was started in, and
.B ~
is a name like any other. An option with an empty value counts as not given.
";

const REST: &str = r#".SH SIGNALS
.TP
.BR SIGTERM ", " SIGINT
End: the listener is closed, every client gets a Close frame with code 1001, and connections still open after
3 seconds are cut. The process group of a wrapped program gets SIGTERM and, if something is left of it after 4 seconds,
SIGKILL; with
.B \-\-wrap\-mode=ignore
it lives on. A second signal ends at once.
.TP
.B SIGHUP
With
.B \-\-log\-file
the log is reopened, as for SIGUSR1. Without it the signal ends the program as SIGTERM does, or is ignored if it was
ignored when the program was started, as by
.BR nohup (1).
.TP
.B SIGUSR1
Reopen the log, after a rotation has moved it away, and the connection to syslog. If the file can't be opened, the old
one stays in use, the other outputs of the log say why, and the next signal tries again.
.TP
.B SIGCHLD
A wrapped program may have ended. Children that other programs have left to this one are reaped, so that it can be process 1 of a container.
.PP
SIGUSR2 is ignored, and so are SIGXFSZ, SIGPIPE, SIGIO and SIGTTOU: a full file or a closed pipe costs log lines and
never a session.
.SH EXIT STATUS
.TP
.B 0
The end was asked for: by a signal,
.BR \-\-run\-once ,
.B \-\-timeout
or
.BR \-\-idle\-timeout ;
or the client that was standard input has been served. With
.BR \-\-daemon :
the service is ready.
.TP
.B 1
The service could not start, for example because its port was taken; with
.BR \-\-daemon ,
too, and the reason is on standard error.
.TP
.B 2
The command line was wrong.
.PP
With a wrapped program and
.B \-\-wrap\-mode=exit
the status is that of the program: its exit code, or 128 and the number of the signal that has killed it, also when that
was our own TERM at the end (143).
.TP
.BR 126 ", " 127
The wrapped program can't be executed, or is not there.
.SH FILES
.TP
.I self.pem
The certificate without
.BR \-\-cert ,
in the directory that the program was started in.
.TP
.I /dev/log
The usual value of
.BR \-\-syslog .
.TP
.I ../lib/websockify/rebind.so
Seen from the directory of the program: the library that moves programs to another port. If it is not there, or is that
of another version, a file
.RI websockify\-rebind\- UID \- HASH .so
is made in
.IR /var/tmp ,
.IR /tmp ,
.I /dev/shm
or
.BR TMPDIR ,
the first that is not mounted noexec, and stays there for programs that live longer.
.PP
With
.B \-\-daemon
the working directory is the web root, or / without one, and standard input, output and error are /dev/null; the umask
stays as it is. Relative paths start from the directory that the program was started in all the same.
.SH ENVIRONMENT
.TP
.BR LISTEN_FDS ", " LISTEN_PID ", " LISTEN_FDNAMES
Sockets from a service manager, as
.BR sd_listen_fds (3)
has them, at most 16. Each listening TCP or Unix stream socket is served; a connected one is a client, and if there are
no others the program ends with it. The source address may be left out then, or be
.BR \-\-inetd ;
if it is given, only its port is compared, and a difference is a warning. The names
.I admin
and
.I health
are refused. With
.B \-\-idle\-timeout
the program exits when it is not needed, and the manager starts it again for the next client.
.TP
.B NOTIFY_SOCKET
The service manager is told when every worker serves (READY=1), also by the service in the background (MAINPID=), and
when the end begins (STOPPING=1).
.TP
.BR WATCHDOG_USEC ", " WATCHDOG_PID
At half of this time, and only while every worker answers, the service manager is told that the service is alive
(WATCHDOG=1).
.TP
.BR REBIND_OLD_PORT ", " REBIND_NEW_PORT
Set for a wrapped program: the port that it asks for, and the loopback port that it gets.
.B LD_PRELOAD
has the library that moves it before what it had.
.TP
.BR SSL_CERT_FILE ", " SSL_CERT_DIR
Certificate authorities in place of the system's.
.TP
.B TZ
The time zone of log lines.
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
In the background, for scripts that need its process number:
.PP
.RS
websockify \-D \-\-pid\-file=/run/websockify.pid \-\-log\-file=/var/log/websockify.log 6080 localhost:5900
.RE
.PP
With the listening socket of a service manager as standard input:
.PP
.RS
websockify \-\-inetd \-\-unix\-target=/run/x/vnc.sock
.RE
.PP
From one Unix socket to another:
.PP
.RS
websockify \-\-unix\-listen=web.sock \-\-unix\-listen\-mode=0660 \-\-unix\-target=vnc.sock
.RE
"#;

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
                manual().lines().filter(|line| line.split(['=', ' ', '[']).any(|word| word == name)).count();
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
