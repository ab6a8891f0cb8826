#!/usr/bin/env bash
# A cluster on one machine, to try it: three lhfile nodes, PostgreSQL, three garage nodes, two clamd.
#
#   examples/cluster/cluster.sh up [FOLDER]       starts all of it; the data in FOLDER, /tmp/lhfile-cluster
#                                                 unless told
#   examples/cluster/cluster.sh status [FOLDER]   what runs
#   examples/cluster/cluster.sh down [FOLDER]     ends all of it; the data stays
#
# Everything listens on 127.0.0.1 to 127.0.0.3 alone. `setup/install.sh test` installs PostgreSQL, clamd and garage;
# `make build` makes lhfile. For a real one see README.md beside this file.
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
task=${1:-}
# Below /tmp, where Debian's AppArmor profile lets clamd have its socket, and the user postgres may enter.
root=${2:-/tmp/lhfile-cluster}
cache=${LHFILE_CACHE:-$HOME/.cache/lhfile}
nodes=(1 2 3)
scanners=(1 2)

say() { echo "cluster: $*"; }
die() { say "$*" >&2; exit 1; }

# first PATTERN...: the first file there is of these, or what PATH finds under that name.
first() {
    local name
    for name in "$@"; do
        if [[ -x $name ]]; then echo "$name"; return; fi
        if command -v "$name"; then return; fi
    done
    return 1
}

