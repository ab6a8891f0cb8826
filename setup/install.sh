#!/usr/bin/env bash
# Installs what a make target lacks, and nothing that is there already: setup/install.sh run|check|test
#
# Debian packages by apt-get, as root or through sudo; the Python tools of check and test into $LHFILE_CACHE/venv, the
# object store of the tests into $LHFILE_CACHE/garage-VERSION, the checker of alert rules into $LHFILE_CACHE/promtool.
# A clamd that Debian's package starts by itself is left alone: lhfile and its tests start their own.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${LHFILE_CACHE:-${HOME:?set HOME or LHFILE_CACHE}/.cache/lhfile}
missing=()
export PATH="$PATH:/usr/sbin:/sbin"

say() { echo "lhfile: $*" >&2; }
die() { say "$*"; exit 1; }
has() { command -v "$1"; }
has_postgres() { compgen -G '/usr/lib/postgresql/*/bin/postgres'; }
php_has() { has php && php -r "exit(extension_loaded('$1') ? 0 : 1);"; }

# need PACKAGE TEST...: the Debian package that brings what TEST looks for.
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

install_missing() {
    ((${#missing[@]})) || return 0
    has apt-get >/dev/null || die "please install what these Debian packages bring: ${missing[*]}"
    local as_root=()
    if ((EUID != 0)); then
        has sudo >/dev/null || die "run this as root once: apt-get install --no-install-recommends ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
    "${apt[@]}" update >&2
    "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >&2
    missing=()
}

rust() {
    has cargo >/dev/null || die "Rust is missing: get it from https://rustup.rs (1.95 or newer), then run make again"
    # libsqlite3-sys and aws-lc-sys compile C; a compiler is all they ask for, no cmake.
    need gcc has cc
    need libc6-dev test -e /usr/include/stdio.h
}

python_tools() {
    local wanted=setup/python-tools.txt venv=$cache/venv
    if cmp -s "$wanted" "$venv/installed.txt" && [[ -x $venv/bin/python ]]; then
        return
    fi
    say "installing the Python tools of $wanted into $venv"
    rm -rf "$venv"
    mkdir -p "$cache"
    /usr/bin/python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --use-pep517 --requirement "$wanted" >&2
    cp "$wanted" "$venv/installed.txt"
}

# An S3-compatible object store, the real thing: built from its source, once. An interrupted build is taken up again.
garage() {
    local version=2.5.0
    local root=$cache/garage-$version build=$cache/garage-build
    if [[ -x $root/bin/garage ]]; then
        return
    fi
    say "building garage $version, the object store of the tests, into $root: once, a quarter of an hour on two cores"
    mkdir -p "$cache"
    # For a quick build, not for a quick garage.
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
        CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_TARGET_DIR="$build" \
        cargo install garage --version "$version" --locked --no-default-features --features bundled-libs,sqlite \
        --root "$root" >&2
    rm -rf "$build"
}

# Prometheus's checker of alert rules: that one program out of Debian's package, because installing the package starts a
# server. One that is there already is taken.
rule_checker() {
    local root=$cache/promtool fresh
    if [[ -x $root/promtool ]] && "$root/promtool" --version >/dev/null 2>&1; then
        return
    fi
    mkdir -p "$root"
    if has promtool >/dev/null; then
        ln -sf "$(has promtool)" "$root/promtool"
        return
    fi
    has apt-get >/dev/null && has dpkg-deb >/dev/null || die "please install what Debian's package prometheus brings: promtool"
    say "fetching promtool, the checker of alert rules, into $root"
    fresh=$(mktemp -d)
    # Where the lists of packages are missing or old, they are fetched once.
    if ! (cd "$fresh" && apt-get -qq download prometheus >/dev/null 2>&1); then
        local as_root=()
        ((EUID == 0)) || as_root=(sudo)
        "${as_root[@]}" apt-get -qq -o DPkg::Lock::Timeout=300 update >&2
        (cd "$fresh" && apt-get -qq download prometheus >&2) || die "Debian's package prometheus could not be fetched"
    fi
    dpkg-deb --fsys-tarfile "$fresh"/prometheus_*.deb | tar -x -C "$fresh" ./usr/bin/promtool
    mv "$fresh/usr/bin/promtool" "$root/promtool"
    rm -rf "$fresh"
}

for_run() {
    rust
    need clamav-daemon has clamd
}

for_check() {
    rust
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
        die "rustfmt or clippy is missing: rustup component add rustfmt clippy"
    need python3-venv /usr/bin/python3 -c 'import venv, ensurepip'
}

for_test() {
    for_run
    need clamav-testfiles test -d /usr/share/clamav-testfiles
    need strace has strace
    # The server's programs: the tests start clusters of their own, and leave alone one that the package has started.
    need postgresql has_postgres
    need postgresql-client has psql
    need openssl has openssl
    # What garage's bundled libsodium is built with.
    need make has make
    need pkg-config has pkg-config
    need php-cli has php
    need php-curl php_has curl
    need php-google-protobuf test -e /usr/share/php/Google/Protobuf/Internal/Message.php
    # The generator of the PHP classes, of the same version as their library.
    need protobuf-compiler has protoc
    need libprotobuf-dev test -e /usr/include/google/protobuf/any.proto
    need python3-venv /usr/bin/python3 -c 'import venv, ensurepip'
}

purpose=${1:-}
[[ $purpose == run || $purpose == check || $purpose == test ]] || die "usage: setup/install.sh run|check|test"
"for_$purpose"
install_missing
if [[ $purpose != run ]]; then
    python_tools
fi
if [[ $purpose == test ]]; then
    rule_checker
    garage
fi
