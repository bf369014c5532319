//! Conversion of exports in each format. Their hashes were made with the libraries of the products
//! (`tests/data/hashes/make.py`).

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use access_tokens_domain::ports::{HashQueue, HashWork, Secrets, Verdict};
use access_tokens_domain::secret::{PassCodeHash, Secret};
use access_tokens_host::SystemRandom;
use access_tokens_secrets::{KeyedSecrets, assess_foreign};
use access_tokens_testkit::keys::{RING_A, ring};

use super::conversion::Conversion;
use super::format::Format;
use super::output::strongest;
use super::row::{Entry, EntrySink};
use super::selection::{Join, Selection};
use crate::command::files;

const PASSWORD: &str = "pässword 0042";
const WORK: HashWork = HashWork { queue: HashQueue::Authenticated, share: 0 };
/// Maximum memory of a hash, in KiB, which suffices for all exports.
const LIMIT: u64 = 128 * 1_024;

macro_rules! export {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/hashes/", $name))
    };
}

/// Returns the result of each record: the value that identifies the owner, and the hash or the unsupported scheme.
fn converted(format: Format, join: Option<&str>, text: &str) -> Vec<(Option<String>, Option<Conversion>)> {
    converted_bytes(format, join, text.as_bytes().to_vec())
}

fn converted_bytes(format: Format, join: Option<&str>, bytes: Vec<u8>) -> Vec<(Option<String>, Option<Conversion>)> {
    let selection = selection(format, join);
    let mut found = Vec::new();
    read(bytes, &selection, format, &mut |one| {
        match one {
            Entry::Row(row) => {
                let candidates = selection.hashes(&row);
                let first = candidates.first().map(|candidate| candidate.conversion.clone());
                let hash = match strongest(candidates, LIMIT) {
                    Some(Ok(accepted)) => Some(Ok(accepted.hash)),
                    _ => first,
                };
                found.push((selection.value(&row), hash));
            }
            Entry::Comment => {}
            Entry::Unreadable { .. } => found.push((None, None)),
        }
        Ok(())
    })
    .expect("read");
    found
}

fn selection(format: Format, join: Option<&str>) -> Selection {
    Selection::new(format, Join { field: "identifier".to_owned(), member: join.map(str::to_owned) }, None)
}

fn read(bytes: Vec<u8>, selection: &Selection, format: Format, each: &mut EntrySink<'_>) -> anyhow::Result<()> {
    super::read(files::text(Cursor::new(bytes), None)?, format, selection, each)
}

/// Checks that hashes match only the password, and returns the unsupported ones by owner.
async fn unsupported(format: Format, text: &str) -> BTreeMap<String, String> {
    let secrets = KeyedSecrets::new(&ring(&[RING_A]), Arc::new(SystemRandom));
    let mut others = BTreeMap::new();
    let mut matching = 0;
    for (value, conversion) in converted(format, None, text) {
        // A row without an owner has no hash either.
        let Some(value) = value else {
            assert_eq!(conversion, None);
            continue;
        };
        let hash = match conversion {
            Some(Ok(hash)) => hash,
            Some(Err(scheme)) => {
                others.insert(value, scheme.to_owned());
                continue;
            }
            None => {
                others.insert(value, "none".to_owned());
                continue;
            }
        };
        if let Err(refusal) = assess_foreign(&hash, LIMIT) {
            others.insert(value, refusal.to_string());
            continue;
        }
        for (secret, verdict) in [(PASSWORD, Verdict::Outdated), ("pässword 0043", Verdict::Wrong)] {
            let stored = PassCodeHash::from_stored(hash.clone());
            let found = secrets.verify(WORK, Secret::new(secret), Some(stored)).await.expect("compared");
            assert_eq!(found, verdict, "{format:?} {value}: {hash}");
        }
        matching += 1;
    }
    assert!(matching > 0, "{format:?}");
    others
}

fn expected<const N: usize>(entries: [(&str, &str); N]) -> BTreeMap<String, String> {
    entries.into_iter().map(|(value, scheme)| (value.to_owned(), scheme.to_owned())).collect()
}

