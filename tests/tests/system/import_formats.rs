//! Files of every form in the import command: CSV with mappings, encodings, gzip, arrays, and the file of refused records.

use std::fs;
use std::path::Path;

use access_tokens_testapp::Client;
use access_tokens_testapp::process::{Installation, Server};
use access_tokens_testkit::postgres::create_database;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::processes::{BINARY, add_user, logged_in, text};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/import");

/// A directory with a database that contains an organisation.
struct Site {
    directory: TempDir,
    installation: Installation,
}

impl Site {
    fn new(on_postgres: bool) -> Self {
        let directory = TempDir::new().expect("a directory");
        let url = if on_postgres { block_in_place(create_database) } else { "sqlite://access-tokens.db".to_owned() };
        let installation = Installation::new(BINARY, directory.path(), &url);
        let site = Self { directory, installation };
        if on_postgres {
            site.run(&["keys", "init"], 0);
            site.run(&["migrate"], 0);
        }
        block_in_place(|| add_user(&site.installation));
        site
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), content).expect("written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).expect("a file")
    }

    /// Runs a command that must exit with this code, and returns its output.
    fn run(&self, arguments: &[&str], code: i32) -> String {
        let output = block_in_place(|| self.installation.run(arguments));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
        text(&output)
    }

    async fn serve(&self) -> (Server, Client) {
        let server = self.installation.start(&["serve"]);
        block_in_place(|| self.installation.wait_until_ready());
        let client = logged_in(&server).await;
        (server, client)
    }
}

fn data(name: &str) -> String {
    format!("{DATA}/{name}")
}

async fn shown(client: &Client, code: &str) -> Value {
    client.ok("ShowAccessToken", json!({"access_token_identifier": {"authentication_code": code}})).await
}

