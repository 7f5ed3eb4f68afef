# shellcheck shell=bash
# Functions that scripts/check and scripts/demo share: Debian packages, building, installing, a private server.
# Sourced by bash scripts running under `set -euo pipefail`; sets VECANN_ROOT, extends PATH and fixes the locale.
#
# Invariants: the machine's own PostgreSQL clusters, services and settings stay as they are; every server started here
# lives in one folder and listens on a Unix socket in it only. Nothing here needs /proc (so no process substitution:
# a bare debootstrap has no /dev/fd either).
#
#   VECANN_ROOT      the clone
#   PG_CONFIG        may be set by the caller to use another server than Debian's
#   PG_MAJOR         may be set to choose among Debian's servers
#   VECANN_SKIP_PACKAGES=1  never install packages, trust that all is there

VECANN_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# A bare system has no other UTF-8 locale, and messages must not depend on the caller's.
export PATH LC_ALL=C.UTF-8 LANG=C.UTF-8
unset LANGUAGE PGHOST PGHOSTADDR PGPORT PGUSER PGDATABASE PGOPTIONS PGSERVICE PGDATA

# ---- talking -----------------------------------------------------------------

# say TEXT: a headline.
say() {
    printf '\n==> %s\n' "$*"
}

# warn TEXT: something the reader should know, not fatal.
warn() {
    printf 'warning: %s\n' "$*" >&2
}

# fail TEXT: prints the reason and ends the script.
fail() {
    printf '\nerror: %s\n' "$*" >&2
    exit 1
}

# ---- the system --------------------------------------------------------------

is_root() {
    [ "$(id -u)" -eq 0 ]
}

# as_root CMD...: runs a command as root, through sudo where the caller is not root.
as_root() {
    if is_root; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        fail "this step needs root, and there is no sudo; as root, run: $*"
    fi
}

# os_field KEY: a field of /etc/os-release ("ID", "VERSION_ID"); empty when unknown.
os_field() {
    if [ -r /etc/os-release ]; then
        sed -n "s/^$1=\"\\{0,1\\}\\([^\"]*\\)\"\\{0,1\\}\$/\\1/p" /etc/os-release
    fi
}

# ensure_proc: mounts /proc for the run of this script where there is none (a bare chroot) and unmounts it at the end.
# The address sanitizer and the test that counts threads need it; the rest does not.
ensure_proc() {
    [ -e /proc/self/stat ] && return 0
    if is_root && mount -t proc proc /proc 2>/dev/null; then
        echo "There is no /proc here: mounted one until this script ends."
        at_exit 'umount /proc 2>/dev/null || umount -l /proc 2>/dev/null || true'
    else
        warn "there is no /proc and it cannot be mounted: tests that need it are skipped"
    fi
}

# at_exit CMD: runs CMD when the script ends, however it ends; the latest one first.
VECANN_AT_EXIT=
at_exit() {
    VECANN_AT_EXIT="$1; $VECANN_AT_EXIT"
    trap 'vecann_status=$?; set +e; eval "$VECANN_AT_EXIT"; exit $vecann_status' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
}

# jobs_count: how many compilers to run at a time: one per core, and no more than one per GB of free memory.
jobs_count() {
    local cores memory
    cores=$(nproc 2>/dev/null || echo 1)
    memory=$(awk '/^MemAvailable:/ {print int($2 / 1048576)}' /proc/meminfo 2>/dev/null || true)
    if [ -n "$memory" ] && [ "$memory" -lt "$cores" ]; then cores=$((memory > 0 ? memory : 1)); fi
    echo "$cores"
}

# ---- packages ----------------------------------------------------------------

# has_package PKG: is it installed?
has_package() {
    case $(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null || true) in
        ii*) return 0 ;;
        *) return 1 ;;
    esac
}

