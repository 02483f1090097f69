//! Canonical JSON (RFC 8785), as much of it as an audit record needs: objects, texts and whole numbers.

use std::fmt::{self, Write};

/// The largest whole number that every JSON reader takes exactly (RFC 8785 §3.2.2.3, RFC 7493 §2.2).
pub const MAX_NUMBER: u64 = (1 << 53) - 1;

/// The most bytes of a text; a longer one is cut and ends in `…`.
pub const MAX_TEXT: usize = 512;

/// An object that is being written. Keys must come sorted: then the text is canonical as it is written.
pub(super) struct Object<'a> {
    out: &'a mut String,
    last_key: &'static str,
}

impl<'a> Object<'a> {
    /// Writes an object with the members that `members` puts in.
    pub(super) fn write(out: &'a mut String, members: impl FnOnce(&mut Object<'_>)) {
        out.push('{');
        members(&mut Object { out, last_key: "" });
        out.push('}');
    }

    /// A text, escaped and cut at [`MAX_TEXT`].
    pub(super) fn text(&mut self, key: &'static str, value: &str) {
        self.key(key);
        self.out.push('"');
        let (mut rest, mark) = cut(value);
        // All that is escaped is a single byte, so what lies between can be copied as it is.
        while let Some(at) = rest.bytes().position(is_escaped) {
            let (plain, special) = rest.split_at(at);
            self.out.push_str(plain);
            let mut special = special.chars();
            special.next().into_iter().for_each(|character| escape(self.out, character));
            rest = special.as_str();
        }
        self.out.push_str(rest);
        self.out.push_str(mark);
        self.out.push('"');
    }

    /// The text that `value` displays as.
    pub(super) fn display(&mut self, key: &'static str, value: impl fmt::Display) {
        self.text(key, &value.to_string());
    }

    /// A number, at most [`MAX_NUMBER`].
    pub(super) fn number(&mut self, key: &'static str, value: u64) {
        self.key(key);
        // Writing to a `String` cannot fail.
        let _ = write!(self.out, "{}", value.min(MAX_NUMBER));
    }

    /// An object.
    pub(super) fn object(&mut self, key: &'static str, members: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        Object::write(self.out, members);
    }

    fn key(&mut self, key: &'static str) {
        debug_assert!(self.last_key < key, "{key} must stand before {}", self.last_key);
        if !self.last_key.is_empty() {
            self.out.push(',');
        }
        self.last_key = key;
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\":");
    }
}

/// What is written of a text, and the mark that there was more.
fn cut(text: &str) -> (&str, &'static str) {
    let end = text.floor_char_boundary(MAX_TEXT);
    (text.get(..end).unwrap_or_default(), if end < text.len() { "…" } else { "" })
}

fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

/// RFC 8785 §3.2.2.2: the two-character escapes where there are some, `\u00xx` for the other control characters, and
/// everything else as it is.
fn escape(out: &mut String, character: char) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\u{c}' => out.push_str("\\f"),
        '\r' => out.push_str("\\r"),
        '\0'..='\u{1f}' => drop(write!(out, "\\u{:04x}", u32::from(character))),
        _ => out.push(character), // none of those that is_escaped() knows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str, number: u64) -> String {
        let mut out = String::new();
        Object::write(&mut out, |object| {
            object.object("a", |inner| inner.number("n", number));
            object.text("b", text);
        });
        out
    }

    #[test]
    fn escapes_are_minimal() {
        assert_eq!(
            written("a\"\\\u{8}\t\n\u{c}\r\0\u{1f}\u{7f}é…</", 7),
            r#"{"a":{"n":7},"b":"a\"\\\b\t\n\f\r\u0000\u001f"#.to_owned() + "\u{7f}é…</\"}"
        );
        assert_eq!(written("", u64::MAX), r#"{"a":{"n":9007199254740991},"b":""}"#);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = written(&"ä".repeat(300), 0);
        assert!(text.ends_with(&("ä".repeat(256) + "…\"}")), "{text}");
        assert_eq!(written(&"x".repeat(512), 0).matches('x').count(), 512);
    }

    #[test]
    #[should_panic(expected = "must stand before")]
    #[cfg(debug_assertions)]
    fn unsorted_keys_are_noticed() {
        Object::write(&mut String::new(), |object| {
            object.number("b", 1);
            object.number("a", 1);
        });
    }

    proptest! {
        /// serde_json escapes as RFC 8785 does and sorts keys, so what it makes of our text must be our text.
        #[test]
        fn another_writer_writes_the_same(text: String, number in 0..=MAX_NUMBER) {
            let ours = written(&text, number);
            let value: serde_json::Value = serde_json::from_str(&ours).unwrap();
            prop_assert_eq!(value.to_string(), ours);
            if text.len() <= MAX_TEXT {
                prop_assert_eq!(value["b"].as_str(), Some(&*text));
            }
        }
    }
}
