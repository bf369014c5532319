//! A mapping for the columns of one file: it converts each row to a record.

use access_tokens_domain::error::Violations;
use access_tokens_domain::import::{self, Record};
use access_tokens_domain::{Error, Reason};
use serde_json::{Map, Value};

use super::fields::{FieldKind, FieldName};
use super::mapping::{Mapping, Rule};
use super::rule::{Cell, Field};
use super::value::trim;

/// The name of the last column of a file of refused rows.
pub(in super::super) const REASON_COLUMN: &str = "reason";

/// Fields with the members of another object, each with the members that identify the object without its id, the usual one first.
const NAMED_BY: [(&str, &[&str]); 3] = [
    ("classification", &["name", "alternative_code"]),
    ("accounts_receivable", &["number", "name"]),
    ("rewards_participant", &["number"]),
];

/// A mapping for the columns of one file.
#[derive(Debug)]
pub(super) struct Plan {
    fields: Vec<Field>,
    /// Names of the columns.
    columns: Vec<String>,
    /// Position of the column without which a row is skipped.
    skip_without: Option<usize>,
    /// Columns that the mapping does not use.
    pub(super) unmapped: Vec<String>,
    /// Whether the last column has the reasons of an earlier import.
    pub(super) has_reasons: bool,
}

impl Plan {
    /// Applies a mapping to columns. The error describes what does not fit.
    pub(super) fn new(mapping: &Mapping, columns: &[String]) -> Result<Self, String> {
        let columns: Vec<String> = columns.iter().map(|name| trim(name).to_owned()).collect();
        let rules = if mapping.names_fields { mapping.rules.clone() } else { rules_by_name(&columns)? };
        let skip_without = mapping.options.skip_without.as_deref();
        let used = |name: &str| {
            let mut of_rules = rules.iter().flat_map(|(_, rule)| columns_of(rule));
            of_rules.any(|used| used == name) || skip_without == Some(name)
        };
        let has_reasons = columns.split_last().is_some_and(|(last, before)| {
            last == REASON_COLUMN && (before.contains(last) || !used(REASON_COLUMN)) && !before.is_empty()
        });
        let visible = if has_reasons { &columns[..columns.len() - 1] } else { &columns[..] };
        let place = |name: &str| find(visible, name);
        let mut fields = Vec::with_capacity(rules.len());
        for (field, rule) in &rules {
            let bound = Field::new(*field, rule, &mapping.options, place);
            fields.push(bound.map_err(|what| format!("{}: {what}", field.path))?);
        }
        check_names(&rules)?;
        let skip_without = skip_without.map(place).transpose().map_err(|what| format!("skip_without: {what}"))?;
        let unmapped = visible.iter().filter(|name| !name.is_empty() && !used(name)).cloned().collect();
        Ok(Self { fields, skip_without, unmapped, has_reasons, columns })
    }

    /// Returns whether a code is made of the cells of a column, so that no message may repeat them.
    pub(super) fn is_secret(&self, place: usize) -> bool {
        self.fields.iter().any(|field| field.name.kind == FieldKind::Code && field.uses(place))
    }

    /// Returns the record of a row. None for a row that is skipped. A row may have fewer cells than there are columns.
    pub(super) fn record(&self, cells: &[&str]) -> Option<Result<Record, Error>> {
        // The reason of an earlier import is not a part of the row.
        let own = if self.has_reasons { cells.len().min(self.columns.len() - 1) } else { cells.len() };
        if cells[..own].iter().all(|cell| trim(cell).is_empty()) {
            return None;
        }
        if self.skip_without.is_some_and(|place| cells.get(place).is_none_or(|cell| trim(cell).is_empty())) {
            return None;
        }
        if cells.len() > self.columns.len() {
            let (cells, columns) = (cells.len(), self.columns.len());
            let text =
                format!("has {cells} cells, but the file has {columns} columns: is a quote or a delimiter missing?");
            return Some(Err(Error::field(Reason::InvalidFieldValue, "", text)));
        }
        Some(self.values(cells))
    }

