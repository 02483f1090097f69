//! A parsed TOML text that still knows where everything stands.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A step on the way from the top of a document to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// The way from the top of a document to a value. Displayed with dots between the keys and without the indices: the
/// line that goes with it tells which one is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyPath(pub(super) Vec<Step>);

impl KeyPath {
    pub(super) fn join(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    pub(super) fn key(&self, key: &str) -> Self {
        self.join(Step::Key(key.to_owned()))
    }

    /// The path without its last step, and that step.
    pub(super) fn split_last(&self) -> Option<(Self, &Step)> {
        let (last, rest) = self.0.split_last()?;
        Some((Self(rest.to_vec()), last))
    }

    /// Keys and indices joined by dots.
    fn exact(&self) -> String {
        let steps = self.0.iter().map(|step| match step {
            Step::Key(key) => key.clone(),
            Step::Index(index) => index.to_string(),
        });
        steps.collect::<Vec<_>>().join(".")
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        });
        f.write_str(&keys.collect::<Vec<_>>().join("."))
    }
}

/// The line of every key of a document, kept after the text is gone.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    by_path: BTreeMap<String, u32>,
}

impl Lines {
    /// The line of what `path` names, its steps joined by dots and array elements counted from 0
    /// (`"listener.0.address"`), or of the nearest table around it; none if no table around it is in the file.
    pub fn of(&self, path: &str) -> Option<u32> {
        let mut path = path;
        loop {
            if let Some(line) = self.by_path.get(path) {
                return Some(*line);
            }
            path = path.rsplit_once('.')?.0;
        }
    }

    /// Whether the file says anything at `path`.
    pub fn has(&self, path: &str) -> bool {
        self.by_path.contains_key(path)
    }
}

/// A parsed document.
#[derive(Clone)]
pub(super) struct Document<'t> {
    text: &'t str,
    pub(super) root: Spanned<DeTable<'t>>,
}

impl<'t> Document<'t> {
    /// Parses `text`; all syntax errors, each with its line.
    pub(super) fn parse(text: &'t str) -> Result<Self, Vec<(u32, String)>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self { text, root });
        }
        let with_line = |error: &toml::de::Error| {
            let line = error.span().map_or(1, |span| line_at(text, span.start));
            (line, error.message().replace('\n', " "))
        };
        Err(errors.iter().map(with_line).collect())
    }

    /// The line, from 1, of a place in the text.
    pub(super) fn line_at(&self, offset: usize) -> u32 {
        line_at(self.text, offset)
    }

    /// What is written there.
    pub(super) fn text(&self, span: &Range<usize>) -> Option<&'t str> {
        self.text.get(span.clone())
    }

    /// The innermost value that holds `span`.
    pub(super) fn path_at(&self, span: &Range<usize>) -> KeyPath {
        let holds = |place: &Place| place.value.start <= span.start && span.end <= place.value.end;
        let innermost = self.places().into_iter().filter(holds).max_by_key(|place| place.path.0.len());
        innermost.map(|place| place.path).unwrap_or_default()
    }

    /// Every line that `Lines` can be asked for.
    pub(super) fn lines(&self) -> Lines {
        let line = |place: Place| (place.path.exact(), self.line_at(place.key.unwrap_or(place.value).start));
        Lines { by_path: self.places().into_iter().map(line).collect() }
    }

    /// Takes away what stands at `path`.
    pub(super) fn remove(&mut self, path: &KeyPath) {
        let Some((parent, last)) = path.split_last() else { return };
        match (last, parent.0.is_empty()) {
            (Step::Key(key), true) => drop(self.root.get_mut().remove(key.as_str())),
            (Step::Key(key), false) => {
                if let Some(DeValue::Table(table)) = self.value_mut(&parent) {
                    table.remove(key.as_str());
                }
            }
            (Step::Index(index), _) => {
                if let Some(DeValue::Array(array)) = self.value_mut(&parent) {
                    *array = take_out(array, *index);
                }
            }
        }
    }

    /// Puts `value` in the place of what stands at `path`, or adds it there.
    pub(super) fn put(&mut self, path: &KeyPath, value: DeValue<'t>) {
        let Some((parent, Step::Key(key))) = path.split_last() else { return };
        let table = match self.value_mut(&parent) {
            Some(DeValue::Table(table)) => table,
            None if parent.0.is_empty() => self.root.get_mut(),
            _ => return,
        };
        let key = Spanned::new(0..0, Cow::Owned(key.clone()));
        table.insert(key, Spanned::new(0..0, value));
    }

    fn value_mut(&mut self, path: &KeyPath) -> Option<&mut DeValue<'t>> {
        let (first, rest) = path.0.split_first()?;
        let Step::Key(first) = first else { return None };
        let mut value = self.root.get_mut().get_mut(first.as_str())?.get_mut();
        for step in rest {
            value = match (step, value) {
                (Step::Key(key), DeValue::Table(table)) => table.get_mut(key.as_str())?.get_mut(),
                (Step::Index(index), DeValue::Array(array)) => array.get_mut(*index)?.get_mut(),
                _ => return None,
            };
        }
        Some(value)
    }

    fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        note_table(self.root.get_ref(), &KeyPath::default(), &mut places);
        places
    }
}

/// Where a value stands in the text, and its key if it has one.
struct Place {
    path: KeyPath,
    key: Option<Range<usize>>,
    value: Range<usize>,
}

fn note_table(table: &DeTable<'_>, path: &KeyPath, places: &mut Vec<Place>) {
    for (key, value) in table.iter() {
        let path = path.key(key.get_ref());
        places.push(Place { path: path.clone(), key: Some(key.span()), value: value.span() });
        note_value(value, &path, places);
    }
}

fn note_value(value: &Spanned<DeValue<'_>>, path: &KeyPath, places: &mut Vec<Place>) {
    match value.get_ref() {
        DeValue::Table(table) => note_table(table, path, places),
        DeValue::Array(array) => {
            for (index, value) in array.iter().enumerate() {
                let path = path.join(Step::Index(index));
                places.push(Place { path: path.clone(), key: None, value: value.span() });
                note_value(value, &path, places);
            }
        }
        _ => {}
    }
}

fn take_out<'t>(array: &toml::de::DeArray<'t>, index: usize) -> toml::de::DeArray<'t> {
    array.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, value)| value.clone()).collect()
}

fn line_at(text: &str, offset: usize) -> u32 {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    let newlines = before.iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(newlines).map_or(u32::MAX, |newlines| newlines.saturating_add(1))
}
