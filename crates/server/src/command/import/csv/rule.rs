//! Rules of a mapping: the conversion of cells to a value.

use std::borrow::Cow;

use regex::Regex;
use serde_json::Value;

use super::date::DateForm;
use super::fields::{FieldKind, FieldName};
use super::mapping::Rule;
use super::options::{Options, read_decimal};
use super::value::{self, clean, is_damaged};

/// Maximum value of `pad`, which is the maximum length of a code.
const MAX_PAD: usize = 256;
/// Maximum number of characters of a value in a message.
const MAX_QUOTE: usize = 60;

/// A cell with the name of its column.
pub(super) struct Cell<'c> {
    pub(super) name: &'c str,
    pub(super) text: &'c str,
}

/// A field with the conversions of its value, in the order of their application.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: FieldName,
    source: Source,
    empty: Vec<String>,
    default: Option<String>,
    pattern: Option<Regex>,
    map: Option<std::collections::BTreeMap<String, String>>,
    pad: usize,
    case: Option<Case>,
    prefix: String,
    check: Option<Check>,
    decimal: char,
    date: Option<DateForm>,
}

#[derive(Debug)]
enum Source {
    Constant(String),
    Columns { places: Vec<usize>, join: String },
}

#[derive(Debug, Clone, Copy)]
enum Case {
    Upper,
    Lower,
}

#[derive(Debug)]
enum Check {
    Ean(usize),
    Luhn,
    Pattern(Regex),
}

impl Field {
    /// Applies a rule to the columns of a file. `place` finds a column by its name.
    pub(super) fn new(
        name: FieldName,
        rule: &Rule,
        options: &Options,
        place: impl Fn(&str) -> Result<usize, String>,
    ) -> Result<Self, String> {
        let field = Self {
            name,
            source: source(rule, place)?,
            empty: rule.empty.clone().unwrap_or_default(),
            default: rule.default.clone(),
            pattern: rule.pattern.as_deref().map(one_group).transpose()?,
            map: rule.map.clone(),
            pad: rule.pad.unwrap_or(0),
            case: rule.case.as_deref().map(read_case).transpose()?,
            prefix: rule.prefix.clone().unwrap_or_default(),
            check: rule.check.as_deref().map(read_check).transpose()?,
            decimal: rule.decimal.as_deref().map_or(Ok(options.decimal), read_decimal)?,
            date: rule.date.as_deref().map(DateForm::parse).transpose()?.or_else(|| options.date.clone()),
        };
        field.check_rule(rule)?;
        Ok(field)
    }

    /// Refuses rules that no row can satisfy.
    fn check_rule(&self, rule: &Rule) -> Result<(), String> {
        if rule.decimal.is_some() && self.name.kind != FieldKind::Number {
            return Err("decimal is for fields that are numbers".to_owned());
        }
        if rule.date.is_some() && self.name.kind != FieldKind::Date {
            return Err("date is for fields that are dates".to_owned());
        }
        if self.pad > MAX_PAD {
            return Err(format!("pad must be at most {MAX_PAD}"));
        }
        let as_it_is = self.case.is_none() && self.prefix.is_empty();
        for target in self.map.iter().flat_map(|map| map.values()).filter(|_| as_it_is) {
            self.name.check(target)?;
        }
        let known = match (&self.source, &self.default) {
            (Source::Constant(constant), _) => Some(constant),
            (_, default) => default.as_ref(),
        };
        match known {
            Some(known) => self.finish(known).map(|_| ()).map_err(|what| format!("{known:?} {what}")),
            None => Ok(()),
        }
    }

    pub(super) fn uses(&self, place: usize) -> bool {
        matches!(&self.source, Source::Columns { places, .. } if places.contains(&place))
    }

