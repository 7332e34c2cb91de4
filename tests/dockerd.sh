#!/usr/bin/env bash
# Makes sure that a Docker daemon answers; starts one in the background when none does. Needs root to start one.
# `dockerd.sh`          start if needed and wait until it is ready
# `dockerd.sh restart`  stop the daemon that this script started (containers stop as well) and start it again
set -euo pipefail

docker=${SEAWAY_DOCKER:-$([ -x /usr/bin/docker ] && echo /usr/bin/docker || echo docker)}
state=${SEAWAY_DOCKERD_STATE:-/var/lib/seaway-dockerd}
log=$state/dockerd.log
pid_file=/var/run/docker.pid
READY_SECONDS_MAX=60

answers() { timeout 10 "$docker" version --format '{{.Server.Version}}' >/dev/null 2>&1; }

start_with() {
    local driver=$1 options=()
    [ -n "$driver" ] && options+=(--storage-driver "$driver")
    # Loopback is where the tests keep their outside systems; nothing else may be plain.
    setsid nohup dockerd "${options[@]}" --log-level warn --shutdown-timeout 10 >>"$log" 2>&1 9>&- </dev/null &
    local pid=$! deadline=$((SECONDS + READY_SECONDS_MAX))
    while ((SECONDS < deadline)); do
        answers && return 0
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.2
    done
    return 1
}

stop() {
    [ -s "$pid_file" ] || return 0
    local pid
    pid=$(cat "$pid_file")
    kill -TERM "$pid" 2>/dev/null || return 0
    local deadline=$((SECONDS + READY_SECONDS_MAX))
    while kill -0 "$pid" 2>/dev/null && ((SECONDS < deadline)); do sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
}

[ "${1:-}" = restart ] || { answers && exit 0; }

if [ "$(id -u)" != 0 ] || ! command -v dockerd >/dev/null; then
    echo "No Docker daemon answers. Install and start Docker (Debian: apt-get install docker.io), then try again." >&2
    exit 1
fi
mkdir -p "$state"
exec 9>"$state/lock"
flock 9
[ "${1:-}" = restart ] && stop
answers && exit 0
# A stale pid file of a machine that was cut off would stop the start.
if [ -s "$pid_file" ] && ! kill -0 "$(cat "$pid_file")" 2>/dev/null; then rm -f "$pid_file"; fi

: >"$log"
for driver in "" overlay2 fuse-overlayfs vfs; do
    start_with "$driver" && exit 0
done
echo "The Docker daemon did not start within $READY_SECONDS_MAX s. Its last words ($log):" >&2
tail -20 "$log" >&2
exit 1
