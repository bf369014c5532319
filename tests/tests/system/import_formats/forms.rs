//! Forms of files: encodings, compression, files that do not fit, quotes, and `inspect`.

use std::fs;

use access_tokens_testapp::process::Installation;
use serde_json::json;
use tempfile::TempDir;

use super::{Site, data, shown};
use crate::processes::{BINARY, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_of_a_file_has_the_same_records() {
    for on_postgres in [false, true] {
        let site = Site::new(on_postgres);
        let card = |i: usize| {
            json!({"access_token": {"number": format!("AT{i}"), "authentication_code": format!("Κάρτα {i}")}})
                .to_string()
        };
        let answer = |i: usize| {
            json!({"status": {"code": "OK"}, "data": [{"number": format!("AT{i}"), "authentication_code": format!("Κάρτα {i}"), "life_cycle_state": null}]}).to_string()
        };
        let utf_16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(bytes).collect()
        };
        let csv = |from: usize, end: &str| {
            let rows = (from..from + 3).map(|i| format!("AT{i};\"Κάρτα {i}\"{end}"));
            format!("number;authentication_code{end}{}", rows.collect::<String>())
        };
        site.write("array.json", format!("[{},\n {},\n{}\n]\n", card(0), answer(1), card(2)));
        site.write("lines.ndjson", utf_16(&[card(3), answer(4), card(5)].join("\n"), u16::to_le_bytes));
        site.write("be.csv", utf_16(&csv(6, "\r\n"), u16::to_be_bytes));
        site.write("mac.csv", csv(9, "\r"));
        site.write("packed.csv", csv(12, "\n"));
        assert!(
            std::process::Command::new("gzip").arg(site.path().join("packed.csv")).status().expect("gzip").success()
        );
        let files = ["array.json", "lines.ndjson", "be.csv", "mac.csv", "packed.csv.gz"];
        let said = site.run(&[&["import"][..], &files].concat(), 0);
        assert!(said.contains("15 created, 0 updated, 0 unchanged, 0 failed"), "{said}");
        let (_server, client) = site.serve().await;
        for i in 0..15 {
            assert_eq!(shown(&client, &format!("Κάρτα {i}")).await["number"], format!("AT{i}"));
        }
    }
}

#[test]
fn a_file_that_does_not_fit_is_refused_before_anything_is_written() {
    let directory = TempDir::new().expect("a directory");
    // This is found without a database.
    let installation = Installation::new(BINARY, directory.path(), "postgres://nobody@127.0.0.1:1/nothing");
    let write = |name: &str, content: &[u8]| fs::write(directory.path().join(name), content).expect("written");
    write("good.csv", b"number,authentication_code\n1,A\n");
    write("sheet.xlsx", b"PK\x03\x04rest");
    write("latin.csv", b"Stra\xdfe,number\nx,1\n");
    write("columns.csv", b"Karte;Status\n1;aktiv\n");
    write("unknown.toml", b"[access_token]\nauthentication_code = { colum = \"Karte\" }\n");
    write("missing.toml", b"[access_token]\nauthentication_code = \"Card\"\n");
    write("owners.csv", b"Code,Name\n1,Doe\n");
    write("lines.ndjson", b"{\"unit\": {\"id\": \"1\"}}\n");
    for (arguments, expected) in [
        (&["sheet.xlsx"][..], &["sheet.xlsx: ", "save it as CSV UTF-8"][..]),
        (
            &["good.csv", "latin.csv"],
            &["latin.csv: line 1 is not UTF-8", "\\xdf", "windows-1252, windows-1253 or iso-8859-7"],
        ),
        (&["columns.csv"], &["\"Karte\" is not a field", "columns of the file: \"Karte\", \"Status\""]),
        (
            &["--map", "authentication_code=Card", "columns.csv"],
            &["no column \"Card\"", "columns of the file: \"Karte\", \"Status\""],
        ),
        (&["--map", "code=Karte", "columns.csv"], &["code is not a field", "columns of the file: \"Karte\""]),
        (&["--mapping", "unknown.toml", "columns.csv"], &["unknown.toml", "colum", "columns of the file: \"Karte\""]),
        (&["--mapping", "missing.toml", "columns.csv"], &["no column \"Card\"", "\"Status\""]),
        (
            &["--map", "authentication_code=Code", "--map", "accounts_receivable.life_cycle_state=Name", "owners.csv"],
            &[
                "accounts_receivable.number or accounts_receivable.name is missing",
                "columns of the file: \"Code\", \"Name\"",
            ],
        ),
        (&["--map", "number=n", "lines.ndjson"], &["is JSON"]),
        (&["good.csv", "."], &["is a directory"]),
        (&["good.csv", "columns.csv", "--rejects", "r.csv", "--map", "number=number"], &["no column \"number\""]),
    ] {
        let output = installation.run(&[&["import"][..], arguments].concat());
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(expected.iter().all(|part| said.contains(part)), "{arguments:?}: {said}");
    }
    assert!(!directory.path().join("access-tokens.keys").exists());
}

