//! Records of files: refused ones, counts of the summary, owners, hashes, and the guide.

use std::fs;

use access_tokens_testapp::process::Installation;
use serde_json::json;
use tempfile::TempDir;

use super::{Site, shown};
use crate::processes::{BINARY, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_json_records_are_collected_and_imported() {
    for on_postgres in [false, true] {
        let site = Site::new(on_postgres);
        let good = r#"{"access_token":{"number":"AT1","authentication_code":"1"}}"#;
        let wrong = r#"{"access_token":{"number":"AT2","authentication_code":"2","pass_code":"s3cret","life_cycle_state":"GONE"}}"#;
        let taken = r#"{"access_token":{"number":"AT3","authentication_code":"1"}}"#;
        let answer = r#"{"status":{"code":"OK"},"data":[{"number":"AT4","authentication_code":"4","life_cycle_state":null},{"number":"AT5","authentication_code":"5","life_cycle_state":"GONE"}]}"#;
        site.write("a.ndjson", [good, "{ broken", wrong, taken, answer].join("\n"));
        let said = site.run(&["import", "--rejects", "refused.ndjson", "a.ndjson"], 1);
        assert!(said.contains("2 created, 0 updated, 0 unchanged, 4 failed"), "{said}");
        assert!(
            said.contains("a.ndjson:4: AUTHENTICATION_CODE_ALREADY_EXISTS") && said.contains("see a.ndjson:1"),
            "{said}"
        );
        assert!(!said.contains("s3cret"), "{said}");
        let refused = site.read("refused.ndjson");
        let lines: Vec<&str> = refused.lines().collect();
        assert_eq!(lines.len(), 8, "{refused}");
        assert!(lines.contains(&"{ broken") && lines.contains(&wrong) && lines.contains(&taken), "{refused}");
        assert!(lines[0].starts_with("{\"reason\":\"a.ndjson:2: INVALID_FIELD_VALUE"), "{refused}");
        let mended: Vec<String> = lines
            .iter()
            .filter(|line| !line.contains("broken"))
            .map(|line| {
                if line.starts_with("{\"reason\"") {
                    (*line).to_owned()
                } else {
                    line.replace("GONE", "NOT_EFFECTIVE").replace(r#"code":"1""#, r#"code":"3""#)
                }
            })
            .collect();
        site.write("mended.ndjson", mended.join("\n"));
        let said = site.run(&["import", "--rejects", "none.ndjson", "mended.ndjson"], 0);
        assert!(said.contains("3 created, 0 updated, 0 unchanged, 0 failed"), "{said}");
        // The valid lines were not changed.
        let said = site.run(&["import", "a.ndjson"], 1);
        assert!(said.contains("0 created, 0 updated, 0 unchanged, 3 kept, 3 failed"), "{said}");
        assert!(!site.path().join("none.ndjson").exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_of_payment_cards_and_lost_digits_are_counted() {
    let site = Site::new(false);
    let lost: String = (0..25).map(|i| format!("L{i},90000000000{i:04}0,aktiv\n")).collect();
    site.write("cards.csv", format!("number,authentication_code,identifier\n1,4111 1111 1111 1111,a\n2,378282246310005,b\n3,6011111111111117,c\n{}", lost.replace("aktiv", "")));
    let refusing = site.run(&["import", "--check", "--refuse-card-numbers", "cards.csv"], 1);
    assert!(
        refusing.contains("26 created") && refusing.contains("2 failed") && refusing.contains("CARD_NUMBER_NOT_MASKED"),
        "{refusing}"
    );
    let said = site.run(&["import", "cards.csv"], 0);
    assert!(said.contains("2 codes may be payment card numbers") && !said.contains("4111"), "{said}");
    assert!(said.contains("25 of 28 authentication codes have zeros after the fifteenth digit"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_outside_of_a_policy_is_counted_and_imported() {
    for on_postgres in [false, true] {
        let site = Site::new(on_postgres);
        let digits = json!({"creation": "AUTO_NUMBER", "format": "NUMBER", "min_length": 4});
        let policy = json!({"classification": {"name": "Digits", "policy": {"authentication_code": digits}}});
        site.write("policy.ndjson", policy.to_string());
        site.run(&["import", "policy.ndjson"], 0);
        let rows =
            "number,authentication_code,classification.name\n1,0042,Digits\n2,042,Digits\n3,A042,Digits\n4,A042x,\n";
        site.write("cards.csv", rows);
        let outside = "2 access tokens have a code or an identifier outside of their policy";
        for (arguments, counts) in [
            (&["import", "--check", "cards.csv"][..], "4 created"),
            (&["import", "cards.csv"], "4 created"),
            (&["import", "--existing=overwrite", "cards.csv"], "4 unchanged"),
        ] {
            let said = site.run(arguments, 0);
            assert!(said.contains(counts) && said.contains(outside), "{arguments:?}: {said}");
        }
        let kept = site.run(&["import", "cards.csv"], 0);
        assert!(kept.contains("4 kept") && !kept.contains("outside"), "{kept}");
    }
}

/// A row may name its owner by the name alone, also from several columns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_of_rows_are_named_by_their_names() {
    for on_postgres in [false, true] {
        let site = Site::new(on_postgres);
        site.write("accounts.ndjson", r#"{"accounts_receivable": {"number": "ACR1", "name": "Ana Ríos"}}"#);
        site.run(&["import", "accounts.ndjson"], 0);
        site.write(
            "cards.csv",
            "Code;Vorname;Name;Nr\n1;Ana;Ríos;\n2;Jörg;Müller;\n3;Jörg;Müller;\n4;;;\n5;Jörg;Müller;ACR9\n",
        );
        let mapping = "[access_token]\nauthentication_code = \"Code\"\naccounts_receivable.name = { columns = [\"Vorname\", \"Name\"], join = \" \" }\n";
        site.write("cards.toml", mapping);
        let existing = ["import", "--mapping", "cards.toml", "--owners", "existing", "--check", "cards.csv"];
        let said = site.run(&existing, 1);
        assert!(
            said.contains("2 created")
                && said.contains("3 failed")
                && said.contains("cards.csv:3: REFERENCE_NOT_FOUND"),
            "{said}"
        );
        for check in [&["--check"][..], &[]] {
            let said = site.run(&[&["import", "--mapping", "cards.toml", "cards.csv"], check].concat(), 0);
            assert!(said.contains("5 created") && said.contains("refer to them: 1 accounts receivable"), "{said}");
        }
        let said = site.run(&["import", "--mapping", "cards.toml", "--existing=overwrite", "cards.csv"], 0);
        assert!(said.contains("0 created, 0 updated, 5 unchanged") && !said.contains("refer to them"), "{said}");
        // If the mapping has the number too, a row without one is refused: its owner is not looked up by the name.
        site.write("cards.toml", format!("{mapping}accounts_receivable.number = \"Nr\"\n"));
        let said = site.run(&["import", "--mapping", "cards.toml", "--existing=overwrite", "cards.csv"], 1);
        assert!(said.contains("1 updated, 1 unchanged, 3 failed"), "{said}");
        assert!(said.contains("cards.csv:2: REQUIRED_FIELD_MISSING access_token.accounts_receivable"), "{said}");
        let (_server, client) = site.serve().await;
        assert_eq!(shown(&client, "1").await["accounts_receivable"]["number"], "ACR1");
        let owner = shown(&client, "3").await["accounts_receivable"].clone();
        assert_eq!(
            (&owner["name"], &shown(&client, "2").await["accounts_receivable"]["id"]),
            (&json!("Jörg Müller"), &owner["id"])
        );
    }
}

/// A hash for an access token that has a pass code is written, or the summary says that it was not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hash_over_a_pass_code_is_written_or_reported() {
    for on_postgres in [false, true] {
        let site = Site::new(on_postgres);
        let token =
            json!({"access_token": {"authentication_code": "1", "identifier": "ana", "pass_code": "before 0042"}});
        let user = json!({"user": {"username": "u", "password": "before the hash"}});
        site.write("login.ndjson", format!("{token}\n{user}"));
        let said = site.run(&["import", "login.ndjson"], 0);
        assert!(said.contains("pass codes and passwords that were written: 2"), "{said}");
        // Hash of "pässword 0042".
        let hash = "$2y$05$gbSY6y5bO/GRHtD1XWFE2uOae8h5GVu2MR2Uultx8Ban7hMgSGM/i";
        let with_hash = json!({"access_token": {"identifier": "ana", "pass_code_hash": hash}}).to_string();
        site.write("hash.ndjson", &with_hash);
        let user = json!({"user": {"username": "u", "password_hash": hash}});
        site.write("hashes.ndjson", format!("{with_hash}\n{user}"));
        let kept =
            "1 kept records have a pass code that was not written; --update-only and --existing=overwrite write it";
        for check in [&["--check"][..], &[]] {
            let said = site.run(&[&["import", "hash.ndjson"], check].concat(), 0);
            assert!(said.contains("1 kept") && said.contains(kept) && !said.contains("were written"), "{said}");
        }
        let (server, client) = site.serve().await;
        let check =
            |code: &str| json!({"access_token_identifier": {"credential": {"identifier": "ana", "pass_code": code}}});
        client.ok("CheckPassCode", check("before 0042")).await;
        drop(server);
        for arguments in [&["--update-only", "--check"][..], &["--update-only"], &["--existing=overwrite"]] {
            let said = site.run(&[&["import", "hashes.ndjson"], arguments].concat(), 0);
            assert!(said.contains("0 created, 0 updated, 2 unchanged, 0 failed"), "{said}");
            assert!(said.contains("pass codes and passwords that were written: 2") && !said.contains("kept"), "{said}");
        }
        let (server, client) = site.serve().await;
        client.ok("CheckPassCode", check("pässword 0042")).await;
        client.refused("CheckPassCode", check("before 0042"), "INVALID_CREDENTIAL").await;
        server.client().login("DEMO", "u", "pässword 0042", None).await.expect("the password of the hash");
    }
}

/// The files and commands of the guide: each command runs, and prints the documented output.
#[test]
fn the_guide_is_executed() {
    let directory = TempDir::new().expect("a directory");
    let installation = Installation::new(BINARY, directory.path(), "sqlite://access-tokens.db");
    assert!(installation.run(&["organisation", "add", "ACME"]).status.success());
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/import.md")).expect("the guide");
    let (mut commands, mut said) = (0, String::new());
    let mut blocks = guide.split("\n```");
    let mut file = file_of(blocks.next().unwrap_or_default());
    while let (Some(block), after) = (blocks.next(), blocks.next().unwrap_or_default()) {
        let (language, content) = block.split_once('\n').expect("a block");
        match (language, file.take()) {
            (_, Some(name)) => fs::write(directory.path().join(name), format!("{content}\n")).expect("written"),
            ("sh", None) => {
                let lines = content.lines().filter_map(|line| line.strip_prefix("access-tokens import "));
                for line in lines {
                    let words: Vec<&str> = std::iter::once("import").chain(line.split_whitespace()).collect();
                    said = text(&installation.run(&words));
                    commands += 1;
                }
            }
            ("text", None) => {
                for line in content.lines() {
                    assert!(said.contains(line.trim()), "{line:?} is not in {said}");
                }
            }
            other => panic!("a block of {other:?}"),
        }
        file = file_of(after);
    }
    assert!(commands >= 6, "{commands}");
}

/// Returns the name of the file whose content follows, from the last line of a text such as "File `cards.csv`:".
fn file_of(text: &str) -> Option<String> {
    let line = text.trim_end().lines().last()?;
    Some(line.strip_prefix("File `")?.strip_suffix("`:")?.to_owned())
}