#[tokio::test]
async fn keycloak() {
    let realm = unsupported(Format::Keycloak, export!("keycloak-realm.json")).await;
    assert_eq!(realm, expected([("nothing", "none"), ("sha1", "PBKDF2-SHA1")]));
    assert_eq!(unsupported(Format::Keycloak, export!("keycloak-credential.csv")).await, expected([]));
    let by_email = converted(Format::Keycloak, Some("email"), export!("keycloak-realm.json"));
    assert_eq!(by_email[0].0.as_deref(), Some("sha256@example.org"));
    // In a JSON row, `secret_data` and `credential_data` are objects or texts that contain JSON. Before version 8 of
    // Keycloak, their members were in the credential itself.
    let rows = r#"{"user_id": "u", "secret_data": {"value": "AAAA", "salt": "c2FsdHNhbHQ="}, "credential_data": {"hashIterations": 7, "algorithm": "pbkdf2-sha512"}}
        {"username": "old", "credentials": [{"type": "password", "hashedSaltedValue": "AAAA", "salt": "c2FsdHNhbHQ=", "hashIterations": 9, "algorithm": "pbkdf2-sha256"}]}
        {"user_id": "v", "secret_data": "{\"value\": 1", "credential_data": "{}"}"#;
    let hashes: Vec<_> = converted(Format::Keycloak, None, rows).into_iter().map(|(_, hash)| hash).collect();
    let hash = |text: &str| Some(Ok(text.to_owned()));
    assert_eq!(hashes[0], hash("$pbkdf2-sha512$i=7,l=3$c2FsdHNhbHQ$AAAA"));
    assert_eq!(hashes[1], hash("$pbkdf2-sha256$i=9,l=3$c2FsdHNhbHQ$AAAA"));
    assert_eq!(hashes[2], Some(Err("damaged")));
}

#[tokio::test]
async fn auth0_and_json_of_others() {
    assert_eq!(unsupported(Format::Auth0, export!("auth0.ndjson")).await, expected([]));
    assert_eq!(unsupported(Format::Ndjson, export!("others.json")).await, expected([]));
    let values: Vec<_> = converted(Format::Auth0, None, export!("auth0.ndjson")).into_iter().map(|one| one.0).collect();
    assert_eq!(values, [Some("b10@example.org".to_owned()), Some("a5@example.org".to_owned())]);
}

#[tokio::test]
async fn kratos() {
    assert_eq!(unsupported(Format::Kratos, export!("kratos.json")).await, expected([]));
    let hash = converted(Format::Kratos, None, export!("kratos.json")).remove(0).1;
    assert!(matches!(hash, Some(Ok(hash)) if hash.starts_with("$scrypt$ln=14,r=8,p=1$") && !hash.ends_with('=')));
}

#[tokio::test]
async fn passlib() {
    let others = unsupported(Format::Passlib, export!("odoo.csv")).await;
    let long = "has a salt longer than 48 bytes";
    let expected =
        expected([("too long salt", long), ("sha1", "PBKDF2-SHA1"), ("crypt", "SHA-crypt"), ("nothing", "none")]);
    assert_eq!(others, expected);
}

#[tokio::test]
async fn django() {
    let expected = expected([("bcrypt sha256", "bcrypt of SHA-256"), ("md5", "MD5"), ("nobody", "none")]);
    assert_eq!(unsupported(Format::Django, export!("django.json")).await, expected);
    assert_eq!(unsupported(Format::Django, export!("django.csv")).await, expected);
}

#[tokio::test]
async fn werkzeug() {
    let others = unsupported(Format::Werkzeug, export!("werkzeug.csv")).await;
    assert_eq!(others, expected([("pbkdf2:sha1:1000", "PBKDF2-SHA1")]));
    let plain = converted(Format::Werkzeug, None, "name\thash\nx\tplain$$hunter2\n").remove(0).1;
    assert_eq!(plain, Some(Err("clear text")));
}

#[tokio::test]
async fn aspnet() {
    let others = unsupported(Format::Aspnet, export!("aspnet.csv")).await;
    let v2 = "ASP.NET Identity 2 (PBKDF2-SHA1)";
    assert_eq!(others, expected([("sha1", "PBKDF2-SHA1"), ("v2", v2), ("nothing", "none")]));
}

#[tokio::test]
async fn ldap() {
    let others = unsupported(Format::Ldap, export!("ldap.ldif")).await;
    assert_eq!(others, expected([("ssha", "salted SHA"), ("sha-crypt", "SHA-crypt")]));
}

