# Sourced by `run`: installs what a fresh Debian 12 lacks, once, and names the program to try in WEBSOCKIFY_BIN.

work=$(cd "$here/../.." && pwd)/target/novnc || return

# A command to look for, and Debian's package that has it. What README's example needs is installed by README's own
# line.
needs="xsetroot x11-xserver-utils
xwd x11-apps
chromium chromium
node nodejs
npm npm
openssl openssl
redis-server redis-server
redis-cli redis-tools
python3 python3
ps procps
unshare util-linux
ip iproute2"

. "$here/../shell/packages.sh" || return


# Debian's noVNC, a VNC server and a terminal, by README's own line.
install_example() {
    [ -e /usr/share/novnc/vnc.html ] && command -v tigervncserver >/dev/null && command -v xterm >/dev/null && return
    # Nobody is asked, and nothing is installed that is only recommended.
    printf 'APT::Get::Assume-Yes "true";\nAPT::Install-Recommends "false";\n' >"$work/apt.conf"
    (
        sudo() { as_root env APT_CONFIG="$work/apt.conf" DEBIAN_FRONTEND=noninteractive "$@"; }
        as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else command sudo "$@"; fi; }
        as_root apt-get update -q && eval "$(grep -m 1 '^sudo apt-get install ' "$root/README.md")"
    )
}

# Only to compare with; the tests do without it.
install_python() {
    [ -x "$work/python/bin/websockify" ] && return
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y python3-venv || return
    fi
    python3 -m venv "$work/python" && "$work/python/bin/pip" install -q websockify==0.13.0
}

install_packages || { echo "what the noVNC tests need could not be installed"; return 1; }
install_example || { echo "what README's example needs could not be installed"; return 1; }
install_npm || { echo "the packages from npm could not be installed"; return 1; }
name_program
