# fish completion for websockify(1), made from its table of options

# The words behind --, or behind the ports of --rebind: a command of its own.
function __websockify_command
    set -l words (commandline -opc)
    if test "$words[2]" = --rebind
        test (count $words) -ge 4; or return
        set -e words[1..4]
    else
        set -l at (contains -i -- -- $words); or return
        set -e words[1..$at]
    end
    complete -C (string join ' ' -- (string escape -- $words) (commandline -ct))
end

complete -c websockify -f -a '(__websockify_command)'
complete -c websockify -s h -l help -d 'print this help and exit'
complete -c websockify -l version -d 'print the version and exit'
complete -c websockify -l libserver -d 'accepted for compatibility, has no effect'
complete -c websockify -s 6 -l prefer-ipv6 -d 'listen on the source address\'s IPv6 address when it has both kinds'
complete -c websockify -l unix-listen -r -F -d 'listen on a Unix socket instead of a port'
complete -c websockify -l unix-listen-mode -x -d 'permissions of the --unix-listen socket, in octal'
complete -c websockify -l inetd -d 'take the listening socket from standard input, or serve the one client that is connected there'
complete -c websockify -l max-connections -x -d 'serve at most COUNT connections at a time'
complete -c websockify -l workers -x -d 'threads among which connections are spread, 1 to 256'
complete -c websockify -l memory-limit -x -d 'hold at most so many MiB for peers that do not take their data'
complete -c websockify -l unix-target -r -F -d 'connect every client to this Unix socket'
complete -c websockify -l ssl-target -d 'speak TLS to the target, whose certificate must be valid by the system\'s authorities'
complete -c websockify -l ssl-target-ca -r -F -d 'trust these certificate authorities for --ssl-target, in PEM form, instead of the system\'s'
complete -c websockify -l ssl-target-name -x -d 'the name or address that the target\'s certificate must be for, instead of the one that is connected to'
complete -c websockify -l ssl-target-insecure -d 'accept any certificate from the target'
complete -c websockify -l wrap-mode -x -a 'exit ignore respawn' -d 'what to do when the wrapped program exits or puts itself into the background'
complete -c websockify -l wrap-stdin -d 'start the wrapped program for each session, with the session\'s data as its standard input and output, as inetd does'
complete -c websockify -l cert -r -F -d 'certificate chain for TLS clients, in PEM form'
complete -c websockify -l key -r -F -d 'the certificate\'s private key, if it is not in the certificate\'s file'
complete -c websockify -l key-password -x -d 'password of encrypted private keys'
complete -c websockify -l ssl-only -d 'refuse clients that do not use TLS'
complete -c websockify -l verify-client -d 'require a valid certificate from TLS clients'
complete -c websockify -l cafile -r -F -d 'certificate authorities that --verify-client trusts, in PEM form'
complete -c websockify -l ssl-version -x -a 'default tlsv1_1 tlsv1_2 tlsv1_3' -d 'lowest TLS version to accept'
complete -c websockify -l ssl-ciphers -x -d 'cipher suites to allow, separated by colons, by the names of OpenSSL or IANA'
complete -c websockify -l token-plugin -x -a 'TokenFile ReadOnlyTokenFile TokenFileName BaseTokenAPI JSONTokenApi JWTTokenApi TokenRedis UnixDomainSocketDirectory exec' -d 'find each client\'s target by its token'
complete -c websockify -l token-source -r -F -d 'where the token plugin looks'
complete -c websockify -l token-once -d 'with TokenRedis'
complete -c websockify -l token-cache -x -d 'what a service'
complete -c websockify -l host-token -d 'take the token from the Host header instead of the query\'s token parameter'
complete -c websockify -l target-config -r -F -d 'deprecated: same as --token-plugin TokenFile --token-source FILE'
complete -c websockify -l auth-plugin -x -a 'BasicHTTPAuth ExpectOrigin ClientCertCNAuth exec' -d 'admit clients by BasicHTTPAuth, ExpectOrigin or ClientCertCNAuth'
complete -c websockify -l auth-source -r -F -d 'whom the auth plugin admits'
complete -c websockify -l plugin-python -x -a '(__fish_complete_command)' -d 'what runs plugins that are Python classes, 3.6 or newer'
complete -c websockify -l auth-cookie -d 'after a right password give the browser a cookie that admits it for 8 hours, since Safari sends no password with a WebSocket'
complete -c websockify -l allow-origin -x -a 'same-origin' -d 'let browsers open sessions only from pages of this origin, such as https://example.org, or with same-origin only from pages of the same host and port'
complete -c websockify -l allow-target -x -d 'let tokens lead only to what such a rule names'
complete -c websockify -l deny-target -x -d 'never let tokens lead to what this rule names, even if --allow-target does'
complete -c websockify -l web -x -a '(__fish_complete_directories (commandline -ct))' -d 'serve the files of this directory on the same port'
complete -c websockify -l novnc -a '(__fish_complete_directories (commandline -ct))' -d 'serve noVNC, whose page / leads to and which connects at once, with the token of /?token=TOKEN'
complete -c websockify -l web-auth -d 'require the auth plugin\'s consent for files, too'
complete -c websockify -l file-only -d 'never list directories'
complete -c websockify -l web-header -x -d 'send this header with every file, for instance \'Access-Control-Allow-Origin'
complete -c websockify -l web-cache-control -x -d 'what browsers and proxies may keep of files, for instance \'max-age=3600\''
complete -c websockify -l web-dot-files -d 'serve and list names that begin with a dot, too'
complete -c websockify -l web-outside-links -d 'follow symbolic links that lead out of the directory'
complete -c websockify -s D -l daemon -d 'go into the background once the socket listens'
complete -c websockify -l pid-file -r -F -d 'write the process number to this file when the service is ready'
complete -c websockify -l run-once -d 'serve one WebSocket connection, then exit'
complete -c websockify -l timeout -x -d 'stop listening this long after the start'
complete -c websockify -l idle-timeout -x -d 'exit when there was no connection for this long'
complete -c websockify -l heartbeat -x -d 'send each client a ping this often, and end the session of one that was silent for two and a half times as long, at least 10 seconds'
complete -c websockify -s v -l verbose -d 'log requests and the ends of connections, too'
complete -c websockify -l traffic -d 'print a character to standard output for each piece of data relayed'
complete -c websockify -l log-file -r -F -d 'append the log to this file, too'
complete -c websockify -l log-tokens -d 'write tokens and credentials to the log as they are, instead of hiding them'
complete -c websockify -l syslog -r -F -d 'log to syslog, too'
complete -c websockify -l legacy-syslog -d 'use the older syslog form'
complete -c websockify -l record -r -F -d 'record each session to FILE.N, where N counts connections, for noVNC\'s player'
complete -c websockify -l record-input -x -a 'yes no' -d 'no: leave what clients send, such as keystrokes, out of recordings'
complete -c websockify -n 'test (count (commandline -opc)) -eq 1' -l rebind -d 'start a command with its TCP port moved'