#[tokio::test]
async fn ldap_with_several_values() {
    let found = unsupported(Format::Ldap, export!("ldap-several.ldif")).await;
    let expected = expected([
        ("ssha", "salted SHA"),
        ("none", "none"),
        ("elsewhere", "SASL, which keeps it elsewhere"),
        ("in a file", "in a file of its own"),
        ("locked", "none"),
    ]);
    assert_eq!(found, expected);
    // The kind of line end does not change the result.
    let text = export!("ldap-several.ldif");
    let plain = converted(Format::Ldap, None, text);
    assert_eq!(converted(Format::Ldap, None, &text.replace('\n', "\r\n")), plain);
    assert_eq!(converted(Format::Ldap, None, &text.replace('\n', "\r")), plain);
    // An unreadable entry does not affect others.
    let entry = |value: &str| format!("dn: uid=a\nuid: a\nuserPassword:{value}\n\ndn: uid=b\nuid: b\n");
    let (broken, next) = ((None, None), (Some("b".to_owned()), None));
    let long = format!(" {}\n {}", "x".repeat(200_000), "y".repeat(200_000));
    for value in [": not base64", &long] {
        assert_eq!(converted(Format::Ldap, None, &entry(value)), [broken.clone(), next.clone()]);
    }
    let latin = entry(" $2b$04$\u{e4}").replace('\u{e4}', "\u{1}").into_bytes();
    let latin = latin.into_iter().map(|byte| if byte == 1 { 0xe4 } else { byte }).collect();
    assert_eq!(converted_bytes(Format::Ldap, None, latin), [broken, next]);
}

#[tokio::test]
async fn spring() {
    let found = unsupported(Format::Spring, export!("spring.csv")).await;
    let expected = expected([
        ("old pbkdf2", "PBKDF2-SHA1"),
        ("noop", "clear text"),
        ("sha256", "salted SHA"),
        ("other", "unknown"),
    ]);
    assert_eq!(found, expected);
}

#[tokio::test]
async fn tables_of_applications() {
    let wordpress = unsupported(Format::Phc, export!("wordpress.csv")).await;
    assert_eq!(wordpress, expected([("portable", "phpass"), ("six eight", "WordPress bcrypt")]));
    assert_eq!(unsupported(Format::Phc, export!("rails.csv")).await, expected([("omniauth@example.org", "none")]));
    assert_eq!(unsupported(Format::Phc, export!("laravel.csv")).await, expected([]));
    let drupal = unsupported(Format::Phc, export!("drupal.csv")).await;
    let old = "Drupal 7";
    assert_eq!(drupal, expected([("seven@example.org", old), ("six@example.org", old)]));
    let firebase = converted(Format::Ndjson, None, export!("firebase.json"));
    assert_eq!(firebase[0].1, Some(Err("scrypt of Firebase")));
    assert_eq!(firebase[1], (Some("f2@example.org".to_owned()), None));
}

#[tokio::test]
async fn lines_of_unix_and_of_web_servers() {
    let shadow = unsupported(Format::Phc, export!("shadow.txt")).await;
    let none = "none";
    let kinds = [("ana", "SHA-crypt"), ("ben", "yescrypt"), ("root", none), ("daemon", none), ("new", none)];
    assert_eq!(shadow, expected(kinds));
    assert_eq!(
        unsupported(Format::Phc, export!("htpasswd.txt")).await,
        expected([("md5", "MD5-crypt"), ("sha", "SHA")])
    );
    let values = |text: &str| converted(Format::Phc, None, text).into_iter().map(|one| one.0).collect::<Vec<_>>();
    assert_eq!(
        values("a b:$2y$05$x\nDoe, Jane;$2y$05$x\n\"c\" , \"$2y$05$x\"\n#d:$2y$05$x\n"),
        [Some("a b".to_owned()), Some("Doe, Jane".to_owned()), Some("c".to_owned())]
    );
}