    fn values(&self, cells: &[&str]) -> Result<Record, Error> {
        let (mut object, mut violations) = (Map::new(), Violations::default());
        for field in &self.fields {
            let cell =
                |place: usize| Cell { name: &self.columns[place], text: cells.get(place).copied().unwrap_or_default() };
            match field.value(cell) {
                Ok(Some(value)) => insert(&mut object, field.name.path, value),
                Ok(None) => {}
                Err(what) => {
                    let path = format!("access_token.{}", field.name.path);
                    violations.add(Reason::InvalidFieldValue, path, what);
                }
            }
        }
        violations.into_result()?;
        self.keep_keys(&mut object);
        let mut records = import::from_value(serde_json::json!({ "access_token": object }))?;
        records.pop().ok_or_else(|| Error::internal("a row without a record"))
    }

    /// Sets the number or id of an owner to null if it is mapped and its cell is empty, so that a row does not identify the owner by the
    /// name alone where the mapping says otherwise.
    fn keep_keys(&self, object: &mut Map<String, Value>) {
        for field in &self.fields {
            let Some((group, member @ ("id" | "number"))) = field.name.path.split_once('.') else { continue };
            if let Some(Value::Object(members)) = object.get_mut(group) {
                members.entry(member).or_insert(Value::Null);
            }
        }
    }
}

/// Returns the rules of a file without a mapping, whose columns have the names of fields.
fn rules_by_name(columns: &[String]) -> Result<Vec<(FieldName, Rule)>, String> {
    let mut rules = Vec::new();
    for (index, name) in columns.iter().enumerate() {
        match FieldName::find(name) {
            Some(field) => rules.push((field, Rule::of_column(name))),
            // Spreadsheets leave an empty column at the end.
            None if name.is_empty() || (index + 1 == columns.len() && name == REASON_COLUMN) => {}
            None => {
                let text = "without --map and --mapping (see --inspect), each column must have the name of a field";
                return Err(format!("{name:?} is not a field; {text}: {}", FieldName::known()));
            }
        }
    }
    if rules.is_empty() {
        return Err(format!("no column has the name of a field: {}", FieldName::known()));
    }
    Ok(rules)
}

/// Refuses members of an object without a member that identifies it, because each row would be refused.
fn check_names(rules: &[(FieldName, Rule)]) -> Result<(), String> {
    for (object, keys) in NAMED_BY {
        let mut members = rules.iter().filter_map(|(field, _)| field.path.strip_prefix(object)?.strip_prefix('.'));
        let Some(first) = members.next() else { continue };
        if !std::iter::once(first).chain(members).any(|member| member == "id" || keys.contains(&member)) {
            let names = keys.iter().map(|key| format!("{object}.{key}")).collect::<Vec<_>>().join(" or ");
            return Err(format!("{names} is missing: {object}.{first} needs it, or {object}.id"));
        }
    }
    Ok(())
}

fn columns_of(rule: &Rule) -> impl Iterator<Item = &str> {
    rule.column.iter().chain(rule.columns.iter().flatten()).map(|name| trim(name))
}

/// Returns the position of the only column with this name.
fn find(columns: &[String], name: &str) -> Result<usize, String> {
    let mut places = columns.iter().enumerate().filter(|(_, column)| *column == trim(name)).map(|(place, _)| place);
    match (places.next(), places.next()) {
        (Some(place), None) => Ok(place),
        (Some(_), Some(_)) => Err(format!(
            "the file has more than one column {name:?}: rename one in the file, or set header = false and skip_lines so that columns \
             are named 1, 2, ..."
        )),
        (None, _) => Err(format!("the file has no column {name:?}")),
    }
}

/// Inserts a value into an object. A name with dots creates nested objects.
fn insert(object: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => _ = object.insert(path.to_owned(), value),
        Some((first, rest)) => {
            let member = object.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(member) = member {
                insert(member, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
