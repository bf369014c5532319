use serde_json::{Value, json};

use super::super::mapping::Mapping;
use super::*;

fn plan(mapping: &str, columns: &[&str]) -> Result<Plan, String> {
    let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
    Plan::new(&Mapping::read(Some(mapping).filter(|text| !text.is_empty()), &[])?, &columns)
}

/// Returns the record of a row, or the error. `null` is a skipped row.
fn record(plan: &Plan, cells: &[&str]) -> Result<Value, String> {
    match plan.record(cells) {
        None => Ok(Value::Null),
        Some(Ok(record)) => Ok(Value::Object(record.object)),
        Some(Err(error)) => Err(error.message().to_owned()),
    }
}

/// Returns a mapping of one field to the column `c`.
fn one(field: &str, rule: &str) -> Plan {
    plan(&format!("[access_token]\n{field} = {{ column = \"c\", {rule} }}"), &["c"]).expect("a plan")
}

fn value(plan: &Plan, field: &str, cell: &str) -> Result<Value, String> {
    // A second cell, so that an empty cell is not an empty row.
    record(plan, &[cell]).map(|record| record.get(field).cloned().unwrap_or_default())
}

#[test]
fn each_transform_takes_a_value_and_refuses_another() {
    for (field, rule, good, expected, bad, what) in [
        ("number", "match = \"^No ([0-9]+)\"", "No 7 (old)", json!("7"), "7", "does not match"),
        ("number", "match = \"(?:a)?(b)?\"", "ab", json!("b"), "x", "does not match"),
        (
            "life_cycle_state",
            "map = { on = \"EFFECTIVE\", \"#N/A\" = \"NOT_EFFECTIVE\" }",
            "on",
            json!("EFFECTIVE"),
            "ON",
            "not in map: \"ON\"",
        ),
        ("number", "pad = 6", "0042", json!("000042"), "42A", "padded"),
        (
            "authentication_code",
            "pad = 13, check = \"ean13\"",
            "42123456784",
            json!("0042123456784"),
            "42123456785",
            "EAN-13",
        ),
        ("authentication_code", "check = \"ean8\"", "96385074", json!("96385074"), "96385075", "EAN-8"),
        ("authentication_code", "check = \"luhn\"", "18", json!("18"), "19", "Luhn"),
        ("authentication_code", "check = \"[A-Z]{2}|[0-9]+\"", "AB", json!("AB"), "ABC", "does not match"),
        (
            "identifier",
            "case = \"lower\", check = \".+@.+\"",
            "Me@Example.ORG",
            json!("me@example.org"),
            "me",
            "does not match",
        ),
        ("udf_float_1", "decimal = \",\"", "1.234,50", json!(1_234.5), "1.5", "not a number"),
        ("udf_float_1", "match = \"^([0-9.,]+)\"", "120.00 Points", json!(120.0), "Points", "does not match"),
        (
            "udf_date_1",
            "date = \"%d.%m.%Y\"",
            "1.2.2027",
            json!("2027-02-01"),
            "2027-02-01",
            "not a date of the form %d.%m.%Y",
        ),
        ("udf_string_1", "prefix = \"x\"", "y", json!("xy"), "#VALUE!", "damaged by a spreadsheet"),
    ] {
        let plan = one(field, rule);
        assert_eq!(value(&plan, field, good), Ok(expected), "{field} {rule}");
        let refused = value(&plan, field, bad).expect_err(rule);
        assert!(refused.contains(what) && refused.starts_with(&format!("access_token.{field}: ")), "{refused}");
    }
    let mapped = one("life_cycle_state", "map = { \"#N/A\" = \"NOT_EFFECTIVE\" }");
    assert_eq!(
        value(&mapped, "life_cycle_state", "#N/A"),
        Ok(json!("NOT_EFFECTIVE")),
        "what the mapping names is wanted"
    );
    let left_out = one("udf_string_1", "empty = [\"#N/A\"]");
    assert_eq!(record(&left_out, &["#N/A"]), Ok(json!({})));
}

