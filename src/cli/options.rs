//! The table of options: one row says everything that help, man page, parser and errors know about one.
//!
//! Python's options and ours are distinguished because an abbreviation that the Python program understands
//! must keep its meaning: `--log` stays `--log-file`, whatever we add.

use self::Group::*;
use self::Kind::*;

/// One option.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The long name, without dashes. The rest of the command line code calls the option by it.
    pub(super) name: &'static str,
    /// The one-letter name.
    pub(super) short: Option<char>,
    /// What it takes.
    pub(super) kind: Kind,
    /// Where help and man page list it.
    pub(super) group: Group,
    /// Whether the Python program has it, too.
    pub(super) python: bool,
    /// What it does, for help and man page.
    pub(super) help: &'static str,
}

/// What an option takes. The name is what help calls the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Print the help and exit.
    Help,
    /// Print the version and exit.
    Version,
    /// Nothing.
    Flag,
    /// Any text or path.
    Text(&'static str),
    /// Any text or path, or nothing. With the text it is one word, `--name=TEXT`: the next word is never it.
    OptionalText(&'static str),
    /// A whole number.
    Integer(&'static str),
    /// One word of a list.
    Choice(&'static str, &'static [&'static str]),
}

/// The headings of help and man page, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    General,
    Listening,
    Targets,
    Tls,
    Tokens,
    Web,
    Lifetime,
    Admin,
    Logging,
}

impl Row {
    /// What help calls the value, if the option takes one.
    pub(super) fn value_name(&self) -> Option<&'static str> {
        match self.kind {
            Help | Version | Flag => None,
            Text(name) | OptionalText(name) | Integer(name) | Choice(name, _) => Some(name),
        }
    }

    /// The signs around the value's name, if the option takes one.
    pub(super) fn value_signs(&self) -> (&'static str, &'static str) {
        match self.kind {
            Help | Version | Flag => ("", ""),
            OptionalText(_) => ("[=", "]"),
            Text(_) | Integer(_) | Choice(..) => ("=", ""),
        }
    }
}

impl Group {
    /// All headings, in the order of help and man page.
    pub(super) const ALL: [Group; 9] =
        [General, Listening, Targets, Tls, Tokens, Web, Lifetime, Admin, Logging];

    /// The heading's text.
    pub(super) fn title(self) -> &'static str {
        match self {
            General => "General",
            Listening => "Listening",
            Targets => "Targets and wrapped programs",
            Tls => "TLS",
            Tokens => "Tokens and authentication",
            Web => "Web server",
            Lifetime => "Lifetime",
            Admin => "Administration and health",
            Logging => "Logging and recording",
        }
    }
}

/// Finds an option by its one-letter name.
pub(super) fn by_letter(letter: char) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.short == Some(letter))
}

/// Finds an option by its long name or an unambiguous beginning of it. The error is the text for the user.
pub(super) fn by_name(name: &str) -> Result<&'static Row, String> {
    if let Some(row) = TABLE.iter().find(|row| row.name == name) {
        return Ok(row);
    }
    for python in [true, false] {
        let mut rows: Vec<&'static Row> =
            TABLE.iter().filter(|row| row.python == python && row.name.starts_with(name)).collect();
        match rows[..] {
            [] => continue,
            [row] => return Ok(row),
            _ => {
                rows.sort_by_key(|row| row.name);
                let names: Vec<String> = rows.iter().map(|row| format!("--{}", row.name)).collect();
                return Err(format!("ambiguous option: --{name} ({}?)", names.join(", ")));
            }
        }
    }
    Err(format!("no such option: --{name}"))
}