/// A table without hashes is an error that names the option and repeats no cell.
#[test]
fn a_table_without_hashes_is_refused() {
    let selection = selection(Format::Phc, None);
    let bytes = |text: &str| text.as_bytes().to_vec();
    let refused = read(bytes(export!("cognito.csv")), &selection, Format::Phc, &mut |_| Ok(())).expect_err("refused");
    assert!(refused.to_string().contains("--hash COLUMN") && !refused.to_string().contains("email"), "{refused}");
    let join = Join { field: "identifier".to_owned(), member: None };
    let named = Selection::new(Format::Phc, join, Some("Kennwort".to_owned()));
    let mut hashes = Vec::new();
    let table = "login;password;Kennwort\na;hunter2;$2y$05$x\n";
    let read = read(bytes(table), &named, Format::Phc, &mut |found| {
        if let Entry::Row(row) = found {
            hashes.extend(named.hashes(&row).into_iter().map(|one| one.conversion));
        }
        Ok(())
    });
    assert!(read.is_ok());
    assert_eq!(hashes, [Ok("$2y$05$x".to_owned())]);
}

/// The command reads the same forms of files as an import.
#[test]
fn packed_and_transcoded_exports_are_the_same() {
    use std::io::Write;
    let texts = [
        (Format::Keycloak, export!("keycloak-realm.json")),
        (Format::Ldap, export!("ldap.ldif")),
        (Format::Django, export!("django.csv")),
        (Format::Phc, export!("lines.txt")),
        (Format::Auth0, export!("auth0.ndjson")),
    ];
    for (format, text) in texts {
        let plain = converted(format, None, text);
        let utf_16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(bytes).collect()
        };
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(text.as_bytes()).expect("memory");
        let forms = [
            utf_16(u16::to_le_bytes),
            utf_16(u16::to_be_bytes),
            packed.finish().expect("memory"),
            format!("\u{feff}\n\n{text}").into_bytes(),
            text.replace("\r\n", "\n").replace('\n', "\r").into_bytes(),
        ];
        for (place, bytes) in forms.into_iter().enumerate() {
            assert_eq!(converted_bytes(format, None, bytes), plain, "{format:?} {place}");
        }
    }
}

#[tokio::test]
async fn magento() {
    let others = unsupported(Format::Magento, export!("magento.csv")).await;
    let chained = "chained hashes of Magento";
    assert_eq!(others, expected([("v1@example.org", "salted SHA"), ("chain@example.org", chained)]));
}

#[tokio::test]
async fn better_auth() {
    assert_eq!(unsupported(Format::BetterAuth, export!("better-auth.json")).await, expected([("user-2", "none")]));
}

#[tokio::test]
async fn lines_of_phc_strings() {
    assert_eq!(unsupported(Format::Phc, export!("lines.txt")).await, expected([("no", "unknown")]));
    let values: Vec<_> =
        converted(Format::Phc, None, export!("lines.txt")).into_iter().filter_map(|one| one.0).collect();
    assert_eq!(values, ["0042", "0043", "0044", "0045", "no"]);
}

/// Damaged hashes are distinguished from valid ones, and the name of a scheme repeats no part of a hash.
#[test]
fn damaged_hashes_are_not_converted() {
    for (format, text) in [
        (Format::Django, "pbkdf2_sha256$1000$salt"),
        (Format::Django, "pbkdf2_sha256$many$saltsalt$AAAA"),
        (Format::Django, "scrypt$16383$saltsalt$8$1$AAAA"),
        (Format::Werkzeug, "scrypt:32768:8:1$saltsalt$abc"),
        (Format::Werkzeug, "pbkdf2:sha256$saltsalt$abcd"),
        (Format::Aspnet, "AQAAAAEAACcQAAAA8A=="),
        (Format::Aspnet, "hunter2 hunter2"),
        (Format::Magento, "abcd:short:3_32_2_67108864"),
        (Format::Magento, "abcd:abcdefghijklmnop:2"),
        (Format::BetterAuth, "salt:xyz"),
        (Format::Ldap, "{PBKDF2-SHA256}1000$c2FsdA"),
        (Format::Ldap, "{hunter2}secret"),
        (Format::Passlib, "$pbkdf2-sha256$-1$c2FsdHNhbHQ$AAAA"),
        (Format::Phc, "hunter2"),
        (Format::Kratos, "$scrypt$ln=99999,r=8,p=1$c2FsdHNhbHQ$AAAA"),
    ] {
        let text = format!("value\thash\nx\t{text}\n");
        let found = converted(format, None, &text).remove(0).1;
        let Some(Err(scheme)) = found else { panic!("{format:?} {text}: {found:?}") };
        assert!(!scheme.contains("hunter2"), "{scheme}");
    }
}