# has_candidate PKG: do the package lists offer it?
has_candidate() {
    apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [^(]'
}

# The part of an installation that runs as root: $1 is "server" when a PostgreSQL server is among the packages, the rest
# are packages. While a server package is being installed, a drop-in tells postgresql-common to create no cluster and
# policy-rc.d keeps services from starting. Both exist for the time of the installation only; a policy-rc.d that the
# machine has stays in charge.
# shellcheck disable=SC2016
VECANN_INSTALL_SCRIPT='
set -eu
kind=$1
shift
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
policy=/usr/sbin/policy-rc.d
common=/etc/postgresql-common
dropin=$common/createcluster.d/vecann-temporary.conf
made_policy= made_dirs=
cleanup() {
    if [ -n "$made_policy" ]; then rm -f "$policy"; fi
    if [ "$kind" = server ]; then
        rm -f "$dropin"
        for d in $made_dirs; do rmdir "$d" 2>/dev/null || true; done
    fi
}
trap cleanup EXIT
trap "exit 130" INT
trap "exit 143" TERM HUP
if [ "$kind" = server ]; then
    if [ -e "$common/createcluster.conf" ] && ! grep -q "^include_dir.*createcluster\.d" "$common/createcluster.conf" &&
        ! grep -Eq "^create_main_cluster *= *(false|off|no|0)" "$common/createcluster.conf"; then
        echo "error: $common/createcluster.conf lets the server package create a cluster and does not read" >&2
        echo "createcluster.d, so this script cannot prevent it. Install the packages yourself: $*" >&2
        exit 1
    fi
    for d in "$common" "$common/createcluster.d"; do
        if [ ! -d "$d" ]; then mkdir "$d"; made_dirs="$d $made_dirs"; fi
    done
    echo "create_main_cluster = false" > "$dropin"
    # one that an interrupted run left behind goes
    if [ -e "$policy" ] && grep -q "^# vecann-temporary" "$policy"; then rm -f "$policy"; fi
    if [ ! -e "$policy" ]; then
        made_policy=yes
        printf "#!/bin/sh\n# vecann-temporary: no service starts while packages are installed\nexit 101\n" > "$policy"
        chmod 755 "$policy"
    fi
fi
apt_install() {
    apt-get install -y -q --no-install-recommends -o Dpkg::Use-Pty=0 "$@"
}
update() {
    echo "updating the package lists"
    apt-get update -q || { echo "error: apt-get update failed: no network or no package source?" >&2; exit 1; }
}
updated=
for p in "$@"; do
    if ! apt-cache policy "$p" 2>/dev/null | grep -q "^  Candidate: [^(]"; then
        update
        updated=yes
        break
    fi
done
if ! apt_install "$@"; then
    if [ -n "$updated" ]; then exit 1; fi
    echo "the package lists may be out of date"
    update
    apt_install "$@"
fi
'

# require_packages REASON PKG...: Debian only. Says which packages are missing and why, and installs them.
require_packages() {
    local reason=$1 missing=() kind=plain p log
    shift
    [ -z "${VECANN_SKIP_PACKAGES:-}" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        fail "this is not Debian. Install what these packages hold ($*), set PG_CONFIG and VECANN_SKIP_PACKAGES=1"
    fi
    for p in "$@"; do
        has_package "$p" || missing+=("$p")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing Debian packages $reason"
    printf '    %s\n' "${missing[@]}"
    for p in "${missing[@]}"; do
        case $p in postgresql | postgresql-[0-9]*) kind=server ;; esac
    done
    if [ $kind = server ]; then
        echo "    (the server package is kept from creating or starting a cluster of its own)"
    fi
    log=$(mktemp "${TMPDIR:-/tmp}/vecann-apt.XXXXXX")
    if ! as_root bash -c "$VECANN_INSTALL_SCRIPT" vecann-install $kind "${missing[@]}" </dev/null >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        fail "could not install: ${missing[*]} (whole log: $log)"
    fi
    rm -f "$log"
}

# ---- PostgreSQL --------------------------------------------------------------

# pg_major: the server's major version: that of PG_CONFIG, or PG_MAJOR, or the one this Debian ships.
pg_major() {
    if [ -n "${PG_CONFIG:-}" ]; then
        "$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/'
    elif [ -n "${PG_MAJOR:-}" ]; then
        echo "$PG_MAJOR"
    else
        case $(os_field ID)-$(os_field VERSION_ID) in
            debian-12) echo 15 ;;
            debian-13) echo 17 ;;
            *) fail "which PostgreSQL? This is neither Debian 12 nor 13: set PG_MAJOR or PG_CONFIG" ;;
        esac
    fi
}