/// The files of other programs with their mappings: the numbers of valid and invalid rows, and a card of each.
const EXPORTS: [(&str, usize, usize); 7] = [
    ("spreadsheet", 2, 3),
    ("barcodes", 3, 0),
    ("loyalty", 2, 0),
    ("gift-cards", 2, 0),
    ("labels", 1, 1),
    ("till", 3, 3),
    ("shop", 2, 0),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_of_other_programs_are_imported_and_change_nothing_again() {
    for on_postgres in [false, true] {
        for (name, good, bad) in EXPORTS {
            // Some of the files have the same codes.
            let site = Site::new(on_postgres);
            let (file, mapping) = (data(&format!("{name}.csv")), data(&format!("{name}.toml")));
            let import = ["import", "--mapping", &mapping, &file];
            let code = i32::from(bad > 0);
            let checked = site.run(&[&import[..], &["--check"]].concat(), code);
            assert!(
                checked.contains(&format!("{good} created, 0 updated, 0 unchanged, {bad} failed")),
                "{name}: {checked}"
            );
            let imported = site.run(&import, code);
            assert!(
                imported.contains(&format!("{good} created, 0 updated, 0 unchanged, {bad} failed")),
                "{name}: {imported}"
            );
            let again = site.run(&import, code);
            assert!(
                again.contains(&format!("0 created, 0 updated, 0 unchanged, {good} kept, {bad} failed")),
                "{name}: {again}"
            );
            let overwritten = site.run(&[&import[..], &["--existing=overwrite"]].concat(), code);
            assert!(
                overwritten.contains(&format!("0 created, 0 updated, {good} unchanged, {bad} failed")),
                "{name}: {overwritten}"
            );
            let (_server, client) = site.serve().await;
            check_cards(name, &client, &imported).await;
        }
    }
}

async fn check_cards(name: &str, client: &Client, imported: &str) {
    match name {
        "spreadsheet" => {
            let card = shown(client, "0042123456784").await;
            assert_eq!((&card["udf_float_1"], &card["udf_string_1"]), (&json!(1_234.5), &json!("Müller, Jörg")));
            assert_eq!(
                (&card["udf_string_2"], &card["life_cycle_state"]),
                (&json!("Zeile 1\r\nZeile 2"), &json!("EFFECTIVE"))
            );
            assert!(card["udf_date_1"].as_str().is_some_and(|date| date.starts_with("2027-12-31T00:00:00")), "{card}");
            let card = shown(client, "2001234567893").await;
            assert_eq!((&card["udf_float_1"], &card["life_cycle_state"]), (&json!(-7.0), &json!("NOT_EFFECTIVE")));
            for (line, what) in [(4, "damaged by a spreadsheet"), (5, "EAN-13"), (6, "is not in map: \"ruht\"")] {
                let complaint = imported.lines().find(|one| one.contains(&format!("spreadsheet.csv:{line}: ")));
                assert!(complaint.is_some_and(|complaint| complaint.contains(what)), "{imported}");
            }
        }
        "barcodes" => {
            assert_eq!(shown(client, "5200000000016").await["number"], "B5200000000016");
            assert!(
                imported.contains("3 new access tokens have no state in the file: EFFECTIVE was assumed"),
                "{imported}"
            );
        }
        "loyalty" => {
            let card = shown(client, "9f1c-2b7a-00aa").await;
            assert_eq!((&card["udf_float_1"], &card["udf_date_1"]), (&json!(1_020.5), &Value::Null));
            assert_eq!(card["accounts_receivable"]["name"], "Νίκος Παππάς");
            assert_eq!(card["classification"]["name"], "Loyalty Cards");
        }
        "gift-cards" => {
            let card = shown(client, "IJ78-KL90-MN12-OP34").await;
            assert_eq!((&card["number"], &card["identifier"]), (&json!("GC0000000013"), &json!("me@example.com")));
            let created = card["log_information"]["created_date"].as_str().expect("a date").to_owned();
            assert!(created.starts_with("2024-01-31T22:00:00"), "{created}");
            assert!(imported.contains("columns that are not imported: \"message\", \"balance\""), "{imported}");
        }
        "till" => {
            let card = shown(client, "0004711000017").await;
            assert_eq!((&card["udf_float_1"], &card["udf_string_1"]), (&json!(1_234.5), &json!("zwei\r\nZeilen")));
            let card = shown(client, "0004711000024").await;
            assert_eq!((&card["udf_float_1"], &card["life_cycle_state"]), (&json!(12_345.0), &json!("NOT_EFFECTIVE")));
            assert_eq!(shown(client, "0004711000031").await["udf_float_1"], -7.5);
            for (line, what) in [(8, "damaged by a spreadsheet"), (10, "stands for nothing"), (12, "line of totals")] {
                let complaint = imported.lines().find(|one| one.contains(&format!("till.csv:{line}: ")));
                assert!(complaint.is_some_and(|complaint| complaint.contains(what)), "{imported}");
            }
        }
        "shop" => {
            let card = shown(client, "GIFT-600000000001").await;
            assert_eq!((&card["udf_float_1"], &card["identifier"]), (&json!(1_012.5), &json!("ana@example.org")));
            assert_eq!(
                (&card["udf_string_1"], &card["accounts_receivable"]["name"]),
                (&json!("+30 690 000 0000"), &json!("Ríos, Ana"))
            );
            assert!(imported.contains("refer to them: 2 accounts receivable"), "{imported}");
        }
        _ => {
            let card = shown(client, "L-044e-a1b2-c3d5").await;
            assert_eq!((&card["udf_float_1"], &card["number"]), (&json!(1_120.0), &json!("044e-a1b2-c3d5/03/31/2027")));
        }
    }
}

/// The refused rows of a file with a title line are read by the same mapping, which skips the title.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_rows_below_a_title_are_mended_by_the_same_mapping() {
    let site = Site::new(false);
    let (mapping, till) = (data("till.toml"), data("till.csv"));
    let import = |file: &str, rejects: &str, code: i32| {
        site.run(&["import", "--mapping", &mapping, "--rejects", rejects, file], code)
    };
    import(&till, "refused.csv", 1);
    let refused = site.read("refused.csv");
    let (title, rows) = refused.split_once("Karten-Nr.;").expect("a header");
    assert_eq!(title, "\u{feff}Kundenkarten;Stand: 31.01.2026\r\nFiliale Wien\r\n");
    assert_eq!(rows.lines().count(), 4, "{refused}");
    let said = import("refused.csv", "again.csv", 1);
    assert!(said.contains("0 created, 0 updated, 0 unchanged, 3 failed"), "{said}");
    assert_eq!(site.read("again.csv").lines().next(), refused.lines().next());
    let is_mended = |line: &&str| !line.starts_with("Summe") && !line.starts_with("NULL");
    let mended: Vec<&str> = refused.lines().filter(is_mended).collect();
    site.write("mended.csv", mended.join("\r\n").replace("4,00E+15", "4000000000000"));
    let said = import("mended.csv", "third.csv", 0);
    assert!(said.contains("1 created, 0 updated, 0 unchanged, 0 failed"), "{said}");
    // Without skip_lines the error names the line of the header.
    let said = site.run(&["import", "--map", "authentication_code=Karten-Nr.", &till], 1);
    assert!(said.contains("line 4 has the columns: set skip_lines = 2"), "{said}");
}

