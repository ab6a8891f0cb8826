#!/bin/sh
# Runs buf, of one version, with the arguments given: `tests/tools/buf.sh lint proto`. Installs it once, from PyPI,
# outside the checkout: into $LHFILE_CACHE, by default ~/.cache/lhfile. Needs python3 with venv.
set -eu
version=1.75.0
home="${LHFILE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lhfile}/buf-$version"
if [ ! -x "$home/bin/buf" ]; then
    mkdir -p "$(dirname "$home")"
    # Built beside its place and moved at the end: an interrupted or a second, simultaneous run leaves nothing half.
    # buf is one static binary, so moving the folder does not hurt it.
    part=$(mktemp -d "$home.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    python3 -m venv "$part/venv" >&2
    "$part/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "buf-bin==$version" >&2
    mkdir -p "$home/bin"
    mv -f "$part/venv/bin/buf" "$home/bin/buf"
    rm -rf "$part"
    trap - EXIT
fi
exec "$home/bin/buf" "$@"
