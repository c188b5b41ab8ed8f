# bash completion for websockify(1), made from its table of options

_websockify()
{
    local cur prev words cword split at
    _init_completion -s || return

    # A command of its own stands behind --, and behind the ports of --rebind.
    for ((at = 1; at < cword; at++)); do
        if [[ ${words[at]} == -- ]]; then
            _command_offset $((at + 1))
            return
        fi
    done
    if [[ $cword -gt 1 && ${words[1]} == --rebind ]]; then
        [[ $cword -gt 3 ]] && _command_offset 4
        return
    fi

    case $prev in
        --unix-listen | \
            --unix-target | \
            --ssl-target-ca | \
            --cert | \
            --key | \
            --cafile | \
            --token-source | \
            --target-config | \
            --auth-source | \
            --pid-file | \
            --admin-token-file | \
            --log-file | \
            --access-log | \
            --syslog | \
            --record)
            _filedir
            return
            ;;
        --unix-listen-mode | \
            --max-connections | \
            --workers | \
            --memory-limit | \
            --trusted-proxy | \
            --real-ip-header | \
            --ssl-target-name | \
            --key-password | \
            --ssl-ciphers | \
            --token-cache | \
            --allow-target | \
            --deny-target | \
            --web-header | \
            --web-cache-control | \
            --timeout | \
            --idle-timeout | \
            --heartbeat | \
            --admin | \
            --admin-mode | \
            --health-path)
            return
            ;;
        --proxy-protocol)
            COMPREPLY=($(compgen -W 'on off' -- "$cur"))
            return
            ;;
        --proxy-protocol-out)
            COMPREPLY=($(compgen -W 'v1 v2' -- "$cur"))
            return
            ;;
        --wrap-mode)
            COMPREPLY=($(compgen -W 'exit ignore respawn' -- "$cur"))
            return
            ;;
        --ssl-version)
            COMPREPLY=($(compgen -W 'default tlsv1_1 tlsv1_2 tlsv1_3' -- "$cur"))
            return
            ;;
        --token-plugin)
            COMPREPLY=($(compgen -W 'TokenFile ReadOnlyTokenFile TokenFileName BaseTokenAPI JSONTokenApi JWTTokenApi TokenRedis UnixDomainSocketDirectory exec' -- "$cur"))
            return
            ;;
        --auth-plugin)
            COMPREPLY=($(compgen -W 'BasicHTTPAuth ExpectOrigin ClientCertCNAuth exec' -- "$cur"))
            return
            ;;
        --plugin-python)
            COMPREPLY=($(compgen -c -- "$cur"))
            return
            ;;
        --allow-origin)
            COMPREPLY=($(compgen -W 'same-origin' -- "$cur"))
            return
            ;;
        --web)
            _filedir -d
            return
            ;;
        --novnc)
            $split && _filedir -d
            ;;
        --log-level)
            COMPREPLY=($(compgen -W 'error warn info debug' -- "$cur"))
            return
            ;;
        --log-format)
            COMPREPLY=($(compgen -W 'text json' -- "$cur"))
            return
            ;;
        --record-input)
            COMPREPLY=($(compgen -W 'yes no' -- "$cur"))
            return
            ;;
    esac
    $split && return

    if [[ $cur == -* ]]; then
        local options='--help
            --version
            --libserver
            --prefer-ipv6
            --unix-listen=
            --unix-listen-mode=
            --inetd
            --max-connections=
            --workers=
            --memory-limit=
            --proxy-protocol=
            --trusted-proxy=
            --real-ip-header=
            --unix-target=
            --ssl-target
            --ssl-target-ca=
            --ssl-target-name=
            --ssl-target-insecure
            --proxy-protocol-out=
            --wrap-mode=
            --wrap-stdin
            --cert=
            --key=
            --key-password=
            --ssl-only
            --verify-client
            --cafile=
            --ssl-version=
            --ssl-ciphers=
            --token-plugin=
            --token-source=
            --token-once
            --token-cache=
            --host-token
            --target-config=
            --auth-plugin=
            --auth-source=
            --plugin-python=
            --auth-cookie
            --allow-origin=
            --allow-target=
            --deny-target=
            --web=
            --novnc
            --web-auth
            --file-only
            --web-header=
            --web-cache-control=
            --web-dot-files
            --web-outside-links
            --daemon
            --pid-file=
            --run-once
            --timeout=
            --idle-timeout=
            --heartbeat=
            --admin=
            --admin-mode=
            --admin-token-file=
            --health-path=
            --verbose
            --traffic
            --log-file=
            --log-level=
            --log-format=
            --access-log=
            --log-tokens
            --syslog=
            --legacy-syslog
            --record=
            --record-input='
        [[ $cword -eq 1 ]] && options+=' --rebind'
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
        [[ ${COMPREPLY-} == *= ]] && compopt -o nospace
    fi
} &&
    complete -F _websockify websockify
