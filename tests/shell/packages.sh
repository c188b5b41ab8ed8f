# Sourced by what tests in browsers: installs what is missing, and names the program to try in WEBSOCKIFY_BIN. Before
# that `here` is the tests' folder, `work` where they keep what they install, and `needs` has a line for each command
# to look for and Debian's package that has it.

export work
root=$(cd "$here/../.." && pwd) || return

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

install_npm() {
    local done_before="$work/node_modules/.installed"
    cmp -s "$here/package-lock.json" "$done_before" && return
    cp "$here/package.json" "$here/package-lock.json" "$work/" || return
    npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund --loglevel=error || return
    cp "$here/package-lock.json" "$done_before"
}

name_program() {
    [ -n "${WEBSOCKIFY_BIN-}" ] && return
    (cd "$root" && cargo build --locked --release --quiet) || return
    export WEBSOCKIFY_BIN=${CARGO_TARGET_DIR:-$root/target}/release/websockify
}

mkdir -p "$work"
