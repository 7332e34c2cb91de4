#!/usr/bin/env bash
# Installs what the tests need and this machine lacks, starts a Docker daemon and makes the base images. Safe to repeat:
# a second run takes a second. On Debian as root it installs; elsewhere it says what is missing.
#
# `setup.sh run`     only what Seaway itself needs, and the daemon
# `setup.sh tools`   only the programs
# `setup.sh docker`  programs and daemon
# `setup.sh`         programs, daemon, images
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# program -> Debian package
declare -A needed=(
    [docker]=docker.io [git]=git [git-lfs]=git-lfs [ssh]=openssh-client [iptables]=iptables [setsid]=util-linux [cc]=gcc
)
[ "${1:-}" = run ] || needed+=(
    [dockerd]=docker.io [mmdebstrap]=mmdebstrap [sshd]=openssh-server [ssh-keygen]=openssh-client [wrk]=wrk [nginx]=nginx-light [haproxy]=haproxy [caddy]=caddy [python3]=python3
    [openssl]=openssl [pebble]=pebble [bc]=bc [pg_ctl]=postgresql [systemd-analyze]=systemd [docker-compose]=docker-compose [strip]=binutils
)

present() {
    case $1 in
    # PostgreSQL keeps its programs out of PATH.
    pg_ctl) command -v pg_ctl >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/pg_ctl' >/dev/null ;;
    *) command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] ;;
    esac
}

missing=()
for program in "${!needed[@]}"; do present "$program" || missing+=("${needed[$program]}"); done
if ((${#missing[@]} > 0)); then
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "Missing programs; install these packages (names of Debian): ${missing[*]}" >&2
        exit 1
    fi
    echo "installing: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Packages that start a service on installation must not do so here: the tests start their own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; trap 'rm -f "$policy"' EXIT
    fi
    for attempt in 1 2 3 4; do
        if apt-get update -qq >/tmp/seaway-apt.log 2>&1 &&
            apt-get install -y -qq --no-install-recommends "${missing[@]}" >>/tmp/seaway-apt.log 2>&1; then break; fi
        if [ "$attempt" = 4 ]; then tail -20 /tmp/seaway-apt.log >&2; echo "could not install: ${missing[*]}" >&2; exit 1; fi
        sleep $((attempt * 5))
    done
    for program in "${!needed[@]}"; do
        present "$program" || { echo "$program is still missing after the installation of ${needed[$program]}" >&2; exit 1; }
    done
fi
[ "${1:-}" = tools ] && exit 0

"$here/dockerd.sh"
case ${1:-} in run | docker) exit 0 ;; esac
(cd "$here/.." && python3 -m tests.leftovers)

"$here/images/build.sh"
