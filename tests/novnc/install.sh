# Sourced by the commands of this folder: installs what a fresh Debian 12 lacks, once, and names the program to
# try in WEBSOCKIFY_BIN.

root=$(cd "$here/../.." && pwd) || return 2
work=$root/target/novnc
export WEBSOCKIFY_BIN=${WEBSOCKIFY_BIN:-$root/target/release/websockify}

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
    echo "installing ${packages[*]}"
    as_root apt-get update -q || return
    for package in "${packages[@]}"; do
        if ! apt-cache show "$package" >/dev/null 2>&1; then
            echo "Debian's package $package is not available here"
            return 1
        fi
    done
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
}

# Debian's noVNC is only unpacked: installing it would bring Python's websockify and all that that needs.
unpack_novnc() {
    [ -e "$work/debian/usr/share/novnc/vnc.html" ] && return
    rm -rf "$work/download"
    mkdir -p "$work/download"
    if ! (cd "$work/download" && apt-get download -q novnc); then
        (as_root apt-get update -q && cd "$work/download" && apt-get download -q novnc) || return
    fi
    dpkg -x "$work"/download/novnc_*.deb "$work/debian"
}

install_npm() {
    cmp -s "$here/package-lock.json" "$work/package-lock.json" && [ -d "$work/node_modules" ] && return
    cp "$here/package.json" "$work/" && rm -f "$work/package-lock.json" || return
    cp "$here/package-lock.json" "$work/package-lock.new"
    (cd "$work" && mv package-lock.new package-lock.json &&
        npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) && return
    rm -f "$work/package-lock.json"
    return 1
}

mkdir -p "$work" || return
install_packages || { echo "what the noVNC tests need could not be installed"; return 1; }
unpack_novnc || { echo "Debian's package novnc could not be unpacked"; return 1; }
install_npm || { echo "the packages from npm could not be installed"; return 1; }
[ -x "$WEBSOCKIFY_BIN" ] || (cd "$root" && cargo build --locked --release) || return