    /// Returns the value of a row. None where it is omitted. The error repeats the value only if it is not a code.
    pub(super) fn value<'c>(&self, cell: impl Fn(usize) -> Cell<'c>) -> Result<Option<Value>, String> {
        let (places, join) = match &self.source {
            Source::Constant(constant) => return self.finish(constant).map(Some),
            Source::Columns { places, join } => (places, join),
        };
        let mut joined: Option<Cow<'c, str>> = None;
        for place in places {
            let Cell { name, text } = cell(*place);
            let text = clean(text);
            if text.is_empty() || self.empty.iter().any(|empty| *empty == text) {
                continue;
            }
            let is_mapped = self.pattern.is_none() && self.map.as_ref().is_some_and(|map| map.contains_key(&*text));
            if is_damaged(&text) && !is_mapped {
                return Err(format!("column {name:?} was damaged by a spreadsheet{}", self.quote(&text)));
            }
            let is_as_it_is = self.pattern.is_none() && !is_mapped;
            if let Some(what) = self.name.refusal(&text).filter(|_| is_as_it_is) {
                return Err(format!("column {name:?} {what}"));
            }
            joined = Some(match joined {
                None => text,
                Some(before) => Cow::Owned(format!("{before}{join}{text}")),
            });
        }
        match joined.as_deref().or(self.default.as_deref()) {
            Some(text) => self.finish(text).map(Some),
            None => Ok(None),
        }
    }

    /// Converts the text of the cells, or the default, to the value.
    fn finish(&self, text: &str) -> Result<Value, String> {
        let mut text = Cow::Borrowed(text);
        if let Some(pattern) = &self.pattern {
            let group = pattern.captures(&text).and_then(|groups| groups.get(1)).map(|group| group.as_str().to_owned());
            text = Cow::Owned(group.ok_or_else(|| format!("does not match {pattern}{}", self.quote(&text)))?);
        }
        if let Some(map) = &self.map {
            let target = map.get(&*text).ok_or_else(|| format!("is not in map{}", self.quote(&text)))?;
            text = Cow::Owned(target.clone());
        }
        if self.pad > 0 {
            if !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("cannot be padded: it has other characters than digits{}", self.quote(&text)));
            }
            text = Cow::Owned(format!("{text:0>width$}", width = self.pad));
        }
        text = match self.case {
            Some(Case::Upper) => Cow::Owned(text.to_uppercase()),
            Some(Case::Lower) => Cow::Owned(text.to_lowercase()),
            None => text,
        };
        if !self.prefix.is_empty() {
            text = Cow::Owned([self.prefix.as_str(), &text].concat());
        }
        match &self.check {
            Some(Check::Ean(length)) if !value::is_ean(&text, *length) => {
                return Err(format!("is not an EAN-{length} with a right check digit"));
            }
            Some(Check::Luhn) if !value::is_luhn(&text) => return Err("does not pass the check of Luhn".to_owned()),
            Some(Check::Pattern(pattern)) if !pattern.is_match(&text) => {
                return Err(format!("does not match {pattern}{}", self.quote(&text)));
            }
            _ => {}
        }
        self.typed(&text)
    }

    fn typed(&self, text: &str) -> Result<Value, String> {
        match self.name.kind {
            FieldKind::Number => value::number(text, self.decimal).map(Value::from).ok_or_else(|| {
                format!("is not a number with the decimal separator {:?}{}", self.decimal, self.quote(text))
            }),
            FieldKind::Date => match &self.date {
                Some(form) => form
                    .to_iso(text)
                    .map(Value::from)
                    .ok_or_else(|| format!("is not a date of the form {}{}", form.text, self.quote(text))),
                // The import reads the date, in its time zone.
                None => Ok(Value::from(text)),
            },
            FieldKind::State => self.name.check(text).map(|()| Value::from(text)),
            FieldKind::Text | FieldKind::Code => Ok(Value::from(text)),
        }
    }

    /// Returns the value for a message. Empty for a code.
    fn quote(&self, text: &str) -> String {
        if self.name.kind == FieldKind::Code {
            return String::new();
        }
        let short: String = text.chars().filter(|c| !c.is_control()).take(MAX_QUOTE).collect();
        format!(": {short:?}")
    }
}

fn source(rule: &Rule, place: impl Fn(&str) -> Result<usize, String>) -> Result<Source, String> {
    let alone = rule.column.is_none() && rule.columns.is_none() && rule.join.is_none() && has_no_transform(rule);
    match (&rule.value, &rule.column, &rule.columns) {
        (Some(value), ..) if alone => Ok(Source::Constant(value.clone())),
        (Some(_), ..) => Err("no other key is allowed beside value".to_owned()),
        (None, Some(_), Some(_)) => Err("has column and columns".to_owned()),
        (None, Some(_), None) if rule.join.is_some() => Err("join needs columns".to_owned()),
        (None, Some(column), None) => Ok(Source::Columns { places: vec![place(column)?], join: String::new() }),
        (None, None, Some(columns)) if !columns.is_empty() => Ok(Source::Columns {
            places: columns.iter().map(|column| place(column)).collect::<Result<_, _>>()?,
            join: rule.join.clone().unwrap_or_else(|| " ".to_owned()),
        }),
        (None, None, _) => Err("needs column, columns or value".to_owned()),
    }
}

fn has_no_transform(rule: &Rule) -> bool {
    let texts = [&rule.default, &rule.pattern, &rule.case, &rule.prefix, &rule.check, &rule.decimal, &rule.date];
    texts.iter().all(|text| text.is_none()) && rule.empty.is_none() && rule.map.is_none() && rule.pad.is_none()
}

fn one_group(text: &str) -> Result<Regex, String> {
    let pattern = Regex::new(text).map_err(|error| format!("match is not a regular expression: {error}"))?;
    if pattern.captures_len() != 2 {
        return Err(format!("match = {text:?} must have one group, which is the value"));
    }
    Ok(pattern)
}

fn read_case(text: &str) -> Result<Case, String> {
    match text {
        "upper" => Ok(Case::Upper),
        "lower" => Ok(Case::Lower),
        _ => Err(format!("case = {text:?} must be \"upper\" or \"lower\"")),
    }
}

fn read_check(text: &str) -> Result<Check, String> {
    match text {
        "ean13" => Ok(Check::Ean(13)),
        "ean8" => Ok(Check::Ean(8)),
        "luhn" => Ok(Check::Luhn),
        _ => Regex::new(&format!("^(?:{text})$"))
            .map(Check::Pattern)
            .map_err(|error| format!("check is neither ean13, ean8, luhn nor a regular expression: {error}")),
    }
}
