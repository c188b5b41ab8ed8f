# Sourced by `run`: installs what a fresh Debian 12 lacks, once, and names the program to try in WEBSOCKIFY_BIN.

root=$(cd "$here/../.." && pwd) || return
work=$root/target/novnc

# A command to look for, and Debian's package that has it.
needs="Xtigervnc tigervnc-standalone-server
xterm xterm
xsetroot x11-xserver-utils
xwd x11-apps
chromium chromium
node nodejs
npm npm
openssl openssl
python3 python3
ps procps"

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install_packages() {
    local packages=() command package
    while read -r command package; do
        command -v "$command" >/dev/null || packages+=("$package")
    done <<<"$needs"
    [ ${#packages[@]} -eq 0 ] && return
    as_root apt-get update -q || return
    for package in "${packages[@]}"; do
        if [ -z "$(apt-cache madison "$package")" ]; then
            echo "Debian's package $package is not available here"
            return 1
        fi
    done
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
}

# Debian's noVNC is only unpacked: installing it would bring Python's websockify and all that it needs.
unpack_novnc() {
    [ -e "$work/debian/usr/share/novnc/vnc.html" ] && return
    rm -rf "$work/download"
    mkdir -p "$work/download"
    (
        cd "$work/download" || exit
        [ -n "$(apt-cache madison novnc)" ] || as_root apt-get update -q || exit
        apt-get download -q -o APT::Sandbox::User="$(id -un)" novnc
    ) || return
    dpkg -x "$work"/download/novnc_*.deb "$work/debian"
}

install_npm() {
    local done_before="$work/node_modules/.installed"
    cmp -s "$here/package-lock.json" "$done_before" && return
    cp "$here/package.json" "$here/package-lock.json" "$work/" || return
    npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund --loglevel=error || return
    cp "$here/package-lock.json" "$done_before"
}

# Only to compare with; the tests do without it.
install_python() {
    [ -x "$work/python/bin/websockify" ] && return
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y python3-venv || return
    fi
    python3 -m venv "$work/python" && "$work/python/bin/pip" install -q websockify==0.13.0
}

mkdir -p "$work" || return
install_packages || { echo "what the noVNC tests need could not be installed"; return 1; }
unpack_novnc || { echo "Debian's package novnc could not be unpacked"; return 1; }
install_npm || { echo "the packages from npm could not be installed"; return 1; }
if [ -z "${WEBSOCKIFY_BIN-}" ]; then
    (cd "$root" && cargo build --locked --release --quiet) || return
    export WEBSOCKIFY_BIN=${CARGO_TARGET_DIR:-$root/target}/release/websockify
fi
