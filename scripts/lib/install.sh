# shellcheck shell=bash
# Sourced by other scripts.

# Installs Debian packages, or prints the needed ones.
install() {
    local needed="$1" run=()
    shift
    if [ "$(id -u)" -ne 0 ]; then
        run=(sudo)
        [ -t 0 ] || run+=(-n)
    fi
    if ! command -v apt-get >/dev/null || ! { [ "${#run[@]}" -eq 0 ] || command -v sudo >/dev/null; }; then
        echo "$needed is needed and missing. On Debian or Ubuntu: apt-get install $*" >&2
        exit 1
    fi
    echo "$needed is missing: installing $*"
    "${run[@]}" apt-get update -q
    "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

# rustup installs Rust. The bundled SQLite and the allocator are C, and make builds the latter.
install_toolchain() {
    if ! command -v cargo >/dev/null; then
        echo "Rust is needed and missing: https://rustup.rs" >&2
        exit 1
    fi
    command -v cc >/dev/null || install "A C compiler" gcc libc6-dev
    command -v make >/dev/null || install "make" make
}
