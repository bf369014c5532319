//! The circles of files that are not cut yet. This file only shrinks, and goes with its last entry.

/// Uses that close a circle: the first file uses the second one.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("crates/server/src/command/convert_hashes/json.rs", "crates/server/src/command/convert_hashes/input.rs"),
    ("crates/server/src/command/convert_hashes/keycloak.rs", "crates/server/src/command/convert_hashes/format.rs"),
    ("crates/server/src/command/convert_hashes/ldif.rs", "crates/server/src/command/convert_hashes/input.rs"),
    ("crates/server/src/command/convert_hashes/table.rs", "crates/server/src/command/convert_hashes/input.rs"),
    ("crates/server/src/command/import/run.rs", "crates/server/src/command/import/interruption.rs"),
    ("crates/server/src/command/import/run.rs", "crates/server/src/command/import/report.rs"),
    ("crates/server/src/command/keys/ring.rs", "crates/server/src/command/keys/need.rs"),
    ("crates/server/src/command/organisation.rs", "crates/server/src/command/context.rs"),
    ("crates/server/src/command/api_key/add.rs", "crates/server/src/command/api_key/mod.rs"),
    ("crates/server/src/command/api_key/add.rs", "crates/server/src/command/mod.rs"),
    ("crates/server/src/command/api_key/list.rs", "crates/server/src/command/api_key/mod.rs"),
    ("crates/server/src/command/completions.rs", "crates/server/src/command/mod.rs"),
    ("crates/server/src/command/convert_hashes/output.rs", "crates/server/src/command/convert_hashes/mod.rs"),
    ("crates/server/src/command/keys/need.rs", "crates/server/src/command/keys/mod.rs"),
    ("crates/server/src/command/keys/reencrypt.rs", "crates/server/src/command/keys/mod.rs"),
    ("crates/server/src/command/keys/withdraw.rs", "crates/server/src/command/keys/mod.rs"),
    ("crates/server/src/command/list.rs", "crates/server/src/command/mod.rs"),
    ("crates/server/src/command/man.rs", "crates/server/src/command/mod.rs"),
    ("crates/server/src/command/user.rs", "crates/server/src/command/mod.rs"),
];