programs() {
    lhfile=$(first "${LHFILE:-}" "$here/target/release/lhfile" lhfile) || die "lhfile is not built: run \`make build\`"
    garage=$(first garage "$cache"/garage-*/bin/garage) || die "garage is not there: run \`setup/install.sh test\`"
    clamd=$(first clamd /usr/sbin/clamd) || die "clamd is not there: apt-get install clamav-daemon"
    postgres=$(first /usr/lib/postgresql/*/bin/postgres postgres) || die "PostgreSQL is not there: apt-get install postgresql"
    psql=$(dirname "$postgres")/psql
}

# PostgreSQL refuses to run as root.
as_postgres=()
if [[ $(id -u) == 0 ]]; then as_postgres=(setpriv --reuid postgres --regid postgres --clear-groups --); fi

runs() { [[ -f $1 ]] && kill -0 "$(cat "$1")" 2>/dev/null; }

# start NAME COMMAND...: in the background, unless it runs; its output in NAME.log, its process id in NAME.pid.
start() {
    local name=$1
    shift
    if runs "$root/$name.pid"; then return; fi
    setsid "$@" >>"$root/$name.log" 2>&1 </dev/null &
    echo $! >"$root/$name.pid"
}

# wait_for WHAT COMMAND...: until it succeeds.
wait_for() {
    local what=$1 i
    shift
    for ((i = 0; i < 300; i++)); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.2
    done
    die "$what is not ready after a minute: its log is in $root"
}

# secret NAME BYTES: a random secret in hex, made once.
secret() {
    local file=$root/$1.secret
    if [[ ! -s $file ]]; then (umask 077; openssl rand -hex "$2" >"$file"); fi
    cat "$file"
}

up_postgres() {
    local data=$root/postgres
    if [[ ! -d $data/base ]]; then
        mkdir -p "$data"
        chmod 700 "$data"
        (umask 077; secret postgres 16 >"$root/initial")
        if [[ $(id -u) == 0 ]]; then chown postgres "$data" "$root/initial"; fi
        "${as_postgres[@]}" "$(dirname "$postgres")/initdb" -D "$data" -U lhfile -E UTF8 --locale=C.UTF-8 \
            --auth=scram-sha-256 --pwfile="$root/initial" >"$root/initdb.log"
        rm "$root/initial"
    fi
    start postgres "${as_postgres[@]}" "$postgres" -D "$data" -p 55432 -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories="$data"
    export PGPASSWORD
    PGPASSWORD=$(secret postgres 16)
    local ask=("$psql" -h 127.0.0.1 -p 55432 -U lhfile -d postgres -qtA -c)
    wait_for PostgreSQL "${ask[@]}" "SELECT 1"
    if [[ -z $("${ask[@]}" "SELECT 1 FROM pg_database WHERE datname = 'lhfile'") ]]; then
        "${ask[@]}" "CREATE DATABASE lhfile"
    fi
}

of_garage() { "$garage" -c "$root/garage$1.toml" "${@:2}"; }

up_garage() {
    local n id
    for n in "${nodes[@]}"; do
        cat >"$root/garage$n.toml" <<TOML
metadata_dir = "$root/garage$n/meta"
data_dir = "$root/garage$n/data"
db_engine = "sqlite"
replication_factor = 3
rpc_bind_addr = "127.0.0.$n:3901"
rpc_public_addr = "127.0.0.$n:3901"
rpc_secret = "$(secret garage 32)"
[s3_api]
s3_region = "garage"
api_bind_addr = "127.0.0.$n:3900"
TOML
        chmod 600 "$root/garage$n.toml"
        start "garage$n" "$(type -P env)" RUST_LOG=warn "$garage" -c "$root/garage$n.toml" server
    done
    for n in "${nodes[@]}"; do wait_for "garage $n" of_garage "$n" status; done
    if [[ -f $root/garage.done ]]; then return; fi
    for n in "${nodes[@]}"; do
        id=$(of_garage "$n" node id -q)
        of_garage 1 node connect "$id" >>"$root/garage.log" 2>&1
        of_garage 1 layout assign -z "zone$n" -c 1G "${id%%@*}" >>"$root/garage.log" 2>&1
    done
    of_garage 1 layout apply --version 1 >>"$root/garage.log"
    wait_for "garage's layout" of_garage 1 bucket list
    of_garage 1 key import --yes -n lhfile "GK$(secret s3id 12)" "$(secret s3key 32)" >>"$root/garage.log"
    of_garage 1 bucket create lhfile >>"$root/garage.log"
    of_garage 1 bucket allow --read --write lhfile --key lhfile >>"$root/garage.log"
    touch "$root/garage.done"
}

up_clamd() {
    local n signatures=/var/lib/clamav
    if ! compgen -G "$signatures/main.c?d" >/dev/null; then
        say "no real signatures in $signatures: clamd finds the EICAR test file and nothing else; run \`freshclam\`"
        signatures=$root/signatures
        mkdir -p "$signatures"
        echo "44d88612fea8a8f36de82e1278abb02f:68:Eicar-Test" >"$signatures/test.hdb"
    fi
    for n in "${scanners[@]}"; do
        mkdir -p "$root/clamd$n"
        cat >"$root/clamd$n.conf" <<CONF
Foreground yes
LogFile $root/clamd$n.clamd.log
DatabaseDirectory $signatures
TemporaryDirectory $root/clamd$n
LocalSocket $root/clamd$n/sock
FixStaleSocket yes
MaxThreads 2
# What node.toml declares.
StreamMaxLength 25M
MaxFileSize 25M
MaxScanSize 100M
MaxFiles 10000
MaxRecursion 17
AlertExceedsMax yes
AlertEncrypted yes
CONF
        start "clamd$n" "$clamd" --config-file="$root/clamd$n.conf"
    done
    for n in "${scanners[@]}"; do wait_for "clamd $n" test -S "$root/clamd$n/sock"; done
}

up_nodes() {
    local n
    secret nodes 32 >/dev/null
    for n in "${nodes[@]}"; do
        cat >"$root/node$n.toml" <<TOML
listen = "127.0.0.$n:50051"
metrics_listen = "127.0.0.$n:50052"
data_dir = "$root/node$n"
secret_file = "$root/nodes.secret"
database_url = "postgres://lhfile:$(secret postgres 16)@127.0.0.1:55432/lhfile"
blob_url = "s3://lhfile/files"

[s3]
endpoint = "http://127.0.0.$n:3900"
region = "garage"
access_key_id = "GK$(secret s3id 12)"
secret_access_key = "$(secret s3key 32)"
path_style = true

[scanner]
mode = "external"
address = "unix:$root/clamd1/sock, unix:$root/clamd2/sock"

[scanner.limits]
threads = 2
TOML
        chmod 600 "$root/node$n.toml"
        start "node$n" "$lhfile" serve --config "$root/node$n.toml"
    done
    for n in "${nodes[@]}"; do wait_for "node $n" grep -q ' ready on ' "$root/node$n.log"; done
}

up() {
    programs
    mkdir -p "$root"
    root=$(cd "$root" && pwd)
    chmod 711 "$root"
    "${as_postgres[@]}" test -x "$root" || die "the user postgres cannot enter $root: name another folder"
    say "PostgreSQL on 127.0.0.1:55432"
    up_postgres
    say "garage on 127.0.0.1 to 3, port 3900"
    up_garage
    say "clamd, two of them"
    up_clamd
    say "lhfile on 127.0.0.1 to 3, port 50051"
    up_nodes
    cat <<TEXT

Any node serves any call:
  export PATH=$(dirname "$lhfile"):\$PATH
  export LHFILE_TOKEN=\$(lhfile token --service me --permission '*' --chat '*' --config $root/node1.toml)
  lhfile chat put 42 --status active --addr 127.0.0.1:50051
  lhfile upload $here/tests/samples/sample.pdf --chat 42 --addr 127.0.0.2:50051
  lhfile ls --chat 42 --addr 127.0.0.3:50051
Logs and configurations are in $root; \`$0 down $root\` ends it.
TEXT
}

names=()
for n in "${nodes[@]}"; do names+=("node$n"); done
for n in "${scanners[@]}"; do names+=("clamd$n"); done
for n in "${nodes[@]}"; do names+=("garage$n"); done
names+=(postgres)

status() {
    local name
    for name in "${names[@]}"; do
        if runs "$root/$name.pid"; then echo "$name runs, process $(cat "$root/$name.pid")"; else echo "$name does not run"; fi
    done
}

# The nodes first: they finish what they have begun.
down() {
    local name i
    for name in "${names[@]}"; do
        if ! runs "$root/$name.pid"; then continue; fi
        # PostgreSQL: its fast shutdown.
        kill -s "$([[ $name == postgres ]] && echo INT || echo TERM)" -- "-$(cat "$root/$name.pid")"
        for ((i = 0; i < 200; i++)); do
            runs "$root/$name.pid" || break
            sleep 0.2
        done
        rm -f "$root/$name.pid"
        say "$name has ended"
    done
}

case $task in
    up | status | down) "$task" ;;
    *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