/// 30,000 rows, of which several thousand are invalid for a few reasons: the summary is short, and the refused rows can be
/// corrected and imported without a change of a valid one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_refused_rows_are_summed_up_mended_and_imported() {
    for on_postgres in [false, true] {
        let site = Site::new(on_postgres);
        let mut rows = "Nr;Karte;Status;Punkte;Notiz\r\n".to_owned();
        for i in 0..30_000 {
            let code = if i % 10 == 3 { "4,2E+12".to_owned() } else { format!("{i:013}") };
            let status = if i % 10 == 5 { "ruht" } else { "aktiv" };
            let points = if i % 10 == 7 { "viele" } else { "1.000,5" };
            rows += &format!("K{i:05};{code};{status};{points};\"Jürgen; {i}\"\r\n");
        }
        let (bytes, ..) = encoding(&rows);
        site.write("cards.csv", &bytes);
        let mapping = "[csv]\nencoding = \"windows-1252\"\ndecimal = \",\"\n[access_token]\nnumber = \"Nr\"\nauthentication_code = \"Karte\"\nlife_cycle_state = { column = \"Status\", map = { aktiv = \"EFFECTIVE\" } }\nudf_float_1 = \"Punkte\"\nudf_string_1 = \"Notiz\"\n";
        site.write("cards.toml", mapping);
        let import = |file: &'static str, rejects: &'static str| {
            ["import", "--mapping", "cards.toml", "--rejects", rejects, file]
        };
        let said = site.run(&import("cards.csv", "refused.csv"), 1);
        assert!(said.contains("21000 created, 0 updated, 0 unchanged, 9000 failed"), "{said}");
        assert!(said.lines().count() < 80, "{} lines", said.lines().count());
        assert_eq!(
            said.lines().filter(|line| line.trim_start().starts_with("3000  INVALID_FIELD_VALUE")).count(),
            3,
            "{said}"
        );
        assert!(said.contains("9000 refused records are in refused.csv"), "{said}");
        let mode = fs::metadata(site.path().join("refused.csv")).expect("a file");
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);

        let refused = site.read("refused.csv");
        assert!(refused.starts_with("\u{feff}Nr;Karte;Status;Punkte;Notiz;reason\r\n"), "{}", &refused[..80]);
        let third = refused.lines().nth(1).unwrap_or_default();
        assert!(third.starts_with("K00003;4,2E+12;aktiv;1.000,5;\"Jürgen; 3\";"), "{third}");
        assert!(third.contains("cards.csv:5: INVALID_FIELD_VALUE"), "{third}");
        // When the same rows are read again, all are refused for the same reasons, and the reasons are not added again.
        let again = site.run(&import("refused.csv", "again.csv"), 1);
        assert!(again.contains("0 created, 0 updated, 0 unchanged, 9000 failed"), "{again}");
        assert_eq!(site.read("again.csv").lines().next(), refused.lines().next());
        // A file that holds refused rows is not overwritten.
        assert!(site.run(&import("cards.csv", "refused.csv"), 1).contains("refused.csv: exists"));

        let mut mended = String::new();
        for line in refused.lines() {
            let number = line.get(1..6).filter(|_| line.starts_with('K')).unwrap_or_default();
            let code = format!("{number:0>13}");
            mended += &line.replace("4,2E+12", &code).replace(";ruht;", ";aktiv;").replace(";viele;", ";1.000,5;");
            mended.push('\n');
        }
        site.write("mended.csv", mended);
        let said = site.run(&import("mended.csv", "third.csv"), 0);
        assert!(said.contains("9000 created, 0 updated, 0 unchanged, 0 failed"), "{said}");
        assert!(!site.path().join("third.csv").exists(), "no row was refused");
        let (_server, client) = site.serve().await;
        for i in [0, 3, 5, 7, 29_993] {
            let card = shown(&client, &format!("{i:013}")).await;
            assert_eq!(
                (&card["udf_string_1"], &card["udf_float_1"]),
                (&json!(format!("Jürgen; {i}")), &json!(1_000.5))
            );
        }
    }
}

/// Returns the text in windows-1252. These tests use only characters that ISO 8859-1 has too.
fn encoding(text: &str) -> (Vec<u8>,) {
    (text.chars().map(|c| u8::try_from(u32::from(c)).expect("a character of ISO 8859-1")).collect(),)
}

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
        // Of "pässword 0042".
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
