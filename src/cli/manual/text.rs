//! The sections of the man page that are not made from anything, in the macros of roff.

pub(super) const BEFORE_LIMITS: &str = r#".SH ADMIN
.B \-\-admin
opens a listener for operators and their tools. It has threads of its own, so it answers when nothing else does. It speaks
plain HTTP, one request a connection, and never TLS: use a Unix socket, an address of this machine,
.I "ssh \-L 9000:/run/websockify/admin.sock HOST"
or a proxy in front.
.SS Paths
.TP
.BR /livez ", " /healthz
200 while the main thread and each worker answer within a second, else 503 and a line for each that does not. For
whoever restarts the service; nothing else counts, since a restart mends no token service.
.TP
.B /readyz
200 while new clients are welcome, else 503 and a line for each check that fails:
.I live
as above;
.IR listening ;
.IR not\-withdrawn ,
as the operator says;
.IR not\-draining ;
.IR not\-full ,
which fails when all places of
.B \-\-max\-connections
are taken, and until a twentieth of them is free;
.IR certificate ,
with
.BR \-\-ssl\-only .
.B ?verbose
lists all of them. Targets and token services are no part of it.
.TP
.B /metrics
Counters and gauges for Prometheus, in its text format 0.0.4. No label has a value that a client, a token or a target
decides, so their number depends on the command line alone. docs/monitoring.md and examples/ have a first
configuration, alerts and a dashboard.
.TP
.B /api/v1/status
An object with what the service is doing.
.TP
.B /api/v1/sessions
GET lists sessions in pages:
.I limit
of them (100, at most 1000), and
.I next
of a page goes behind
.I after=
for the next one. With
.IR sort= bytes,
.I age
or
.I idle
the first ones of all come. Filters:
.I address
(an address or a network),
.IR target ,
.I token
(the first 16 digits of the SHA\-256 of the token:
.IR "printf %s TOKEN | sha256sum" ),
.I idle_over
(seconds) and
.IR stalled=1 .
DELETE with a filter for token, address or target, or with
.IR all=true ,
ends all that match.
.TP
.BI /api/v1/sessions/ ID
GET has one session; DELETE ends it. Its client gets a Close with
.I code
(1008 without one) and the words for
.IR reason :
.IR ended ,
.I revoked
or
.IR maintenance .
.TP
.B /api/v1/readiness
PUT
.I {"ready": false}
makes the service not ready, and
.I true
takes that back. Sessions and new clients are served all the same.
.SS Who may
A Unix socket is for whom its mode lets in
.RB ( \-\-admin\-mode ).
An address of this machine is for every user of it, unless there is
.BR \-\-admin\-token\-file ;
an address that others reach needs that file. Its lines are
.I full TOKEN
and
.IR "read TOKEN" ;
lines that begin with # say nothing. Each request then needs
.IR "Authorization: Bearer TOKEN" ,
but for the paths of health. A token for reading changes nothing. The file counts as it is at each request; while it can't
be used nobody is let in.
.PP
A change needs the header
.IR "Websockify\-Admin: 1" ,
which no page of another site can make a browser send. Where no token is asked for, Host must be an address or localhost;
Origin, if there is one, must be the same host. Changes are logged with who made them.
.PP
.RS
.nf
curl \-\-unix\-socket /run/websockify/admin.sock http://admin/readyz?verbose
curl \-X PUT \-H 'Websockify\-Admin: 1' \-d '{"ready": false}' http://127.0.0.1:9000/api/v1/readiness
.fi
.RE
.SS The public port
.B \-\-health\-path
names a path there that says the same as
.BR /readyz ,
but for
.IR live ,
to anybody, without a line in the log. OPTIONS is 204 while the service is ready and 503 else.
.SH SIGNALS
.TP
.BR SIGTERM ", " SIGINT
Shut down: the listener is closed, every client gets a Close frame with code 1001, and connections still open after
3 seconds are cut. The process group of a wrapped program gets SIGTERM and, if any of it is left after 4 seconds,
SIGKILL; with
.B \-\-wrap\-mode=ignore
it is left running. A second signal exits immediately.
.TP
.B SIGHUP
With
.B \-\-log\-file
the log is reopened, as for SIGUSR1. Without it the signal shuts the program down like SIGTERM, or is ignored if it was
ignored when the program was started, as with
.BR nohup (1).
.TP
.B SIGUSR1
Reopen the log file, after a rotation has moved it away, and the connection to syslog. If the file can't be opened, the old
one stays in use, the other log outputs say why, and the next signal tries again.
.TP
.B SIGCHLD
A wrapped program may have exited. Orphaned children are reaped, so that the program can be process 1 of a container.
.PP
SIGUSR2 is ignored, and so are SIGXFSZ, SIGPIPE, SIGIO and SIGTTOU: a full file or a closed pipe loses log lines, never
a session.
.SH EXIT STATUS
.TP
.B 0
A normal exit: after a signal,
.BR \-\-run\-once ,
.B \-\-timeout
or
.BR \-\-idle\-timeout ;
or after serving the client on standard input. With
.BR \-\-daemon :
the service is ready.
.TP
.B 1
The service could not start, for example because its port was taken. With
.B \-\-daemon
the reason is on standard error, too.
.TP
.B 2
The command line was wrong.
.PP
With a wrapped program and
.B \-\-wrap\-mode=exit
the status is that of the program: its exit code, or 128 plus the number of the signal that killed it, even if that was
our own TERM at shutdown (143).
.TP
.BR 126 ", " 127
The wrapped program can't be executed (126) or does not exist (127).
.SH FILES
.TP
.I self.pem
The default of
.BR \-\-cert ,
in the directory that the program was started in.
.TP
.I /dev/log
The usual value of
.BR \-\-syslog .
.TP
.I ../lib/websockify/rebind.so
The library that moves programs to another port, relative to the directory of the program. If it does not exist, or belongs
to another version, a file
.RI websockify\-rebind\- UID \- HASH .so
is created in
.IR /var/tmp ,
.IR /tmp ,
.I /dev/shm
or
.BR TMPDIR ,
the first that is not mounted noexec. It is kept, because wrapped programs may outlive this one.
.PP
With
.B \-\-daemon
the working directory is the web root, or / without one, and standard input, output and error are /dev/null; the umask
is kept. Relative paths still start from the directory that the program was started in.
.SH ENVIRONMENT
.TP
.BR LISTEN_FDS ", " LISTEN_PID ", " LISTEN_FDNAMES
Sockets from a service manager, as
.BR sd_listen_fds (3)
describes them, at most 16. Each listening TCP or Unix stream socket is served; a connected one is a client, and if there
is no other socket the program exits after it. The source address may then be omitted, or be
.BR \-\-inetd ;
if it is given, only its port is compared, and a difference causes a warning. A socket named
.I admin
is the admin listener, in the place of
.BR \-\-admin ;
one named
.I health
answers only the paths of health, and needs no token. With
.B \-\-idle\-timeout
the program exits when it is idle, and the manager starts it again for the next client.
.TP
.B NOTIFY_SOCKET
The service manager is notified when every worker serves (READY=1), with
.B \-\-daemon
including the new process (MAINPID=), and when shutdown begins (STOPPING=1).
.TP
.BR WATCHDOG_USEC ", " WATCHDOG_PID
Twice in this interval, and only while every worker responds, the service manager is notified that the service is alive
(WATCHDOG=1).
.TP
.BR REBIND_OLD_PORT ", " REBIND_NEW_PORT
Set for a wrapped program: the port that it asks for, and the loopback port that it gets. The library that moves it is
prepended to
.BR LD_PRELOAD .
.TP
.BR SSL_CERT_FILE ", " SSL_CERT_DIR
Certificate authorities in place of the system's.
.TP
.B TZ
The time zone of log lines.
.SH LOG LINES
The log goes to standard error, to
.B \-\-log\-file
and to
.BR \-\-syslog .
At startup it says where the program listens and where sessions go:
.PP
.RS
.nf
WebSocket server settings:
  \- Listen on :6080
  \- No SSL/TLS support (no cert file)
  \- proxying from :6080 to localhost:5900