# use_pg: sets and exports PG_CONFIG; call it once the server packages are there.
use_pg() {
    PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/$(pg_major)/bin/pg_config}
    export PG_CONFIG
    [ -x "$PG_CONFIG" ] || fail "no $PG_CONFIG: is postgresql-server-dev-$(pg_major) installed?"
}

# pg_bin: the folder of initdb, pg_ctl and psql.
pg_bin() {
    use_pg
    "$PG_CONFIG" --bindir
}

# private_postgres DIR: copies the server of PG_CONFIG into DIR, at the same paths below it, and makes PG_CONFIG point
# there (some 50 MB; PostgreSQL finds its files relative to its programs). Tests then leave the machine's installation
# alone: `install_vecann DESTDIR=DIR` with the PG_CONFIG of before fills it. All users may read it.
private_postgres() {
    use_pg
    local dir=$1 p
    for p in bindir pkglibdir sharedir; do
        p=$("$PG_CONFIG" --$p)
        mkdir -p "$dir$p"
        tar -C "$p" --exclude='vecann*' -cf - . | tar -C "$dir$p" -xpf -
    done
    if [ -d "$("$PG_CONFIG" --includedir)" ]; then
        mkdir -p "$dir$(dirname "$("$PG_CONFIG" --includedir)")"
        ln -s "$("$PG_CONFIG" --includedir)" "$dir$("$PG_CONFIG" --includedir)"
    fi
    chmod 755 "$dir"
    PG_CONFIG=$dir$("$PG_CONFIG" --bindir)/pg_config
    export PG_CONFIG
}

# server_user: who runs servers. The server refuses root, so root uses the account that Debian's package makes.
server_user() {
    if is_root; then echo postgres; else id -un; fi
}

# as_server_user CMD...: runs a command as the user who runs servers, in /: name files by absolute paths.
as_server_user() {
    if ! is_root; then
        (cd / && "$@")
        return
    fi
    local home
    home=$(getent passwd postgres | cut -d: -f6)
    [ -n "$home" ] || fail "there is no user postgres: is the server package installed?"
    if command -v runuser >/dev/null 2>&1; then
        (cd / && HOME=$home USER=postgres LOGNAME=postgres runuser -u postgres -- "$@")
    else
        (cd / && HOME=$home USER=postgres LOGNAME=postgres \
            setpriv --reuid postgres --regid postgres --init-groups -- "$@")
    fi
}

# server_dir DIR: makes the folder, owned by the user who runs servers and closed to others.
server_dir() {
    mkdir -p "$1"
    if is_root; then chown postgres: "$1"; fi
    chmod 700 "$1"
    as_server_user test -w "$1" ||
        fail "$(server_user) cannot reach $1: one of the folders above it is closed; set TMPDIR to another place"
}

# scratch_dir NAME: a new folder for servers and test output; prints its path. The caller removes it.
scratch_dir() {
    local dir
    dir=$(mktemp -d "${TMPDIR:-/tmp}/vecann-$1.XXXXXX")
    server_dir "$dir" >&2
    echo "$dir"
}

# ---- building ----------------------------------------------------------------

# build_vecann [MAKE ARGS]: builds in the clone, on all cores; with CHECK=1 warnings are errors.
build_vecann() {
    use_pg
    make -C "${VECANN_SOURCE:-$VECANN_ROOT}" --no-print-directory -j"$(jobs_count)" PG_CONFIG="$PG_CONFIG" \
        ${CHECK:+WERROR=1} "$@" </dev/null
}

