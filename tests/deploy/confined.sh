# shellcheck shell=bash
# To be sourced. Runs the program as its container does, without a container engine: as 65532, without capabilities, with
# nothing but its image's files around it, and those read-only. Needs root, for mounts.

user=65532
# What the final image has of libraries, as far as the program may want it: glibc and libgcc.
readonly image_libraries='^(linux-vdso|libc|libm|libgcc_s|ld-linux-.*)\.so'

# Lays out the files of the final image in a directory: the program and its libraries.
image() {
    local binary="$1" root="$2" library
    mkdir -p "$root"/usr/local/bin "$root"/var/lib/access-tokens "$root"/run/secrets/{keys,database,database-ca,tls} "$root"/{proc,etc,tmp}
    cp "$binary" "$root/usr/local/bin/access-tokens"
    while read -r library; do
        if ! [[ "$(basename "$library")" =~ $image_libraries ]]; then
            echo "the program wants $library, which the final image does not have" >&2
            return 1
        fi
        [ ! -e "$library" ] || cp --parents --dereference "$library" "$root"
    done < <(ldd "$binary" | sed -E 's/^\s*//; s/.* => //; s/ \(0x.*//')
    echo '127.0.0.1 localhost database' >"$root/etc/hosts"
    echo 'hosts: files' >"$root/etc/nsswitch.conf"
}

# Becomes the program, with the variables that are exported. The second argument is what it may write to, or nothing.
confined() {
    exec unshare --mount --propagation private -- bash -euc '
        root="$1" data="$2"
        shift 2
        mount --bind "$root" "$root"
        mount --rbind /proc "$root/proc"
        [ -z "$data" ] || mount --bind "$data" "$root/var/lib/access-tokens"
        mount -o remount,bind,ro,nosuid,nodev "$root"
        exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+setuid,+setgid,+sys_chroot,+dac_read_search \
            unshare --root "$root" --wd /var/lib/access-tokens --setgid '"$user"' --setuid '"$user"' \
            /usr/local/bin/access-tokens "$@"
    ' - "$@"
}

# Is the process what the manifests ask for?
is_confined() {
    local status="/proc/$1/status"
    grep -qE "^Uid:\s+$user\s+$user\s+$user\s+$user$" "$status" &&
        grep -qE '^Cap(Inh|Prm|Eff|Amb):\s+0*$' "$status" && ! grep -E '^Cap(Inh|Prm|Eff|Amb):' "$status" | grep -qvE '\s0+$' &&
        grep -qE '^NoNewPrivs:\s+1$' "$status" &&
        grep -qE ' / ro[, ]' "/proc/$1/mountinfo" || {
        echo "it is not confined:" >&2
        grep -E '^(Uid|Cap|NoNew)' "$status" >&2
        cat "/proc/$1/mountinfo" >&2
        return 1
    }
}

# Until the program with this process says what is expected of its health, a minute at most. Further arguments are those of
# `healthcheck`.
says() {
    local expected="$1" root="$2" process="$3" log="$4" end=$((SECONDS + 60)) said=""
    shift 4
    until [ "${said##* }" = "$expected" ]; do
        if [ "$SECONDS" -ge "$end" ] || ! kill -0 "$process" 2>/dev/null; then
            echo "it does not say $expected, but: $said" >&2
            cat "$log" >&2
            return 1
        fi
        sleep 0.1
        said="$( (confined "$root" "" healthcheck "$@" 2>/dev/null) || true)"
    done
}

# Ends with code 0 and in time, once it is asked to.
stops() {
    local code=0 start="$SECONDS"
    kill -TERM "$1"
    wait "$1" || code=$?
    if [ "$code" -ne 0 ] || [ $((SECONDS - start)) -gt 10 ]; then
        echo "it ended with code $code after $((SECONDS - start)) s" >&2
        return 1
    fi
}
