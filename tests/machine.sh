#!/usr/bin/env bash
# Prints what this machine is. Tests that pass on one machine and fail on another differ in one of these lines.
here=$(cd "$(dirname "$0")" && pwd)
say() { printf '%-14s %s\n' "$1" "${2:-?}"; }
docker=${SEAWAY_DOCKER:-$([ -x /usr/bin/docker ] && echo /usr/bin/docker || echo docker)}
echo "== the machine ($(date -u +%FT%TZ))"
say system "$(. /etc/os-release 2>/dev/null && echo "$PRETTY_NAME"), user $(id -u)"
say kernel "$(uname -rm)"
say cores "$(nproc), load $(cut -d' ' -f1-3 /proc/loadavg)"
say memory "$(awk '/MemTotal|MemAvailable|SwapTotal/ {printf "%s %.1f GiB  ", $1, $2 / 1048576}' /proc/meminfo)"
say limits "$(ulimit -n) files, $(ulimit -u) processes, $(cat /proc/sys/kernel/pid_max) pids"
for folder in "$here" "${TMPDIR:-/tmp}" /var/lib "$HOME"; do say disk "$(df -h --output=source,fstype,size,used,avail,pcent,target "$folder" | tail -1)"; done
say cgroup "$([ -e /sys/fs/cgroup/cgroup.controllers ] && echo "version 2: $(cat /sys/fs/cgroup/cgroup.controllers)" || echo 'version 1 or hybrid')"
say "own cgroup" "$(tr '\n' ' ' </proc/self/cgroup)"
grep -E ' - cgroup2? ' /proc/self/mountinfo | awk '{print "cgroup mount   " $5, $6}'
say "IPv6" "$(cat /proc/sys/net/ipv6/conf/all/disable_ipv6 2>/dev/null | sed 's/0/on/;s/1/off/')"
say addresses "$(hostname -I 2>/dev/null)"
say rust "$(rustc --version 2>/dev/null), $(cargo nextest --version 2>/dev/null | head -1 || true)"
say python "$(python3 --version 2>/dev/null)"
for program in git git-lfs ssh wrk mmdebstrap docker-compose systemd-analyze; do
    say "$program" "$(command -v "$program" >/dev/null && { case $program in
        git) git --version ;; ssh) ssh -V 2>&1 ;; *) command -v "$program" ;; esac; } || echo 'not there yet')"
done
say iptables "$(PATH=$PATH:/usr/sbin iptables -V 2>/dev/null)"
say postgresql "$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tr '\n' ' ')"
say "docker client" "$("$docker" --version 2>/dev/null)"
if timeout 10 "$docker" version >/dev/null 2>&1; then
    "$docker" info --format 'docker engine  {{.ServerVersion}}, storage {{.Driver}}, cgroup driver {{.CgroupDriver}} version {{.CgroupVersion}}, {{.Containers}} containers, {{.Images}} images, root {{.DockerRootDir}}, live restore {{.LiveRestoreEnabled}}' 2>/dev/null
    "$docker" system df 2>/dev/null | sed 's/^/               /'
else
    say "docker engine" "does not answer yet"
fi
