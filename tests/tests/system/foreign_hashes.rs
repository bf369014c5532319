//! Hashes of other systems, from their exports to a pass code that works.

use std::path::Path;

use access_tokens_proto::v1::import_directory_request::Existing;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::on_both_databases;
use crate::processes::{add_organisation, sqlite, text};

const PASSWORD: &str = "pässword 0042";

fn export(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/hashes").join(name).display().to_string()
}

/// Returns the records that the command makes of an export, and its exit code.
fn converted(format: &str, name: &str) -> (Vec<Value>, Option<i32>) {
    let directory = TempDir::new().expect("a directory");
    let output = sqlite(&directory).run(&["convert-hashes", "--from", format, &export(name)]);
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let left = std::fs::read_dir(directory.path()).expect("read").count();
    assert_eq!(left, 0, "the command has written files");
    (lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(), output.status.code())
}

on_both_databases! {
    async fn converted_hashes_check_the_pass_code(app) {
        let mut serial = 0;
        for (format, name, count, code) in [
            ("keycloak", "keycloak-realm.json", 3, 1),
            ("kratos", "kratos.json", 3, 1),
            ("passlib", "odoo.csv", 3, 1),
            ("django", "django.json", 3, 1),
            ("werkzeug", "werkzeug.csv", 4, 1),
            ("aspnet", "aspnet.csv", 2, 1),
            ("ldap", "ldap.ldif", 3, 1),
            ("magento", "magento.csv", 2, 1),
            ("better-auth", "better-auth.json", 1, 0),
            ("auth0", "auth0.ndjson", 2, 0),
            ("ndjson", "others.json", 2, 0),
            ("phc", "lines.txt", 4, 1),
            ("ldap", "ldap-several.ldif", 4, 1),
            ("spring", "spring.csv", 5, 1),
            ("wordpress", "wordpress.csv", 1, 1),
            ("rails", "rails.csv", 1, 0),
            ("laravel", "laravel.csv", 2, 0),
            ("drupal", "drupal.csv", 1, 1),
            ("htpasswd", "htpasswd.txt", 2, 1),
            ("shadow", "shadow.txt", 1, 1),
        ] {
            let (records, exit) = converted(format, name);
            assert_eq!((records.len(), exit), (count, Some(code)), "{format}");
            let app = app.another().await;
            let unknown = app.caller().import_directory_as(&records, Existing::UpdateOnly, false).await.expect("imported");
            assert_eq!((unknown.failed, unknown.created), (count as i64, 0), "{format}: created a token");
            let tokens: Vec<_> = records.iter().map(|record| {
                serial += 1;
                let identifier = &record["access_token"]["identifier"];
                json!({"access_token": {"authentication_code": format!("card {serial}"), "identifier": identifier}})
            }).collect();
            assert_eq!(app.caller().import_directory(&tokens).await.expect("imported").created, count as i64);
            let imported = app.caller().import_directory_as(&records, Existing::UpdateOnly, false).await.expect("imported");
            assert_eq!(imported.failed, 0, "{format}: {imported:?}");
            for record in &records {
                let credential = |pass_code: &str| {
                    let identifier = &record["access_token"]["identifier"];
                    json!({"access_token_identifier": {"credential": {"identifier": identifier, "pass_code": pass_code}}})
                };
                app.refused("CheckPassCode", credential("pässword 0043"), "INVALID_CREDENTIAL").await;
                app.ok("CheckPassCode", credential(PASSWORD)).await;
                // The first success has replaced the hash by one of the current form.
                app.ok("CheckPassCode", credential(PASSWORD)).await;
            }
        }
    }

    async fn refused_hashes_have_a_reason_of_their_own(app) {
        let salt = "A".repeat(65);
        for (hash, what) in [
            ("$scrypt$ln=17,r=8,p=1$c29tZXNhbHRzb21lc2FsdA$Uc9gJGhuio/W8l8zaP6AVtG0SxRCsmoraOFrRePLPzU".to_owned(), "above the limit (memory 128 MiB > 64 MiB"),
            ("$argon2id$v=19$m=131072,t=1,p=4$c29tZXNhbHRzb21lc2FsdA$Uc9gJGhuio/W8l8zaP6AVtG0SxRCsmoraOFrRePLPzU".to_owned(), "above the limit (memory 128 MiB > 64 MiB"),
            ("$argon2id$v=19$m=1024,t=11,p=1$c29tZXNhbHRzb21lc2FsdA$Uc9gJGhuio/W8l8zaP6AVtG0SxRCsmoraOFrRePLPzU".to_owned(), "above the limit (t 11 > 10)"),
            (format!("$pbkdf2-sha256$i=1000${salt}$Uc9gJGhuio/W8l8zaP6AVtG0SxRCsmoraOFrRePLPzU"), "a salt longer than 48 bytes"),
            ("$pbkdf2-sha384$i=1000$c29tZXNhbHRzb21lc2FsdA$Uc9gJGhuio/W8l8zaP6AVtG0SxRCsmoraOFrRePLPzU".to_owned(), "unknown scheme"),
            ("pbkdf2_sha256$1000$hunter2$AAAA".to_owned(), "is not a PHC string: use access-tokens convert-hashes"),
        ] {
            let token = json!({"access_token": {"authentication_code": "7", "pass_code_hash": hash}});
            let user = json!({"user": {"username": "u", "password_hash": hash}});
            let answer = app.caller().import_directory(&[token, user]).await.expect("an answer");
            for (one, field) in answer.results.iter().zip(["pass_code_hash", "password_hash"]) {
                let violation = &one.field_violations[0];
                assert_eq!(violation.field, field);
                assert!(violation.description.contains(what), "{hash}: {}", violation.description);
                assert!(!one.message.contains("hunter2") && !one.message.contains("Uc9gJ"), "{}", one.message);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_count_keep_secrets_and_obey_the_limit() {
    use std::os::unix::fs::PermissionsExt;

    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    let from = [
        "convert-hashes",
        "--from",
        "django",
        "--kind",
        "user",
        "--output",
        "users.ndjson",
        "--unsupported",
        "others.csv",
    ];
    // An empty file is accepted, and gets the mode of a new one.
    std::fs::write(directory.path().join("users.ndjson"), "").expect("written");
    let output = place.run(&[&from[..], &[&export("django.json")]].concat());
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("0 as they were, 3 converted, 1 (1 is above the limit (memory 100 MiB > 64 MiB"), "{said}");
    assert!(said.contains("2 (1 MD5, 1 bcrypt of SHA-256) not supported, 1 without a hash"), "{said}");
    for file in ["users.ndjson", "others.csv"] {
        let mode = std::fs::metadata(directory.path().join(file)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let others = std::fs::read_to_string(directory.path().join("others.csv")).expect("a file");
    assert!(
        others.starts_with("username,reason\n") && others.contains("md5,MD5\n") && !others.contains('$'),
        "{others}"
    );
    let users = std::fs::read_to_string(directory.path().join("users.ndjson")).expect("a file");
    assert!(users.lines().all(|line| line.starts_with("{\"user\":{") && line.contains("\"username\":")), "{users}");

    // With more memory the other records are imported, into existing users. Records of an earlier run stay.
    let again = place.run(&[&from[..], &[&export("django.json")]].concat());
    assert_eq!(again.status.code(), Some(1), "{}", text(&again));
    assert!(text(&again).contains("users.ndjson: exists; give --output a new file"), "{}", text(&again));
    assert_eq!(std::fs::read_to_string(directory.path().join("users.ndjson")).expect("a file"), users);
    for file in ["users.ndjson", "others.csv"] {
        std::fs::remove_file(directory.path().join(file)).expect("removed");
    }
    let place = place.with("ACCESS_TOKENS__HASHING__MAX_FOREIGN_MEMORY", "128 MiB");
    let output = place.run(&[&from[..], &[&export("django.json")]].concat());
    assert!(text(&output).contains("4 converted, 0 above the limit"), "{}", text(&output));
    add_organisation(&place);
    let known: Vec<_> =
        ["pbkdf2", "argon2", "scrypt", "bcrypt"].map(|name| json!({"user": {"username": name}}).to_string()).into();
    let created = place.run_with_input(&["import", "-"], &known.join("\n"));
    assert!(created.status.success(), "{}", text(&created));
    let imported = place.run(&["import", "--update-only", "users.ndjson"]);
    assert!(imported.status.success(), "{}", text(&imported));
    assert!(!text(&imported).contains("weak"), "{}", text(&imported));
    let output = place.run(&[
        "convert-hashes",
        "--from",
        "keycloak",
        "--kind",
        "user",
        "--output",
        "weak.ndjson",
        &export("keycloak-realm.json"),
    ]);
    assert!(text(&output).contains("replaced at the first use of its secret: 3"), "{}", text(&output));
    let known: Vec<_> =
        ["sha256", "sha512", "argon2"].map(|name| json!({"user": {"username": name}}).to_string()).into();
    assert!(place.run_with_input(&["import", "-"], &known.join("\n")).status.success());
    let imported = place.run(&["import", "--update-only", "weak.ndjson"]);
    assert!(
        text(&imported).contains("weak hashes, each replaced at the first use of its secret: 3"),
        "{}",
        text(&imported)
    );
    // A server with the default limit checks the imported hashes.
    let place = place.with("ACCESS_TOKENS__HASHING__MAX_FOREIGN_MEMORY", "64 MiB");
    let server = place.start(&["serve"]);
    place.wait_until_ready();
    for user in ["pbkdf2", "argon2", "scrypt", "bcrypt", "sha256"] {
        server.client().login("DEMO", user, "pässword 0043", None).await.expect_err("another password");
        server.client().login("DEMO", user, PASSWORD, None).await.expect("the password");
    }
    let nothing = place.run_with_input(&["convert-hashes", "--from", "phc", "-"], "\n");
    assert_eq!(nothing.status.code(), Some(2), "{}", text(&nothing));
    let unknown = place.run(&["convert-hashes", "--from", "phc", "--join", "name", "nowhere"]);
    assert_eq!(unknown.status.code(), Some(1), "{}", text(&unknown));
}

/// Neither the export nor another file with content is overwritten, even if its name is spelled differently.
#[test]
fn the_commands_files_replace_nothing() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    let path = |name: &str| directory.path().join(name);
    std::fs::copy(export("keycloak-realm.json"), path("kc.json")).expect("copied");
    std::os::unix::fs::symlink("kc.json", path("link")).expect("a link");
    std::os::unix::fs::symlink("missing", path("to nothing")).expect("a link");
    let before = std::fs::read(path("kc.json")).expect("a file");
    for (options, said) in [
        (&["--output", "kc.json"][..], "kc.json: exists; give --output a new file"),
        (&["--unsupported", "kc.json"], "kc.json: exists; give --unsupported a new file"),
        (&["--output", "link"], "link: is a link; give --output a new file"),
        (&["--output", "to nothing"], "to nothing: is a link; give --output a new file"),
        (&["--output", "same", "--unsupported", "same"], "--output and --unsupported name the same file"),
        (&["--output", "same", "--unsupported", "./same"], "--output and --unsupported name the same file"),
    ] {
        let output = place.run(&[&["convert-hashes", "--from", "keycloak"][..], options, &["kc.json"]].concat());
        assert_eq!(output.status.code(), Some(1), "{options:?}: {}", text(&output));
        assert!(text(&output).contains(said), "{options:?}: {}", text(&output));
        assert_eq!(std::fs::read(path("kc.json")).expect("a file"), before, "{options:?}");
    }
    assert!(!path("missing").exists());
}

/// A file of another format has no hash in the expected place, so it can be distinguished from one whose records were all written.
#[test]
fn a_file_of_another_format_is_told() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    let convert = |format: &str, options: &[&str]| {
        let export = export("keycloak-realm.json");
        let output = place.run(&[&["convert-hashes", "--from", format][..], options, &[&export]].concat());
        (output.status.code(), text(&output))
    };
    let files = ["--output", "hashes.ndjson", "--unsupported", "others.csv"];
    let (code, said) = convert("aspnet", &files);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("5 without a hash"), "{said}");
    assert!(said.contains("no record was written; the file may have another format than --from says"), "{said}");
    let others = directory.path().join("others.csv");
    assert!(std::fs::read_to_string(&others).expect("a file").contains("sha256,no hash\n"));
    std::fs::remove_file(&others).expect("removed");
    // The file of records is empty, so the command accepts it again.
    let (code, said) = convert("keycloak", &files);
    assert_eq!(code, Some(1), "{said}");
    assert!(!said.contains("another format"), "{said}");
    let empty = place.run_with_input(&["convert-hashes", "--from", "django", "-"], "username,password\na,NULL\nb,\n");
    assert_eq!(empty.status.code(), Some(2), "{}", text(&empty));
    assert!(text(&empty).contains("0 not supported, 2 without a hash"), "{}", text(&empty));
}

/// Exports in other forms and encodings give the same records, and the command reports records that cannot be converted by line and
/// cause.
#[test]
fn exports_are_read_in_every_form_and_refused_with_what_to_do() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    let write = |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).expect("written");
    let convert = |arguments: &[&str]| {
        let output = place.run(&[&["convert-hashes"][..], arguments].concat());
        (output.status.code(), String::from_utf8(output.stdout.clone()).expect("UTF-8"), text(&output))
    };
    let (_, plain, _) = convert(&["--from", "ldap", &export("ldap-several.ldif")]);
    let content = std::fs::read_to_string(export("ldap-several.ldif")).expect("a file");
    write("utf16.ldif", &content.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    write(
        "packed.ldif",
        &[b"\xff\xfe".to_vec(), std::fs::read(directory.path().join("utf16.ldif")).expect("a file")].concat(),
    );
    let packed = std::process::Command::new("gzip").arg(directory.path().join("packed.ldif")).status();
    assert!(packed.expect("gzip").success());
    for arguments in [&["packed.ldif.gz"][..], &["--encoding", "utf-16le", "utf16.ldif"]] {
        let (code, records, said) = convert(&[&["--from", "ldap"][..], arguments].concat());
        assert_eq!((code, &records), (Some(1), &plain), "{said}");
        assert!(said.contains("records with several hashes, of which the strongest was taken: 2"), "{said}");
        assert!(said.contains("2 without a hash"), "{said}");
    }
    let hash = "$2y$05$gbSY6y5bO/GRHtD1XWFE2uOae8h5GVu2MR2Uultx8Ban7hMgSGM/i";
    let latin = format!("login;password\r\nJ\u{1}rg;{hash}\r\nAna;{hash}\r\n").into_bytes();
    write("latin.csv", &latin.iter().map(|byte| if *byte == 1 { 0xf6 } else { *byte }).collect::<Vec<_>>());
    let (code, records, said) = convert(&["--from", "laravel", "latin.csv"]);
    assert_eq!((code, records.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("latin.csv:2: is not UTF-8: say --encoding"), "{said}");
    let (code, records, said) = convert(&["--from", "laravel", "--encoding", "windows-1252", "latin.csv"]);
    assert_eq!((code, records.contains("Jörg")), (Some(0), true), "{said}");
    let (code, _, said) = convert(&["--from", "firebase", &export("firebase.json")]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("1 (1 scrypt of Firebase) not supported, 1 without a hash"), "{said}");
    let (code, _, said) = convert(&["--from", "phc", &export("cognito.csv")]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("cognito.csv: no column of the first line is known to have hashes: name it by --hash"),
        "{said}"
    );
    let (code, _, said) = convert(&["--from", "spring", "--unsupported", "others.csv", &export("spring.csv")]);
    assert_eq!(code, Some(1), "{said}");
    let others = std::fs::read_to_string(directory.path().join("others.csv")).expect("a file");
    assert!(
        others.contains("noop,clear text\n") && !others.contains("0042") && !said.contains("0042"),
        "{others} {said}"
    );
}
