#!/usr/bin/env bash
# Checks the systemd units without systemd running: they parse, every setting is known, and they give away no more than agreed.
# That the verbs they start exist is a test of the crate seaway.
set -euo pipefail
cd "$(dirname "$0")/.."
# Exposure by `systemd-analyze security`, in tenths; less is better. Raise one only with a reason.
declare -A exposure_max=([seaway.service]=40 [seaway-ingress.service]=18)

command -v systemd-analyze >/dev/null || tests/setup.sh tools
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The program is not installed here; verify wants one that can be run.
for unit in "${!exposure_max[@]}"; do sed 's#=/usr/local/bin/seaway #=/bin/true #' "deploy/$unit" >"$work/$unit"; done

told=$(systemd-analyze verify --man=no "$work"/*.service 2>&1) || { echo "$told"; exit 1; }
# What it complains about without failing (an unknown setting, say) is an error here; units of the machine itself are not ours.
if grep -F "$work" <<<"$told"; then echo "the units have the defects above" >&2; exit 1; fi

# The ingress talks to the world: it may see neither the data folder, nor the settings with secrets, nor the Docker socket.
for line in User=seaway-ingress TemporaryFileSystem=/var/lib/seaway:ro BindPaths=/var/lib/seaway/ingress \
    'InaccessiblePaths=-/etc/seaway -/run/docker.sock -/run/containerd'; do
    grep -qxF -- "$line" deploy/seaway-ingress.service || { echo "deploy/seaway-ingress.service lacks: $line" >&2; exit 1; }
done
if grep -n 'EnvironmentFile=.*/seaway/environment' deploy/seaway-ingress.service; then echo "the ingress gets the secrets of the control plane" >&2; exit 1; fi

# Older systemd has no --offline; then only the checks above hold.
systemd-analyze security --help | grep -q offline || { echo "systemd-analyze cannot look offline: exposure not checked"; exit 0; }
for unit in "${!exposure_max[@]}"; do
    seen=$(systemd-analyze security --offline=true --threshold=100 "$work/$unit" | sed -n 's/.*Overall exposure level for .*: \([0-9]*\)\.\([0-9]\).*/\1\2/p')
    [ -n "$seen" ] || { echo "systemd-analyze told no exposure of $unit" >&2; exit 1; }
    if ((10#$seen > exposure_max[$unit])); then
        echo "$unit: exposure ${seen} is more than ${exposure_max[$unit]} (tenths); systemd-analyze security says why" >&2
        exit 1
    fi
    echo "$unit: exposure $((10#$seen / 10)).$((10#$seen % 10)), at most $((exposure_max[$unit] / 10)).$((exposure_max[$unit] % 10))"
done