/// No valid row is silently taken for a part of a cell, neither in the file nor in the refused rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_whose_quotes_do_not_pair_are_refused_until_they_are_mended() {
    let site = Site::new(false);
    let head = "authentication_code,udf_string_1\n";
    site.write("open.csv", format!("{head}RA1,a\nRA2,\"b\nRA3,c\nRA4,d\n"));
    let said = site.run(&["import", "--rejects", "refused.csv", "open.csv"], 1);
    assert!(said.contains("1 created, 0 updated, 0 unchanged, 1 failed"), "{said}");
    assert!(said.contains("open.csv:3: INVALID_FIELD_VALUE") && said.contains("opens on line 3"), "{said}");
    let refused = site.read("refused.csv");
    assert!(refused.contains("RA2,\"b\nRA3,c\nRA4,d\n\",,"), "{refused}");
    for (file, rejects) in [("refused.csv", "again.csv"), ("again.csv", "still.csv")] {
        let said = site.run(&["import", "--rejects", rejects, file], 1);
        assert!(said.contains("0 created, 0 updated, 0 unchanged, 1 failed"), "{file}: {said}");
    }
    site.write("after.csv", format!("{head}\"M1\",\"6\\\" pipe\"\nM2,\"6\"\" pipe\"\r\nM3,\"two\nlines\""));
    let said = site.run(&["import", "--rejects", "pipes.csv", "after.csv"], 1);
    assert!(said.contains("2 created, 0 updated, 0 unchanged, 1 failed"), "{said}");
    assert!(
        said.contains("line 2 has text after the closing quote") && site.read("pipes.csv").contains("M1"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_stops_does_not_say_that_records_are_in() {
    let site = Site::new(false);
    site.write("latin.csv", b"number,authentication_code\n1,A\n2,Stra\xdfe\n");
    let said = site.run(&["import", "--check", "latin.csv"], 1);
    assert!(said.contains("stopped; what came before was checked") && !said.contains("before is in"), "{said}");
    let said = site.run(&["import", "latin.csv"], 1);
    assert!(said.contains("stopped; what came before is in, importing again is safe"), "{said}");
}

#[test]
fn inspect_shows_a_file_and_a_mapping_that_works() {
    let directory = TempDir::new().expect("a directory");
    let installation = Installation::new(BINARY, directory.path(), "postgres://nobody@127.0.0.1:1/nothing");
    let shown = |arguments: &[&str]| {
        let output = installation.run(&[&["import", "--inspect"][..], arguments].concat());
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).expect("a text")
    };
    let said = shown(&["--mapping", &data("spreadsheet.toml"), &data("spreadsheet.csv")]);
    let expected = [
        "windows-1252, delimiter ';', 5 rows\n",
        "\"Karten-Nr.\": \"42123456784\", \"2,00123E+12\", \"0042123456785\"\n",
        "\"Bemerkung\": \"Zeile 1  Zeile 2\"\n",
        "encoding = \"windows-1252\"",
    ];
    assert!(expected.iter().all(|part| said.contains(part)), "{said}");
    // The proposed mapping can be used unchanged.
    fs::write(directory.path().join("cards.csv"), "Number;Authentication Code;Punkte\n1;A;7\n").expect("written");
    let said = shown(&["cards.csv"]);
    let (_, proposed) = said.split_once("(--mapping):\n\n").expect("a mapping");
    fs::write(directory.path().join("cards.toml"), proposed.replace("# udf_string_1", "udf_float_1")).expect("written");
    assert!(shown(&["--mapping", "cards.toml", "cards.csv"]).contains("UTF-8, delimiter ';', 1 rows"));
    let sqlite = Installation::new(BINARY, directory.path(), "sqlite://access-tokens.db");
    let output = sqlite.run(&["import", "--create-organisation", "--mapping", "cards.toml", "cards.csv"]);
    assert!(output.status.success() && text(&output).contains("1 created"), "{}", text(&output));
}
