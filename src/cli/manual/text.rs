//! The sections of the man page that are not made from anything, in the macros of roff.

pub(super) const BEFORE_LIMITS: &str = r#".SH ADMIN
.B \-\-admin
opens a listener for operators and their tools. It runs on threads of its own, so it answers even if everything else hangs.
It speaks plain HTTP, with one request per connection, and never TLS: use a Unix socket, a loopback address,
.I "ssh \-L 9000:/run/websockify/admin.sock HOST"
or a proxy in front of it.
.SS Paths
.TP
.BR /livez ", " /healthz
200 while the main thread and every worker respond within a second, otherwise 503 with a line for each one that does not.
It tells a supervisor when to restart the service, so nothing else is checked: a restart does not repair a token service.
.TP
.B /readyz
200 while new clients are welcome, otherwise 503 with a line for each check that fails:
.I live
as above;
.IR listening ;
.IR not\-withdrawn ,
which the operator sets (see below);
.IR not\-draining ;
.IR not\-full ,
which fails once
.B \-\-max\-connections
is reached, until a twentieth of the places is free again;
.IR certificate ,
with
.BR \-\-ssl\-only .
.B ?verbose
lists every check. Targets and token services are not checked.
.TP
.B /metrics
Counters and gauges for Prometheus, in its text format 0.0.4. No label's value comes from a client, a token or a target, so
the number of series depends only on the command line. docs/monitoring.md and examples/ have a configuration to start with,
alerts and a dashboard.
.TP
.B /api/v1/status
A JSON object with the state of the service.
.TP
.B /api/v1/sessions
GET lists sessions in pages of
.I limit
sessions (default 100, at most 1000). To get the next page, pass a page's
.I next
as
.IR after .
With
.IR sort= bytes,
.I age
or
.I idle
the list has the sessions with the most of it. Filters:
.I address
(an address or a network),
.IR target ,
.I token
(the first 16 digits of the SHA\-256 of the token:
.IR "printf %s TOKEN | sha256sum" ),
.I identity
(the name that goes with the client's password, or that in its certificate),
.I idle_over
(seconds) and
.IR stalled=1 .
DELETE with a filter for token, address, target or identity, or with
.IR all=true ,
ends every session that matches.
.TP
.BI /api/v1/sessions/ ID
GET returns one session; DELETE ends it. Its client gets a Close frame with
.I code
(default 1008) and a text for
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
makes it ready again. Sessions and new clients are served in either case.
.TP
.B /api/v1/log
GET returns the log level. PUT
.I "{\(dqlevel\(dq: \(dqdebug\(dq, \(dqaddress\(dq: \(dq10.0.0.7\(dq, \(dqseconds\(dq: 600}"
sets it, as
.B \-\-log\-level
does, for lines about the clients of an address or a network, or without
.I address
for everything, and without
.I seconds
until the process ends. If several match a client, the most verbose one counts. DELETE resets all levels, or with
.I address=
the one for these clients. Lines about recordings and programs follow the level for everything; the access log is not affected.
.SS Access
Who may use a Unix socket depends on its permissions
.RB ( \-\-admin\-mode ).
A loopback address is open to every user of this machine, unless
.B \-\-admin\-token\-file
is given; any other address requires that file. Its lines are
.I full TOKEN
and
.IR "read TOKEN" ;
lines that begin with # are comments. Each request then needs
.IR "Authorization: Bearer TOKEN" ,
except those to /livez, /healthz and /readyz. A read token can't change anything. The file is checked at each request, so
changes apply at once; while it can't be used, all requests that need a token are refused.
.PP
Requests that change something need the header
.IR "Websockify\-Admin: 1" ,
which a page of another site can't make a browser send. If no token is required, Host must be an address or localhost, and
Origin, if present, must name the same host. The log says who made each change.
.PP
.RS
.nf
curl \-\-unix\-socket /run/websockify/admin.sock http://admin/readyz?verbose
curl \-X PUT \-H 'Websockify\-Admin: 1' \-d '{"ready": false}' http://127.0.0.1:9000/api/v1/readiness
.fi
.RE
.SS The public port
.B \-\-health\-path
names a path on the public port that answers like
.BR /readyz ,
without the check
.IR live .
It needs no password, and requests to it are not logged. OPTIONS is answered with 204 while the service is ready, otherwise
with 503.
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
or
.B \-\-access\-log=FILE
the log files are reopened, as for SIGUSR1. Without either the signal shuts the program down like SIGTERM, or is ignored if it was
ignored when the program was started, as with
.BR nohup (1).
.TP
.B SIGUSR1
Reopen the log files, after a rotation has moved them away, and the connection to syslog. If a file can't be opened, the old
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
serves only /livez, /healthz and /readyz, and needs no token. With
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
.PP
With
.B \-\-log\-format=json
each event is a JSON object in place of these lines, and
.B \-\-access\-log
writes one for each ended session and each answered request. docs/operating.md lists their fields.
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