/// Every option, in the order of help and man page within its group.
#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    Row { name: "help", short: Some('h'), kind: Help,
          group: General, python: true,
          help: "print this help and exit" },
    Row { name: "version", short: None, kind: Version,
          group: General, python: false,
          help: "print the version and exit" },
    Row { name: "libserver", short: None, kind: Flag,
          group: General, python: true,
          help: "accepted for compatibility, has no effect" },

    Row { name: "prefer-ipv6", short: Some('6'), kind: Flag,
          group: Listening, python: true,
          help: "use the source address's IPv6 address when it has both kinds; without a source address listen on all \
                 IPv6 and IPv4 addresses" },
    Row { name: "unix-listen", short: None, kind: Text("FILE"),
          group: Listening, python: true,
          help: "listen on a Unix socket instead of a port; omit source_port then" },
    Row { name: "unix-listen-mode", short: None, kind: Text("MODE"),
          group: Listening, python: true,
          help: "permissions of the --unix-listen socket, in octal (default: 0600)" },
    Row { name: "inetd", short: None, kind: Flag,
          group: Listening, python: true,
          help: "use the listening socket on standard input, or serve the one client connected there; omit \
                 source_port then" },

    Row { name: "max-connections", short: None, kind: Integer("COUNT"),
          group: Listening, python: false,
          help: "serve at most COUNT connections at a time; further ones get 503 (default and maximum: half of what \
                 ulimit -n leaves after up to 256 descriptors are reserved for files and lookups, since each \
                 connection has two ends; --verbose logs the number)" },
    Row { name: "workers", short: None, kind: Integer("COUNT"),
          group: Listening, python: false,
          help: "number of threads that share the connections, 1 to 256 (default: 1)" },
    Row { name: "memory-limit", short: None, kind: Integer("MIB"),
          group: Listening, python: false,
          help: "buffer at most MIB MiB for peers that do not read; above that, the connections that hold most are \
                 dropped (default: 512)" },

    Row { name: "proxy-protocol", short: None, kind: Choice("WORD", &["on", "off"]),
          group: Listening, python: false,
          help: "with on, each connection from a --trusted-proxy must begin with a PROXY header (version 1 or 2) that \
                 names its client, and no other connection may (default: off)" },
    Row { name: "trusted-proxy", short: None, kind: Text("NETWORK"),
          group: Listening, python: false,
          help: "believe proxies at this address or in this network (10.0.0.0/8), or with unix those that connect to \
                 a Unix socket, about their clients: PROXY headers, --real-ip-header, X-Forwarded-Proto and -Host, \
                 X-Request-Id and traceparent; may be repeated. @FILE reads networks from a file" },
    Row { name: "real-ip-header", short: None, kind: Text("NAME"),
          group: Listening, python: false,
          help: "the header in which a --trusted-proxy names its client (default: X-Forwarded-For): a list of \
                 addresses, read from the right past trusted ones, Forwarded, or any header with one address, such \
                 as X-Real-IP; none: no header" },

    Row { name: "unix-target", short: None, kind: Text("FILE"),
          group: Targets, python: true,
          help: "connect every client to this Unix socket" },
    Row { name: "ssl-target", short: None, kind: Flag,
          group: Targets, python: true,
          help: "use TLS to the target and verify its certificate against the system's authorities (or those that \
                 SSL_CERT_FILE and SSL_CERT_DIR name)" },
    Row { name: "ssl-target-ca", short: None, kind: Text("FILE"),
          group: Targets, python: false,
          help: "trust these certificate authorities for --ssl-target, in PEM form, instead of the system's; may be \
                 the target's own self-signed certificate" },
    Row { name: "ssl-target-name", short: None, kind: Text("NAME"),
          group: Targets, python: false,
          help: "the name or address that the target's certificate must be for, instead of the one connected to (a \
                 Unix socket: localhost)" },
    Row { name: "ssl-target-insecure", short: None, kind: Flag,
          group: Targets, python: false,
          help: "accept any certificate from the target: an attacker on the network can read and change everything" },
    Row { name: "proxy-protocol-out", short: None, kind: Choice("VERSION", &["v1", "v2"]),
          group: Targets, python: false,
          help: "send targets a PROXY header of this version with the client's address, before anything else on the \
                 connection and before TLS; v2 also has the session's name, the Host and the client's TLS" },
    Row { name: "wrap-mode", short: None, kind: Choice("MODE", &["exit", "ignore", "respawn"]),
          group: Targets, python: true,
          help: "what to do when the wrapped program exits or goes into the background: exit (default), ignore or \
                 respawn; no effect without a wrapped program" },
    Row { name: "wrap-stdin", short: None, kind: Flag,
          group: Targets, python: false,
          help: "start the wrapped program once per session, with the session's data on its standard input and \
                 output, as inetd does; for programs that do not listen, or can't be moved to another port" },

    Row { name: "cert", short: None, kind: Text("FILE"),
          group: Tls, python: true,
          help: "certificate chain for TLS clients, in PEM form; may include the key (default: self.pem). TLS is \
                 enabled when the file exists; a replaced file is picked up within a second. Repeat it to add \
                 certificates for other names; the first is the default" },
    Row { name: "key", short: None, kind: Text("FILE"),
          group: Tls, python: true,
          help: "the certificate's private key, if it is not in the certificate's file. With as many --key as --cert, \
                 the nth key belongs to the nth certificate; otherwise a key belongs to the --cert before it" },
    Row { name: "key-password", short: None, kind: Text("PASSWORD"),
          group: Tls, python: true,
          help: "password of encrypted private keys; @FILE reads it from a file, so that other users don't see it in \
                 the process list" },
    Row { name: "ssl-only", short: None, kind: Flag,
          group: Tls, python: true,
          help: "refuse clients that do not use TLS" },
    Row { name: "verify-client", short: None, kind: Flag,
          group: Tls, python: true,
          help: "require a valid certificate from TLS clients; plain clients are still admitted unless --ssl-only" },
    Row { name: "cafile", short: None, kind: Text("FILE"),
          group: Tls, python: true,
          help: "certificate authorities that --verify-client trusts, in PEM form (default: the system's)" },
    Row { name: "ssl-version", short: None,
          kind: Choice("VERSION", &["default", "tlsv1_1", "tlsv1_2", "tlsv1_3"]),
          group: Tls, python: true,
          help: "lowest TLS version to accept: default, tlsv1_1, tlsv1_2 or tlsv1_3; tlsv1_1 means tlsv1_2" },
    Row { name: "ssl-ciphers", short: None, kind: Text("LIST"),
          group: Tls, python: true,
          help: "cipher suites to allow, separated by colons: names of OpenSSL or IANA, or OpenSSL's words for groups \
                 of suites (HIGH, ECDHE+AESGCM, !CHACHA20); unknown names are skipped with a warning. Suites \
                 of TLS 1.3 stay allowed unless one of them is named" },

    Row { name: "token-plugin", short: None, kind: Text("CLASS"),
          group: Tokens, python: true,
          help: "find each client's target by its token: {token-plugins}; exec, with a command as source; or a Python \
                 class (package.Class) written for the Python program" },
    Row { name: "token-source", short: None, kind: Text("ARG"),
          group: Tokens, python: true,
          help: "where the token plugin looks: a file, directory, URL or server, depending on the plugin; @FILE reads \
                 it from a file" },
    Row { name: "token-once", short: None, kind: Flag,
          group: Tokens, python: false,
          help: "with TokenRedis: a token is valid for one session, across all instances that use the same server; it \
                 is deleted when it is used (GETDEL, Redis 6.2 or newer)" },
    Row { name: "token-cache", short: None, kind: Integer("SECONDS"),
          group: Tokens, python: false,
          help: "keep found tokens for this long without asking a service (BaseTokenAPI, JSONTokenApi, TokenRedis) or \
                 a program again, even if they are withdrawn meanwhile (default: 0)" },
    Row { name: "host-token", short: None, kind: Flag,
          group: Tokens, python: true,
          help: "take the token from the Host header instead of the token parameter of the query" },
    Row { name: "target-config", short: None, kind: Text("FILE"),
          group: Tokens, python: true,
          help: "deprecated: same as --token-plugin TokenFile --token-source FILE" },
    Row { name: "auth-plugin", short: None, kind: Text("CLASS"),
          group: Tokens, python: true,
          help: "admit clients by {auth-plugins}; exec, with a command as source; or a Python class (package.Class) \
                 written for the Python program" },
    Row { name: "auth-source", short: None, kind: Text("ARG"),
          group: Tokens, python: true,
          help: "whom the auth plugin admits: user:password, or a list of origins or common names. @FILE reads a file \
                 with lines user:password or those of htpasswd (bcrypt, SHA-crypt), and follows its changes" },
    Row { name: "plugin-python", short: None, kind: Text("PROGRAM"),
          group: Tokens, python: false,
          help: "interpreter for plugins that are Python classes, 3.6 or newer (default: python3)" },
    Row { name: "auth-cookie", short: None, kind: Flag,
          group: Tokens, python: false,
          help: "after a correct password give the browser a cookie that admits it for 8 hours, because Safari sends \
                 no password with a WebSocket; implies --allow-origin same-origin" },
    Row { name: "allow-origin", short: None, kind: Text("ORIGIN"),
          group: Tokens, python: false,
          help: "let browsers open sessions only from pages of this origin, such as https://example.org, or with \
                 same-origin only from pages of the same host and port; may be repeated. Clients that send no \
                 origin are not browsers, and pass" },
    Row { name: "allow-target", short: None, kind: Text("RULE"),
          group: Tokens, python: false,
          help: "let tokens lead only to what these rules name: an address, a network (10.0.0.0/8, [fd00::]/8), a \
                 name or *.example.org, each optionally with ports (:5900-5999,3389), or unix:/path/prefix/; may be \
                 repeated" },
    Row { name: "deny-target", short: None, kind: Text("RULE"),
          group: Tokens, python: false,
          help: "never let tokens lead to what this rule names, even if --allow-target does; may be repeated. \
                 Link-local and multicast addresses, metadata services and this program itself are denied unless an \
                 --allow-target names that very address" },

    Row { name: "web", short: None, kind: Text("DIR"),
          group: Web, python: true,
          help: "serve the files of this directory on the same port" },
    Row { name: "novnc", short: None, kind: OptionalText("DIR"),
          group: Web, python: false,
          help: "serve noVNC: / leads to its page, which connects at once, with the token of /?token=TOKEN if given. \
                 DIR is its directory (default: where packages put it, {novnc-places}). Replaces --web" },
    Row { name: "web-auth", short: None, kind: Flag,
          group: Web, python: true,
          help: "require authentication for files, too" },
    Row { name: "file-only", short: None, kind: Flag,
          group: Web, python: true,
          help: "do not list directories" },
    Row { name: "web-header", short: None, kind: Text("HEADER"),
          group: Web, python: false,
          help: "send this header with every file; may be repeated. For example 'Access-Control-Allow-Origin: *'" },
    Row { name: "web-cache-control", short: None, kind: Text("VALUE"),
          group: Web, python: false,
          help: "how browsers and proxies may cache files, for example 'max-age=3600' (default: no-cache, which lets \
                 them keep files and makes them revalidate)" },
    Row { name: "web-dot-files", short: None, kind: Flag,
          group: Web, python: false,
          help: "serve and list names that begin with a dot, too; without this option only .well-known is served" },
    Row { name: "web-outside-links", short: None, kind: Flag,
          group: Web, python: false,
          help: "follow symbolic links that lead out of the directory" },

    Row { name: "daemon", short: Some('D'), kind: Flag,
          group: Lifetime, python: true,
          help: "go into the background once the socket listens; the command ends when the service is ready, or with \
                 its error" },
    Row { name: "pid-file", short: None, kind: Text("FILE"),
          group: Lifetime, python: false,
          help: "write the process ID to this file when the service is ready; the file is removed at exit" },
    Row { name: "run-once", short: None, kind: Flag,
          group: Lifetime, python: true,
          help: "serve one WebSocket connection, then exit" },
    Row { name: "timeout", short: None, kind: Integer("SECONDS"),
          group: Lifetime, python: true,
          help: "stop listening after this time; running sessions continue (0: never)" },
    Row { name: "idle-timeout", short: None, kind: Integer("SECONDS"),
          group: Lifetime, python: true,
          help: "exit when there has been no connection for this long (0: never)" },
    Row { name: "heartbeat", short: None, kind: Integer("SECONDS"),
          group: Lifetime, python: true,
          help: "ping each client this often, and disconnect one that sends nothing for two and a half times as long, \
                 at least 10 seconds (0: never)" },

    Row { name: "admin", short: None, kind: Text("ADDRESS"),
          group: Admin, python: false,
          help: "serve metrics, health and the list of sessions without TLS at [HOST:]PORT (without HOST only on \
                 127.0.0.1, unlike source_port) or at unix:PATH, a Unix socket" },
    Row { name: "admin-mode", short: None, kind: Text("MODE"),
          group: Admin, python: false,
          help: "permissions of the --admin socket, in octal (default: 0600)" },
    Row { name: "admin-token-file", short: None, kind: Text("FILE"),
          group: Admin, python: false,
          help: "require a token from this file for --admin; its lines are 'full TOKEN' and 'read TOKEN', with at \
                 least 16 characters each. Required if the address is not a loopback address" },
    Row { name: "health-path", short: None, kind: Text("PATH"),
          group: Admin, python: false,
          help: "answer GET PATH on the public port with 200 while new clients are welcome, otherwise with 503, for \
                 load balancers that can only check there; needs no password" },

    Row { name: "verbose", short: Some('v'), kind: Flag,
          group: Logging, python: true,
          help: "also log requests and the ends of connections" },
    Row { name: "traffic", short: None, kind: Flag,
          group: Logging, python: true,
          help: "print one character to standard output per piece of data relayed" },
    Row { name: "log-file", short: None, kind: Text("FILE"),
          group: Logging, python: true,
          help: "also append the log to this file; SIGHUP and SIGUSR1 reopen it, for log rotation" },
    Row { name: "log-level", short: None, kind: Choice("LEVEL", &["error", "warn", "info", "debug"]),
          group: Logging, python: false,
          help: "log only lines of this level and above (default: info); overrides --verbose, which means debug" },
    Row { name: "log-format", short: None, kind: Choice("FORM", &["text", "json"]),
          group: Logging, python: false,
          help: "write the log as lines of text (default) or as one JSON object per event, with OpenTelemetry's field \
                 names where it has them" },
    Row { name: "access-log", short: None, kind: Text("FILE"),
          group: Logging, python: false,
          help: "append a JSON object to this file for each ended session and each answered request, whatever the \
                 --log-level; - is standard output. SIGHUP and SIGUSR1 reopen the file" },
    Row { name: "log-tokens", short: None, kind: Flag,
          group: Logging, python: false,
          help: "log tokens and credentials as they are, instead of masking them" },
    Row { name: "syslog", short: None, kind: Text("SERVER"),
          group: Logging, python: true,
          help: "also log to syslog: a Unix socket such as /dev/log, or host:port for UDP" },
    Row { name: "legacy-syslog", short: None, kind: Flag,
          group: Logging, python: true,
          help: "use the older syslog format (RFC 3164) instead of RFC 5424" },
    Row { name: "record", short: None, kind: Text("FILE"),
          group: Logging, python: true,
          help: "record each session to FILE.N, where N counts connections, for noVNC's player; an existing file is \
                 never overwritten: then it is FILE.N.1 and so on. A recording holds everything that was typed and \
                 shown" },
    Row { name: "record-input", short: None, kind: Choice("WORD", &["yes", "no"]),
          group: Logging, python: false,
          help: "no: leave out of recordings what clients send, such as keystrokes" },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_group_has_some() {
        for (n, row) in TABLE.iter().enumerate() {
            assert_eq!(by_name(row.name), Ok(row));
            assert!(TABLE[n + 1..].iter().all(|other| other.name != row.name), "{}", row.name);
            if let Some(letter) = row.short {
                assert_eq!(by_letter(letter), Some(row));
            }
        }
        for group in Group::ALL {
            assert!(TABLE.iter().any(|row| row.group == group), "{group:?}");
        }
    }

    #[test]
    fn the_python_program_s_options_are_all_here() {
        let mut names: Vec<&str> = TABLE.iter().filter(|row| row.python).map(|row| row.name).collect();
        names.sort_unstable();
        assert_eq!(
            names.join(" "),
            "auth-plugin auth-source cafile cert daemon file-only heartbeat help host-token idle-timeout inetd \
             key key-password legacy-syslog libserver log-file prefer-ipv6 record run-once ssl-ciphers ssl-only \
             ssl-target ssl-version syslog target-config timeout token-plugin token-source traffic unix-listen \
             unix-listen-mode unix-target verbose verify-client web web-auth wrap-mode"
        );
    }
}
