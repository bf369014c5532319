//! The mapping of columns to fields: from a file, from `--map FIELD=COLUMN`, or by names.

use serde::Deserialize;
use toml::{Table, Value};

use super::fields::FieldName;
use super::options::{Options, RawOptions};

/// A field of a mapping file, as its table states it.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) value: Option<String>,
    pub(super) column: Option<String>,
    pub(super) columns: Option<Vec<String>>,
    pub(super) join: Option<String>,
    pub(super) empty: Option<Vec<String>>,
    pub(super) default: Option<String>,
    #[serde(rename = "match")]
    pub(super) pattern: Option<String>,
    pub(super) map: Option<std::collections::BTreeMap<String, String>>,
    pub(super) pad: Option<usize>,
    pub(super) case: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) check: Option<String>,
    pub(super) decimal: Option<String>,
    pub(super) date: Option<String>,
}

impl Rule {
    /// Returns the rule of a field that has the value of a column.
    pub(super) fn of_column(column: &str) -> Self {
        Self { column: Some(column.to_owned()), ..Self::default() }
    }
}

/// A mapping: how the file is read, and a rule for each field.
#[derive(Debug, Default, Clone)]
pub(in super::super) struct Mapping {
    pub(in super::super) options: Options,
    pub(super) rules: Vec<(FieldName, Rule)>,
    /// Whether the mapping names fields. If it does not, the columns have the names of fields.
    pub(in super::super) names_fields: bool,
}

impl Mapping {
    /// Reads a mapping file, and overrides it with `FIELD=COLUMN` pairs. An error describes the first wrong part.
    pub(in super::super) fn read(file: Option<&str>, pairs: &[String]) -> Result<Self, String> {
        let mut mapping = file.map_or(Ok(Self::default()), Self::of_file)?;
        let mut given = Vec::new();
        for pair in pairs {
            let (field, column) = pair.split_once('=').ok_or_else(|| format!("--map {pair}: must be FIELD=COLUMN"))?;
            let field = known(field.trim())?;
            if given.contains(&field) {
                return Err(format!("--map {}: is given twice", field.path));
            }
            given.push(field);
            mapping.rules.retain(|(other, _)| *other != field);
            mapping.rules.push((field, Rule::of_column(column)));
        }
        mapping.names_fields |= !pairs.is_empty();
        Ok(mapping)
    }

    fn of_file(text: &str) -> Result<Self, String> {
        let mut file: Table = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let options = match file.remove("csv") {
            Some(options) => RawOptions::deserialize(options).map_err(|error| in_table("csv", &error))?,
            None => RawOptions::default(),
        };
        let mut mapping =
            Self { options: options.try_into().map_err(|what| format!("[csv]: {what}"))?, ..Self::default() };
        match file.remove("access_token") {
            Some(Value::Table(fields)) => mapping.add_fields("", fields)?,
            Some(_) => return Err("access_token must be a table".to_owned()),
            None => {}
        }
        if let Some(unknown) = file.keys().next() {
            return Err(format!("[{unknown}] is not known; known are [csv] and [access_token]"));
        }
        mapping.names_fields = !mapping.rules.is_empty();
        Ok(mapping)
    }

    /// Adds the fields of a table. A name with dots is the same as nested tables.
    fn add_fields(&mut self, parent: &str, fields: Table) -> Result<(), String> {
        for (name, value) in fields {
            let path = if parent.is_empty() { name } else { format!("{parent}.{name}") };
            let rule = match value {
                Value::Table(members) if FieldName::is_group(&path) => {
                    self.add_fields(&path, members)?;
                    continue;
                }
                Value::String(column) => Rule::of_column(&column),
                rule @ Value::Table(_) => {
                    known(&path)?;
                    Rule::deserialize(rule).map_err(|error| in_table(&path, &error))?
                }
                _ => return Err(format!("{path} must be the name of a column, or a table")),
            };
            let field = known(&path)?;
            if self.rules.iter().any(|(other, _)| *other == field) {
                return Err(format!("{path} is given twice"));
            }
            self.rules.push((field, rule));
        }
        Ok(())
    }
}

fn known(path: &str) -> Result<FieldName, String> {
    FieldName::find(path).ok_or_else(|| format!("{path} is not a field; known are {}", FieldName::known()))
}

fn in_table(table: &str, error: &toml::de::Error) -> String {
    format!("{table}: {}", error.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(mapping: &Mapping) -> Vec<&'static str> {
        mapping.rules.iter().map(|(field, _)| field.path).collect()
    }

    #[test]
    fn fields_are_columns_tables_or_tables_in_tables() {
        let text = "
            [csv]
            delimiter = \";\"
            [access_token]
            number = \"No\"
            classification.name = { value = \"Card\" }
            \"accounts_receivable.number\" = \"Owner\"
            log_information = { created_date = \"Since\", updated_date = { column = \"Changed\", date = \"%d.%m.%Y\" } }";
        let mapping = Mapping::read(Some(text), &["number=Other=No".to_owned(), "identifier=E-Mail".to_owned()])
            .expect("a mapping");
        let mut found = names(&mapping);
        found.sort_unstable();
        assert_eq!(
            found,
            [
                "accounts_receivable.number",
                "classification.name",
                "identifier",
                "log_information.created_date",
                "log_information.updated_date",
                "number"
            ]
        );
        let number = mapping.rules.iter().find(|(field, _)| field.path == "number").expect("a rule");
        assert_eq!(number.1.column.as_deref(), Some("Other=No"), "an option wins over the file");
        assert!(mapping.names_fields && mapping.options.delimiter == Some(b';'));
        assert!(!Mapping::read(Some("[csv]\nheader = true"), &[]).expect("options only").names_fields);
    }

    #[test]
    fn unknown_fields_are_refused() {
        for (text, what) in [
            ("[csv]\nencodign = \"utf-8\"", "encodign"),
            ("[access_token]\nauthentification_code = \"a\"", "authentification_code is not a field"),
            ("[access_token]\nclassification = \"a\"", "classification is not a field"),
            ("[access_token]\nclassification.nmae = \"a\"", "classification.nmae is not a field"),
            ("[access_token]\nnumber = { colunm = \"a\" }", "colunm"),
            ("[access_token]\nnumber = { column = 7 }", "number"),
            ("[access_token]\nnumber = 7", "number must be"),
            ("[access_token]\nclassification.name = \"a\"\n\"classification.name\" = \"b\"", "given twice"),
            ("[user]\nusername = \"a\"", "[user]"),
            ("access_token = 1", "table"),
            ("[access_token]\nnumber = ", "number"),
        ] {
            let error = Mapping::read(Some(text), &[]).expect_err(text);
            assert!(error.contains(what), "{text}: {error}");
        }
        for pair in ["number", "nmuber=a", "=a"] {
            assert!(Mapping::read(None, &[pair.to_owned()]).is_err(), "{pair}");
        }
        assert!(Mapping::read(None, &["number=a".to_owned(), "number=b".to_owned()]).is_err());
    }
}