.fi
.RE
.PP
Once the last of these appears, the port is listening. A line about a client begins with its address, or with the path of the
Unix socket that it came through, and the time; a session has up to three:
.PP
.RS
.nf
ADDRESS \- \- [25/Nov/2026 13:10:22] ADDRESS: Plain non\-SSL (ws://) WebSocket connection
ADDRESS \- \- [25/Nov/2026 13:10:22] ADDRESS: Path: \(aq/websockify\(aq
ADDRESS \- \- [25/Nov/2026 13:10:22] connecting to: localhost:5900
.fi
.RE
.PP
A request that is refused has
.IR "code STATUS, message REASON" .
With
.B \-\-verbose
each request and each ending has a line, and at exit there is one for each kind of ending:
.IR "connections ended as KIND: COUNT" .
System errors include their number:
.IR "[Errno 111] Connection refused" .
Values in URLs are
.BR *** ,
because they may be secret, unless there is
.BR \-\-log\-tokens ;
unprintable characters are escaped, and lines that peers can cause are limited in number and length.
"#;

pub(super) const BEHIND_DIFFERENCES: &str = r#".SH EXAMPLES
Relay port 6080 to a VNC server on this host:
.PP
.RS
websockify 6080 localhost:5900
.RE
.PP
Listen only on this host, and ping each client every 30 seconds:
.PP
.RS
websockify \-\-heartbeat=30 127.0.0.1:6080 localhost:5900
.RE
.PP
In the background, with a file for the process ID:
.PP
.RS
websockify \-D \-\-pid\-file=/run/websockify.pid \-\-log\-file=/var/log/websockify.log 6080 localhost:5900
.RE
.PP
With a service manager's listening socket on standard input:
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
.PP
With noVNC's page, for browsers:
.PP
.RS
websockify \-\-web=/usr/share/novnc 6080 localhost:5900
.RE
.PP
With TLS only, on four cores:
.PP
.RS
websockify \-\-cert=chain.pem \-\-key=key.pem \-\-ssl\-only \-\-workers=4 443 localhost:5900
.RE
.PP
A target for each token, from a file with lines such as
.IR "vm1: 10.0.0.1:5900" :
.PP
.RS
websockify \-\-token\-plugin=TokenFile \-\-token\-source=/etc/vms 6080
.RE
.SH SEE ALSO
.BR vncserver (1),
.BR x11vnc (1),
.BR openssl\-verify (1),
.BR systemd.socket (5),
.BR sd_notify (3)
.PP
README.md and the pages in docs/ of the source: how to come from the Python program, TLS, tokens, plugins, proxies, error
messages and their causes.
"#;
