# Sourced by what tests in browsers: a directory that only the programs of this run are in.
#
# Every program of the run starts in it and is known by that: Chromium's processes overwrite their environment, and
# some lead sessions of their own.

place=$(cd "$(mktemp -d)" && pwd -P) || exit 2

left() {
    local process
    for process in /proc/[0-9]*; do
        [ "$(readlink "$process/cwd")" = "$place" ] && echo "${process#/proc/}"
    done
}

# Whether nothing is left of this run; some programs need a moment for their end.
nothing_left() {
    local try
    for try in {1..50}; do
        [ -z "$(left)" ] && return
        sleep 0.1
    done
    ps -o pid,ppid,stat,args -p "$(left | paste -sd ,)"
    echo "FAILED: the processes above were left behind"
    return 1
}

end() {
    while [ -n "$(left)" ]; do
        # shellcheck disable=SC2046 # one word for each process
        kill -KILL $(left) 2>/dev/null
    done
    rm -rf "$place"
}

trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
