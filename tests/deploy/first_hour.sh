# shellcheck shell=bash
# To be sourced by scripts/test-deploy, whose variables and functions it uses.

# The first production hour of docs/operations.md, as it is printed: on a PostgreSQL with the defaults of Debian, and free ports.
first_hour() {
    local root="$PWD" place="$work/hour" ports=() instead=() printed
    command install -d "$place" "$place/bin"
    command install -d -o postgres -g postgres "$place/postgres"
    ln -s "$access_tokens" "$place/bin/access-tokens"
    ln -s "$promtool" "$(dirname "$promtool")/prometheus" "$place/bin/"
    read -r -a ports < <("$python" -c '
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(6)]
print(*(socket.getsockname()[1] for socket in held))')
    postgres initdb -D "$place/postgres/data" --auth-local=peer --auth-host=scram-sha-256 --no-sync >/dev/null
    postgres pg_ctl -D "$place/postgres/data" -w -l "$place/postgres/log" \
        -o "-p ${ports[0]} -h 127.0.0.1 -c unix_socket_directories=$place/postgres" start >/dev/null
    # Now, since the name is gone by then.
    trap "postgres pg_ctl -D '$place/postgres/data' -m immediate stop >/dev/null 2>&1 || true" EXIT
    for printed in 5432 50051 50061 8080 9090 9091; do
        instead+=(--instead ":$printed=:${ports[${#instead[@]} / 2]}")
    done
    command install -d "$place/work"
    (
        cd "$place/work"
        env -i HOME="$place/work" LANG=C.UTF-8 REPOSITORY="$root" POSTGRES_FOLDER="$place/postgres" POSTGRES_PORT="${ports[0]}" \
            PATH="$place/bin:$root/tests/deploy/stand-in:$root/tests/clients/stand-in:$tools/bin:$PATH" \
            "$python" "$root/tests/clients/recipes.py" "$root/docs/operations.md" --section "first hour" "${instead[@]}"
    )
}