/// A text for a missing value, such as NULL, is not a hash in any format. A hash in a later column is used instead.
#[test]
fn cells_of_nothing_are_no_hashes() {
    let none = |value: &str| -> (Option<String>, Option<Conversion>) { (Some(value.to_owned()), None) };
    for cell in ["NULL", "null", "\\N", "", "\"\"", "''"] {
        for format in [Format::Django, Format::Aspnet, Format::Magento, Format::Phc] {
            let rows = format!("username,password,other\na,{cell},b\n");
            assert_eq!(converted(format, None, &rows), [none("a")], "{format:?} {cell}");
        }
        let lines = format!("a,$2b$04$x\nb,{cell}\n");
        assert_eq!(converted(Format::Phc, None, &lines)[1], none("b"), "{cell}");
        let json = serde_json::json!({"username": "a", "hash": cell}).to_string();
        assert_eq!(converted(Format::Ndjson, None, &json), [none("a")], "{cell}");
        let keycloak = serde_json::json!({"user_id": "a", "secret_data": cell, "credential_data": "{}"}).to_string();
        assert_eq!(converted(Format::Keycloak, None, &keycloak), [none("a")], "{cell}");
    }
    let later = converted(Format::Ndjson, None, "username,password_hash,hash\na,NULL,$2b$04$x\n").remove(0).1;
    assert_eq!(later, Some(Ok("$2b$04$x".to_owned())));
}

#[test]
fn files_in_other_forms_are_read_as_far_as_they_can_be() {
    let hash = "$2b$04$abcdefghijklmnopqrstuum174eFeoTj0DHmtuueFaS3Wde4P7wHG";
    let count = |text: &str| {
        let found = converted(Format::Ndjson, None, text);
        let good = found.iter().filter(|one| matches!(one.1, Some(Ok(_)))).count();
        (good, found.len())
    };
    let object = format!(r#"{{"username": "a", "hash": "{hash}", "other": {{"deep": [1, {{}}]}}}}"#);
    assert_eq!(count(&object), (1, 1));
    assert_eq!(count(&format!("\u{feff}\n {object}\n\n{object}\n{{broken\n{object}")), (3, 4));
    assert_eq!(count(&format!("[{object},{object}]")), (2, 2));
    assert_eq!(count(&format!("{{\n\"meta\": {{}}, \"users\": [\n{object},\n{object}]}}\n{object}")), (3, 3));
    assert_eq!(count(&format!("[\n{object}\n]\n[\n{object}\n]\n")), (2, 2));
    assert_eq!(
        count(&format!("username,hash,note\r\n\"a, \"\"b\"\"\",{hash},\"two\r\nlines\"\r\nb,{hash}\r\n")),
        (2, 2)
    );
    assert_eq!(count(&format!("a {hash}\n\"b c\",{hash}\n")), (2, 2));
    assert_eq!(count(""), (0, 0));
    assert_eq!(count("{}"), (0, 1));
    let values = converted(Format::Ndjson, None, &format!("username,hash\n\"a, \"\"b\"\"\",{hash}\n"));
    assert_eq!(values[0].0.as_deref(), Some("a, \"b\""));
}

#[test]
fn broken_documents_end_with_an_error_that_repeats_nothing() {
    let selection = selection(Format::Ndjson, None);
    for text in ["[\n{\"hash\": \"hunter2\"", "[\n{\"hash\": hunter2}]", "[\n{}, hunter2\n]"] {
        let bytes = text.as_bytes().to_vec();
        let error = read(bytes, &selection, Format::Ndjson, &mut |_| Ok(())).expect_err(text).to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

/// No text causes a panic.
#[test]
fn no_text_panics() {
    use proptest::prelude::*;
    let formats = [Format::Keycloak, Format::Django, Format::Ldap, Format::Magento, Format::Aspnet, Format::Werkzeug];
    proptest!(|(text in "[ -~\n\t\"{}\\[\\]:,$é]{0,120}", which in 0..formats.len())| {
        let selection = selection(formats[which], None);
        let _ = read(text.into_bytes(), &selection, formats[which], &mut |found| {
            if let Entry::Row(row) = found {
                let _ = (selection.value(&row), selection.hashes(&row));
            }
            Ok(())
        });
    });
}
