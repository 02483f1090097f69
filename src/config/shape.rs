//! The JSON Schema of the configuration: published for editors, and walked by the loader and the reference, so that
//! there is one list of keys.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::schema::Config;

/// The JSON Schema (draft 2020-12) of the configuration file.
pub fn json_schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Config>().to_value();
    tidy(&mut schema);
    if let Value::Object(map) = &mut schema {
        map.insert("title".into(), "turnkeep configuration".into());
    }
    schema
}

/// TOML has no null: an optional key is there or not. And a description's line breaks are those of the source.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, value| !(key == "default" && value.is_null()));
            if let Some(Value::String(description)) = map.get_mut("description") {
                *description = description.replace('\n', " ");
            }
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".into(), only);
                }
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(values) => values.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// A table of the configuration, as its schema describes it.
#[derive(Clone, Copy)]
pub(super) struct Shape<'s> {
    schema: &'s Map<String, Value>,
}

/// What a key holds.
pub(super) enum Kind<'s> {
    Table(Shape<'s>),
    Tables(Shape<'s>),
    Value,
}

/// A key of a table.
#[derive(Clone, Copy)]
pub(super) struct Key<'s> {
    pub(super) name: &'s str,
    pub(super) required: bool,
    schema: &'s Map<String, Value>,
}

impl<'s> Shape<'s> {
    /// The top of a schema made by [`json_schema`].
    pub(super) fn of_root(schema: &'s Value) -> Option<Self> {
        schema.as_object().map(|schema| Self { schema })
    }

    /// Its keys, in the order of the struct's fields.
    pub(super) fn keys(self) -> impl Iterator<Item = Key<'s>> {
        let properties = self.schema.get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().filter_map(move |(name, schema)| self.as_key(name, schema))
    }

    /// One of its keys.
    pub(super) fn key(self, name: &str) -> Option<Key<'s>> {
        self.keys().find(|key| key.name == name)
    }

    fn as_key(self, name: &'s str, schema: &'s Value) -> Option<Key<'s>> {
        let required = self.schema.get("required").and_then(Value::as_array);
        let required = required.is_some_and(|names| names.iter().any(|required| required == name));
        Some(Key { name, required, schema: schema.as_object()? })
    }
}

impl<'s> Key<'s> {
    /// What it holds.
    pub(super) fn kind(self) -> Kind<'s> {
        if self.schema.contains_key("properties") {
            return Kind::Table(Shape { schema: self.schema });
        }
        let items = self.schema.get("items").and_then(Value::as_object);
        match items {
            Some(schema) if schema.contains_key("properties") => Kind::Tables(Shape { schema }),
            _ => Kind::Value,
        }
    }

    /// What it means.
    pub(super) fn description(self) -> &'s str {
        self.schema.get("description").and_then(Value::as_str).unwrap_or_default()
    }

    /// What may be written; none where the words are listed by [`Key::words`].
    pub(super) fn allowed(self) -> Option<&'s str> {
        let schema = self.schema.get("items").and_then(Value::as_object).unwrap_or(self.schema);
        schema.get("title").and_then(Value::as_str)
    }

    /// Whether it takes a list.
    pub(super) fn is_list(self) -> bool {
        self.schema.contains_key("items")
    }

    /// Whether it takes a point in time, which TOML writes without quotes.
    pub(super) fn is_time(self) -> bool {
        self.schema.get("format").is_some_and(|format| format == "date-time")
    }

    /// The words it takes, each with its meaning; none if it takes something else.
    pub(super) fn words(self) -> impl Iterator<Item = (&'s str, &'s str)> {
        let words = self.schema.get("oneOf").and_then(Value::as_array);
        words.into_iter().flatten().filter_map(|word| {
            let meaning = word.get("description").and_then(Value::as_str).unwrap_or_default();
            Some((word.get("const")?.as_str()?, meaning))
        })
    }

    /// Its value where the file says nothing.
    pub(super) fn default(self) -> Option<&'s Value> {
        self.schema.get("default")
    }

    /// A value it could have.
    pub(super) fn example(self) -> Option<&'s Value> {
        self.schema.get("examples").and_then(Value::as_array).and_then(|examples| examples.first())
    }
}