#[test]
fn transforms_are_applied_in_their_order() {
    let plan = plan(
        "[access_token]
        authentication_code = { columns = [\"a\", \"b\"], join = \"-\", empty = [\"0\"], default = \"no 9-7\", match = \"no (.*)\", map = { \"1-2\" = \"12\", \"9-7\" = \"7\", \"3\" = \"3\" }, pad = 3, prefix = \"x\", case = \"upper\", check = \"x[0-9]{3}\" }
        number = { columns = [\"a\", \"b\"] }
        udf_string_1 = { value = \"constant\" }
        udf_float_2 = { value = \"2\" }",
        &["a", "b"],
    );
    let plan = plan.expect("a plan");
    let row = |a, b| record(&plan, &[a, b]);
    let made = |code: &str, number: &str| {
        Ok(json!({"authentication_code": code, "number": number, "udf_string_1": "constant", "udf_float_2": 2.0}))
    };
    assert_eq!(row("no 1", "2"), made("x012", "no 1 2"));
    assert_eq!(row("0", " no 3 "), made("x003", "0 no 3"));
    assert_eq!(row("0", ""), made("x007", "0"), "the default stands for the cell");
    assert_eq!(row("", " "), Ok(Value::Null), "an empty row is skipped");
    assert!(row("no 1", "3").expect_err("refused").contains("is not in map"));
}

#[test]
fn an_empty_cell_leaves_its_field_out() {
    let mapping = "[access_token]\nnumber = \"n\"\nidentifier = { column = \"i\", empty = [\"0\", \"[]\"] }\nlife_cycle_state = { column = \"s\", default = \"x\", map = { x = \"NOT_EFFECTIVE\" } }\nclassification.name = \"k\"\nclassification.alternative_code = \"l\"";
    let plan = plan(mapping, &["n", "i", "s", "k", "l"]).expect("a plan");
    let made = |identifier: &str| record(&plan, &["1", identifier]);
    for empty in ["", "\u{a0}", "0", " [] "] {
        assert_eq!(made(empty), Ok(json!({"number": "1", "life_cycle_state": "NOT_EFFECTIVE"})), "{empty:?}");
    }
    assert_eq!(
        record(&plan, &["1", "00", "x", "K", "L"]),
        Ok(
            json!({"number": "1", "identifier": "00", "life_cycle_state": "NOT_EFFECTIVE", "classification": {"name": "K", "alternative_code": "L"}})
        )
    );
    assert!(record(&plan, &["1", "", "x", "K", "L", "M"]).expect_err("refused").contains("6 cells"));
    // A row may end with empty cells, but not have more cells than there are columns.
    assert!(record(&plan, &["1", "", "x", "K", "L", ""]).is_err());
}

#[test]
fn every_mistake_of_a_mapping_is_found_before_the_first_row() {
    for (rule, what) in [
        ("number = \"x\"", "no column \"x\""),
        ("number = \"d\"", "more than one column"),
        ("number = {}", "needs column"),
        ("number = { columns = [] }", "needs column"),
        ("number = { column = \"c\", columns = [\"c\"] }", "column and columns"),
        ("number = { column = \"c\", join = \"-\" }", "join"),
        ("number = { value = \"7\", pad = 3 }", "beside value"),
        ("number = { value = \"7\", column = \"c\" }", "beside value"),
        ("number = { value = \"7\", join = \"\" }", "beside value"),
        ("number = { column = \"c\", match = \"(\" }", "regular expression"),
        ("number = { column = \"c\", match = \"a\" }", "one group"),
        ("number = { column = \"c\", match = \"(a)(b)\" }", "one group"),
        ("number = { column = \"c\", check = \"(\" }", "regular expression"),
        ("number = { column = \"c\", case = \"title\" }", "case"),
        ("number = { column = \"c\", pad = 257 }", "pad"),
        ("number = { column = \"c\", pad = -1 }", "number"),
        ("number = { column = \"c\", decimal = \",\" }", "decimal is for"),
        ("number = { column = \"c\", date = \"%d.%m.%Y\" }", "date is for"),
        ("udf_float_1 = { column = \"c\", decimal = \";\" }", "decimal"),
        ("udf_float_1 = { value = \"seven\" }", "not a number"),
        ("udf_date_1 = { column = \"c\", date = \"dd.mm\" }", "date"),
        ("life_cycle_state = { value = \"ACTIVE\" }", "no state"),
        ("life_cycle_state = { column = \"c\", map = { a = \"ACTIVE\" } }", "no state"),
        ("life_cycle_state = { column = \"c\", default = \"x\", map = { a = \"EFFECTIVE\" } }", "not in map"),
        ("authentication_code = { column = \"c\", default = \"7\", check = \"ean13\" }", "EAN-13"),
        (
            "accounts_receivable.life_cycle_state = \"c\"",
            "accounts_receivable.number or accounts_receivable.name is missing: accounts_receivable.life_cycle_state needs it, or accounts_receivable.id",
        ),
    ] {
        let error = plan(&format!("[access_token]\n{rule}"), &["c", "d", "d"]).expect_err(rule);
        assert!(error.contains(what), "{rule}: {error}");
    }
    for named in ["id", "number"] {
        let mapping = format!("[access_token]\naccounts_receivable.name = \"c\"\naccounts_receivable.{named} = \"d\"");
        assert!(plan(&mapping, &["c", "d"]).is_ok(), "{named}");
    }
    assert!(
        plan("[csv]\nskip_without = \"x\"\n[access_token]\nnumber = \"c\"", &["c"])
            .expect_err("refused")
            .contains("skip_without")
    );
}

#[test]
fn without_a_mapping_columns_are_fields() {
    let columns = ["number", " authentication_code\u{a0}", "classification.name", "", "reason"];
    let plan = plan("", &columns).expect("a plan");
    assert_eq!(
        record(&plan, &["1", "=\"0042\"", "Card"]),
        Ok(json!({"number": "1", "authentication_code": "0042", "classification": {"name": "Card"}}))
    );
    assert!(plan.has_reasons && plan.unmapped.is_empty());
    let error = self::plan("", &["number", "Karten-Nr."]).expect_err("refused");
    assert!(error.contains("\"Karten-Nr.\" is not a field") && error.contains("udf_string_1"), "{error}");
    assert!(self::plan("", &["reason"]).is_err() && self::plan("", &["reason", "number"]).is_err());
    assert!(self::plan("", &["number", "number"]).is_err());
}

#[test]
fn reasons_of_an_earlier_import_are_no_part_of_the_file() {
    let mapping = "[access_token]\nnumber = \"n\"";
    let with_reasons = plan(mapping, &["n", "x", "reason"]).expect("a plan");
    assert!(with_reasons.has_reasons);
    assert_eq!(with_reasons.unmapped, ["x"]);
    assert_eq!(record(&with_reasons, &["1", "", "because"]), Ok(json!({"number": "1"})));
    assert_eq!(record(&with_reasons, &["", "", "because"]), Ok(Value::Null), "a row that was emptied");
    // A column of the file with that name, and another one after it.
    let own = "[access_token]\nnumber = \"n\"\nudf_string_1 = \"reason\"";
    let used = plan(own, &["n", "reason"]).expect("a plan");
    assert!(!used.has_reasons);
    let both = plan(own, &["n", "reason", "reason"]).expect("a plan");
    assert!(both.has_reasons);
    assert_eq!(record(&both, &["1", "theirs", "ours"]), Ok(json!({"number": "1", "udf_string_1": "theirs"})));
}

#[test]
fn cells_that_name_nothing_are_refused_where_they_would_be_names() {
    for (field, cell, what) in [
        ("authentication_code", "NULL", "list it in empty"),
        ("identifier", "\\N", "list it in empty"),
        ("accounts_receivable.number", "null", "list it in empty"),
        ("pass_code", "NULL", "list it in empty"),
        ("authentication_code", "Summe:", "line of totals"),
        ("authentication_code", "'ABC'", "quotes"),
        ("number", "4200000000000.0", "decimal point"),
    ] {
        let plan = one(field, "case = \"upper\"");
        let refused = record(&plan, &[cell]).expect_err(cell);
        assert!(refused.contains(what) && refused.contains("column \"c\"") && !refused.contains("ABC"), "{refused}");
    }
    for (field, cell) in [("udf_string_1", "NULL"), ("pass_code", "total"), ("pass_code", "'ABC'")] {
        assert!(record(&one(field, "prefix = \"\""), &[cell]).is_ok(), "{field} {cell}");
    }
    // A column that the mapping names is used.
    assert_eq!(
        value(&one("authentication_code", "map = { Total = \"T\" }"), "authentication_code", "Total"),
        Ok(json!("T"))
    );
    assert_eq!(value(&one("number", "match = \"^'(.*)'$\""), "number", "'7'"), Ok(json!("7")));
    let empty = one("authentication_code", "empty = [\"NULL\"]");
    assert_eq!(record(&empty, &["NULL"]), Ok(json!({})));
}

#[test]
fn owners_are_named_by_number_or_by_name() {
    let both = "[access_token]\nnumber = \"n\"\naccounts_receivable.name = \"c\"\naccounts_receivable.number = \"d\"";
    let plan = plan(both, &["n", "c", "d"]).expect("a plan");
    assert_eq!(
        record(&plan, &["1", "Ana", "7"]),
        Ok(json!({"number": "1", "accounts_receivable": {"name": "Ana", "number": "7"}}))
    );
    assert_eq!(
        record(&plan, &["1", "Ana"]),
        Ok(json!({"number": "1", "accounts_receivable": {"name": "Ana", "number": null}}))
    );
    assert_eq!(record(&plan, &["1"]), Ok(json!({"number": "1"})));
    let name =
        self::plan("[access_token]\nnumber = \"n\"\naccounts_receivable.name = \"c\"", &["n", "c"]).expect("a plan");
    assert_eq!(record(&name, &["1", "Ana"]), Ok(json!({"number": "1", "accounts_receivable": {"name": "Ana"}})));
    assert!(self::plan("[access_token]\nclassification.alternative_code = \"c\"", &["c"]).is_ok());
}

#[test]
fn codes_are_not_repeated_and_other_values_are() {
    let mapping = "[access_token]\nauthentication_code = { column = \"a\", map = { x = \"y\" } }\nudf_string_1 = { column = \"b\", map = { x = \"y\" } }\npass_code = { column = \"p\", pad = 4 }";
    let plan = plan(mapping, &["a", "b", "p"]).expect("a plan");
    let error = record(&plan, &["HUSH", "told", "SECRET"]).expect_err("refused");
    assert!(!error.contains("HUSH") && !error.contains("SECRET") && error.contains("told"), "{error}");
    assert_eq!(error.matches("access_token.").count(), 3, "all fields at fault: {error}");
    assert!(plan.is_secret(0) && !plan.is_secret(1) && plan.is_secret(2));
}
