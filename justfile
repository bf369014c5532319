# Short names for the commands of this repository. Each recipe is one line; the work is done by scripts/, which need no `just`.

# Lists the recipes.
default:
    @just --list

# Starts the service with the demo organisation: gRPC on port 50051, HTTP on port 8080.
demo:
    cargo run --release -- serve --demo

# Runs the tests; arguments are those of `cargo test`.
test *arguments:
    scripts/test {{arguments}}

# Runs everything that a change must pass.
ci:
    .ci/run

# Formats code and contract.
format:
    cargo fmt --all && scripts/buf format --write --exclude-path proto/google --exclude-path proto/grpc

# Runs the linter of the code.
lint:
    cargo clippy --locked --workspace --all-targets -- -D warnings

# Runs buf, for example `just buf lint`.
buf *arguments:
    scripts/buf {{arguments}}

# Calls the demo with old clients, schemathesis and a browser.
clients:
    scripts/test-clients

# Checks manifests, alerts, dashboard, the image and the guide of the first production hour. Needs root.
deploy:
    scripts/test-deploy

# Builds and runs the image. Needs root.
image *arguments:
    scripts/test-image {{arguments}}

# Breaks the service on purpose, for example `just chaos ci`.
chaos *arguments:
    scripts/chaos {{arguments}}

# Runs the tests that work in rounds with more rounds.
soak *arguments:
    scripts/soak {{arguments}}

# Measures the service, for example `just bench compare`.
bench *arguments:
    scripts/bench {{arguments}}

# Fuzzes a target, for example `just fuzz dates 180`.
fuzz *arguments:
    scripts/fuzz {{arguments}}

# Writes the table of settings into docs/operations.md.
settings:
    scripts/settings-reference

# Makes the contract of today the baseline of `buf breaking`. Once for each release.
baseline:
    scripts/contract-baseline

# Checks that a release can be built, for example `just release check`.
release *arguments:
    scripts/release {{arguments}}
