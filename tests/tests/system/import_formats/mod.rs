//! Files of every form in the import command: CSV with mappings, encodings, gzip, arrays, and the file of refused records.

mod forms;
mod records;

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