# install_vecann [MAKE ARGS]: copies the built library and the SQL scripts into the server's folders (below DESTDIR, where
# one is given).
install_vecann() {
    use_pg
    local lib share arg destdir=
    for arg in "$@"; do
        case $arg in DESTDIR=*) destdir=${arg#DESTDIR=} ;; esac
    done
    lib=$destdir$("$PG_CONFIG" --pkglibdir)
    share=$destdir$("$PG_CONFIG" --sharedir)/extension
    if [ -w "$lib" ] && [ -w "$share" ]; then
        make -C "${VECANN_SOURCE:-$VECANN_ROOT}" --no-print-directory PG_CONFIG="$PG_CONFIG" install "$@" </dev/null
    else
        echo "$lib is not writable for $(id -un): installing as root"
        as_root make -C "${VECANN_SOURCE:-$VECANN_ROOT}" --no-print-directory PG_CONFIG="$PG_CONFIG" \
            install "$@" </dev/null
    fi
}

# ---- a private server ----------------------------------------------------------

# The socket has the folder to itself, so any number is free; this one is nobody's default.
VECANN_PORT=54320

# start_private_server DIR [CONF LINE...]: a server that lives in DIR alone: data in DIR/data (made when missing, with
# checksums), log in DIR/log, and a socket in DIR. Conf lines look like "work_mem = '64MB'" and hold until the next
# start. A running server is restarted. Exports PGHOST, PGPORT, PGUSER and PGDATABASE for psql and other clients.
start_private_server() {
    local dir=$1 bin socket conf
    shift
    bin=$(pg_bin)
    server_dir "$dir"
    if ! as_server_user test -e "$dir/data/PG_VERSION"; then
        as_server_user "$bin/initdb" -D "$dir/data" -U postgres -A trust --data-checksums --no-sync -E UTF8 \
            --locale=C.UTF-8 --lc-messages=C --no-instructions >"$dir/initdb.log" 2>&1 </dev/null ||
            { tail -n 20 "$dir/initdb.log" >&2; fail "initdb failed"; }
        as_server_user sh -c "echo \"include '../server.conf'\" >> '$dir/data/postgresql.conf'"
    else
        stop_private_server "$dir"
    fi
    # a socket's path holds 107 bytes
    socket=$dir
    if [ $((${#dir} + 16)) -gt 107 ]; then
        socket=$(mktemp -d /tmp/vecann-socket.XXXXXX)
        server_dir "$socket"
        as_server_user sh -c "echo '$socket' > '$dir/socket_dir'"
    fi
    conf=$(printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$socket'" "port = $VECANN_PORT" "$@")
    printf '%s\n' "$conf" | as_server_user sh -c "cat > '$dir/server.conf'"
    if ! as_server_user "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -s start </dev/null; then
        tail -n 20 "$dir/log" >&2 || true
        fail "the private server in $dir did not start (log: $dir/log)"
    fi
    export PGHOST=$socket PGPORT=$VECANN_PORT PGUSER=postgres PGDATABASE=postgres
}

# stop_private_server DIR: stops it if it runs; the data stay.
stop_private_server() {
    local dir=$1 bin socket
    bin=$(pg_bin)
    if as_server_user "$bin/pg_ctl" -D "$dir/data" status >/dev/null 2>&1; then
        as_server_user "$bin/pg_ctl" -D "$dir/data" -m fast -w -s stop </dev/null ||
            as_server_user "$bin/pg_ctl" -D "$dir/data" -m immediate -w -s stop </dev/null || true
    fi
    if [ -e "$dir/socket_dir" ]; then
        socket=$(cat "$dir/socket_dir")
        case $socket in /tmp/vecann-socket.*) rmdir "$socket" 2>/dev/null || true ;; esac
        rm -f "$dir/socket_dir"
    fi
}
