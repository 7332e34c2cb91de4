#!/usr/bin/env bash
# Makes the base images that the sample apps build on, from Debian's packages: seaway-test/{base,node,python,rust};
# only when they are named: runtime, what deploy/Dockerfile puts Seaway into, and postgres, a database server that is started
# with the same variables as the well-known image (make image, make e2e-compose);
# and seaway-test/behave (tests/apps/behave), the app that misbehaves on demand, from two of them.
#
# `build.sh [NAME…]`  makes the named images (all when none is named). An image whose label carries the hash of its
# recipe and of the host's configuration is left as it is. Finished file systems are kept outside the tree, under
# ${SEAWAY_IMAGE_CACHE:-~/.cache/seaway-images}; that is a saving of time only, nothing depends on it.
#
# How this machine reaches its package registries (certificates, npm, pip and cargo settings, proxy variables) is copied
# into the images when they are made, so that `npm install` and its kin work inside a build; no such setting is in the tree.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
docker=${SEAWAY_DOCKER:-$([ -x /usr/bin/docker ] && echo /usr/bin/docker || echo docker)}
cache=${SEAWAY_IMAGE_CACHE:-$HOME/.cache/seaway-images}
suite=bookworm

packages_of() {
    case $1 in
    base) echo "ca-certificates netbase" ;;
    runtime) echo "ca-certificates netbase git git-lfs openssh-client iptables" ;;
    node) echo "ca-certificates netbase nodejs npm" ;;
    postgres-packages) echo "ca-certificates netbase postgresql" ;;
    python) echo "ca-certificates netbase python3 python3-pip python3-venv" ;;
    # The compiler that Debian keeps current beside its frozen one: crates of today do not compile with the latter.
    rust) echo "ca-certificates netbase cargo-web rustc-web gcc libc6-dev make" ;;
    *) echo "no image named $1" >&2 && return 1 ;;
    esac
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# --- how this host reaches the registries -----------------------------------------------------------------------------
host=$work/host
mkdir -p "$host/etc" "$host/root/.cargo" "$host/usr/local/share/ca-certificates"
cp -L /usr/local/share/ca-certificates/*.crt "$host/usr/local/share/ca-certificates/" 2>/dev/null || true
# Settings without credentials: a test image is no place for them.
without_credentials() { grep -viE '_auth|_password|token|^email' "$1" || true; }
for file in /etc/npmrc "$HOME/.npmrc"; do [ -f "$file" ] && without_credentials "$file" | grep -v '^nodedir' >>"$host/etc/npmrc"; done
for file in /etc/pip.conf "$HOME/.pip/pip.conf" "$HOME/.config/pip/pip.conf"; do [ -f "$file" ] && cat "$file" >>"$host/etc/pip.conf"; done
for file in "${CARGO_HOME:-$HOME/.cargo}/config.toml" "${CARGO_HOME:-$HOME/.cargo}/config"; do
    [ -f "$file" ] && without_credentials "$file" >"$host/root/.cargo/config.toml" && break
done
bundle=/etc/ssl/certs/ca-certificates.crt
changes=(
    "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    "ENV NODE_EXTRA_CA_CERTS=$bundle" "ENV SSL_CERT_FILE=$bundle" "ENV REQUESTS_CA_BUNDLE=$bundle" "ENV CARGO_HTTP_CAINFO=$bundle"
    "ENV NPM_CONFIG_GLOBALCONFIG=/etc/npmrc" "ENV PIP_BREAK_SYSTEM_PACKAGES=1" "ENV PIP_DISABLE_PIP_VERSION_CHECK=1"
    "ENV PIP_ROOT_USER_ACTION=ignore"
)
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_DEFAULT_TIMEOUT NPM_CONFIG_REGISTRY npm_config_registry \
    HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
    [ -n "${!name:-}" ] && changes+=("ENV $name=${!name}")
done
host_hash=$( (cd "$host" && find . -type f -exec sha256sum {} + | sort; printf '%s\n' "${changes[@]}") | sha256sum | cut -c1-12)

# --- one image --------------------------------------------------------------------------------------------------------
sources=()
if [ -s /etc/apt/sources.list.d/debian.sources ]; then sources=(/etc/apt/sources.list.d/debian.sources)
elif grep -qs " $suite " /etc/apt/sources.list; then sources=(/etc/apt/sources.list); fi
# How this host's apt reaches the archive (proxy, time checks).
apt-config dump | grep -E '^Acquire::(Check|http::|https::|Retries)' >"$work/apt.conf" || true

file_system() { # NAME FILE
    mmdebstrap --quiet --variant=minbase --include="$(packages_of "$1" | tr ' ' ,)" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --aptopt="$work/apt.conf" --aptopt='APT::Install-Recommends "0"' \
        --customize-hook="copy-in '$host/usr/local/share/ca-certificates' /usr/local/share" \
        --customize-hook='chroot "$1" update-ca-certificates >/dev/null 2>&1' \
        --customize-hook="cp -rT '$host/etc' \"\$1/etc\"; cp -rT '$host/root' \"\$1/root\"" \
        --customize-hook='chroot "$1" useradd --uid 10001 --create-home --shell /usr/sbin/nologin app' \
        --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/log/* "$1"/etc/apt/sources.list.d/*; : > "$1/etc/apt/sources.list"' \
        "$suite" "$2" "${sources[@]}"
}

behave() {
    local hash context=$work/behave
    hash=$(cat <(declare -f behave) "$here/../apps/behave/behave.rs" | sha256sum | cut -c1-12)
    [ "$("$docker" image inspect --format '{{index .Config.Labels "seaway-test.hash"}}' seaway-test/behave 2>/dev/null)" = "$hash" ] && return
    mkdir -p "$context"
    cp "$here/../apps/behave/behave.rs" "$context"
    cat >"$context/Dockerfile" <<'END'
FROM seaway-test/rust AS build
COPY behave.rs /
RUN rustc --edition 2024 -O -C target-feature=+crt-static -C strip=symbols -o /behave /behave.rs
FROM seaway-test/base
COPY --from=build /behave /usr/local/bin/behave
CMD ["behave"]
END
    "$docker" build --quiet --label "seaway-test.hash=$hash" --tag seaway-test/behave "$context" >/dev/null
    echo "seaway-test/behave: built"
}

# The server's packages with a program that starts it.
postgres() {
    local hash context=$work/postgres
    hash=$(cat "$here/postgres-start" <("$docker" image inspect --format '{{.Id}}' seaway-test/postgres-packages) | sha256sum | cut -c1-12)
    [ "$("$docker" image inspect --format '{{index .Config.Labels "seaway-test.hash"}}' seaway-test/postgres 2>/dev/null)" = "$hash" ] && return
    mkdir -p "$context"
    cp "$here/postgres-start" "$context"
    cat >"$context/Dockerfile" <<'END'
FROM seaway-test/postgres-packages
COPY postgres-start /usr/local/bin/
ENTRYPOINT ["/usr/local/bin/postgres-start"]
CMD []
END
    "$docker" build --quiet --label "seaway-test.hash=$hash" --tag seaway-test/postgres "$context" >/dev/null
    echo "seaway-test/postgres: built"
}

for name in "${@:-base node python rust behave}"; do for name in $name; do
    [ "$name" = behave ] && { behave; continue; }
    [ "$name" = postgres ] && { "$here/build.sh" postgres-packages; postgres; continue; }
    # What the image is made of; an edit of the rest of this script does not make it anew.
    hash=$(declare -f file_system; packages_of "$name"; echo "$suite")
    hash=$(sha256sum <<<"$hash" | cut -c1-12)-$host_hash
    image=seaway-test/$name
    if [ "$("$docker" image inspect --format '{{index .Config.Labels "seaway-test.hash"}}' "$image" 2>/dev/null)" = "$hash" ]; then
        continue
    fi
    begin=$(date +%s.%N)
    archive=$cache/$name-$hash.tar
    from=cache
    if [ ! -s "$archive" ]; then
        from=packages
        mkdir -p "$cache"
        for attempt in 1 2 3; do
            if file_system "$name" "$archive.part.tar" 2>"$work/log"; then break; fi
            [ "$attempt" = 3 ] && { cat "$work/log" >&2; echo "could not make $image" >&2; exit 1; }
            sleep $((attempt * 3))
        done
        mv "$archive.part.tar" "$archive"
        find "$cache" -name "$name-*.tar" ! -name "$name-$hash.tar" -delete
    fi
    options=(--change "LABEL seaway-test.hash=$hash" --change 'CMD ["/bin/sh"]')
    for change in "${changes[@]}"; do options+=(--change "$change"); done
    before=$("$docker" image inspect --format '{{.Id}}' "$image" 2>/dev/null || true)
    "$docker" import "${options[@]}" "$archive" "$image" >/dev/null
    # The one that it replaces is nobody's now, unless something still stands on it.
    [ -z "$before" ] || "$docker" image rm "$before" >/dev/null 2>&1 || true
    printf '%s: made from %s in %.1f s, %s\n' "$image" "$from" "$(echo "$(date +%s.%N) - $begin" | bc)" \
        "$(numfmt --to=iec "$("$docker" image inspect --format '{{.Size}}' "$image")")"
done; done
