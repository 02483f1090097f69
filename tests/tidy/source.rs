//! A Rust file as the rules see it: its text, and the same text with comments and literals blanked out, byte for byte
//! in the same place.

use std::ops::Range;

/// One file of the repository.
pub(crate) struct Source {
    /// Relative to the repository, with `/`.
    pub(crate) path: String,
    /// As it is.
    pub(crate) text: String,
    /// Comments and the insides of literals are spaces; for other than Rust files the same as `text`.
    pub(crate) code: String,
    tests: Vec<Range<usize>>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let is_rust = path.ends_with(".rs");
        let code = if is_rust { blank_comments_and_literals(text) } else { text.to_owned() };
        let tests = if is_rust { test_items(&code) } else { Vec::new() };
        Self { path: path.to_owned(), text: text.to_owned(), code, tests }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The module path that the file is the root of: `["relay", "table"]` for src/relay/table.rs; nothing for files
    /// outside src and for the crates' roots.
    pub(crate) fn module(&self) -> Vec<&str> {
        let Some(path) = self.path.strip_prefix("src/").and_then(|path| path.strip_suffix(".rs")) else {
            return Vec::new();
        };
        if matches!(path, "lib" | "main") { Vec::new() } else { path.trim_end_matches("/mod").split('/').collect() }
    }

    /// The floor's module: the first part of [`Source::module`].
    pub(crate) fn floor(&self) -> Option<&str> {
        self.module().first().copied()
    }

    /// The line, counted from 1, that holds the byte at `offset`.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset].iter().filter(|&&byte| byte == b'\n').count() + 1
    }

    /// Whether the byte at `offset` is compiled for tests only.
    pub(crate) fn is_test_code(&self, offset: usize) -> bool {
        !self.path.starts_with("src/") || self.tests.iter().any(|range| range.contains(&offset))
    }

    /// The modules in files of their own that this file declares for tests only, as paths.
    pub(crate) fn test_modules(&self) -> Vec<Vec<String>> {
        let name = |item: &Range<usize>| {
            let (_, name) = self.code[item.clone()].strip_suffix(';')?.rsplit_once("mod ")?;
            Some(name.trim().to_owned())
        };
        let own = self.module().into_iter().map(str::to_owned).collect::<Vec<_>>();
        self.tests.iter().filter_map(name).map(|name| [own.clone(), vec![name]].concat()).collect()
    }

    /// Takes all of the file for test code, as its parent declares it.
    pub(crate) fn mark_as_test(&mut self) {
        self.tests.push(0..self.code.len());
    }

    /// Where `words`, one identifier or a path or macro such as `std::fs` or `todo!`, stands in the code.
    pub(crate) fn find(&self, words: &str) -> Vec<usize> {
        let bytes = self.code.as_bytes();
        let ends_in_name = words.ends_with(is_name);
        let whole = |&(at, _): &(usize, &str)| {
            let before = at.checked_sub(1).and_then(|at| bytes.get(at)).copied();
            let after = bytes.get(at + words.len()).copied();
            !(before.is_some_and(is_name_byte) || ends_in_name && after.is_some_and(is_name_byte))
        };
        self.code.match_indices(words).filter(whole).map(|(at, _)| at).collect()
    }

    /// How many inline modules the byte at `offset` is inside of.
    pub(crate) fn inline_depth(&self, offset: usize) -> usize {
        let opens_module = |at: &usize| {
            let rest = self.code[*at + "mod".len()..].trim_start();
            rest.trim_start_matches(is_name).trim_start().starts_with('{')
        };
        self.find("mod")
            .into_iter()
            .filter(opens_module)
            .filter(|&at| item_at(&self.code, at).contains(&offset))
            .count()
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// The items behind `#[cfg(test)]`.
fn test_items(code: &str) -> Vec<Range<usize>> {
    code.match_indices("#[cfg(test)]").map(|(at, attribute)| at..item_at(code, at + attribute.len()).end).collect()
}

/// From `start` to the end of the item there: its `;`, or the brace that closes its first `{`.
fn item_at(code: &str, start: usize) -> Range<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b';' if depth == 0 => return start..at + 1,
            b'{' => depth += 1,
            b'}' if depth <= 1 => return start..at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    start..code.len()
}

/// `text` with spaces for every byte of a comment and of the inside of a string or character literal; line breaks stay.
fn blank_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let token = Token::at(bytes, at);
        for byte in &mut code[token.blank.clone()] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = token.end;
    }
    String::from_utf8(code).expect("whole characters are blanked")
}

/// As much of Rust's lexical grammar as it takes to tell code from comments and literals.
struct Token {
    blank: Range<usize>,
    end: usize,
}

impl Token {
    fn at(bytes: &[u8], at: usize) -> Self {
        let rest = &bytes[at..];
        let in_name = at.checked_sub(1).is_some_and(|before| is_name_byte(bytes[before]));
        match rest {
            [b'/', b'/', ..] => Self::blank(at, at + find(rest, b"\n")),
            [b'/', b'*', ..] => Self::blank(at, at + block_comment(rest)),
            [b'r', b'"' | b'#', ..] if !in_name => Self::raw_string(rest, at, 1),
            [b'b' | b'c', b'r', b'"' | b'#', ..] if !in_name => Self::raw_string(rest, at, 2),
            [b'"', ..] => Self::quoted(rest, at, b'"'),
            // A lifetime has a name and no closing quote.
            [b'\'', b'\\', ..] => Self::quoted(rest, at, b'\''),
            [b'\'', first, ..] => {
                let width = utf8_width(*first);
                if rest.get(1 + width) == Some(&b'\'') { Self::quoted(rest, at, b'\'') } else { Self::code(at) }
            }
            _ => Self::code(at),
        }
    }

    fn code(at: usize) -> Self {
        Self { blank: at..at, end: at + 1 }
    }

    fn blank(start: usize, end: usize) -> Self {
        Self { blank: start..end, end }
    }

    fn quoted(rest: &[u8], at: usize, quote: u8) -> Self {
        let mut len = 1;
        while len < rest.len() && rest[len] != quote {
            len += if rest[len] == b'\\' { 2 } else { 1 };
        }
        let close = (at + len).min(at + rest.len());
        Self { blank: at + 1..close, end: close + 1 }
    }

    fn raw_string(rest: &[u8], at: usize, prefix: usize) -> Self {
        let hashes = rest[prefix..].iter().take_while(|&&byte| byte == b'#').count();
        let open = prefix + hashes;
        if rest.get(open) != Some(&b'"') {
            return Self::code(at); // a raw identifier
        }
        let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
        let len = find(&rest[open + 1..], &close);
        Self { blank: at + open + 1..at + open + 1 + len, end: at + open + 1 + len + close.len() }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).position(|window| window == needle).unwrap_or(haystack.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

fn utf8_width(first: u8) -> usize {
    match first {
        0x00..=0x7F => 1,
        0x80..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xFF => 4,
    }
}

#[test]
fn comments_and_literals_are_blanked() {
    let source = Source::new(
        "src/relay/a.rs",
        "a /* b /* c */ d */ e // f\n\"g\\\"h\" 'i' '\\'' &'j k r#\"l\"m\"# br\"n\" r#o b'p' 'é' 'q'",
    );
    let words: Vec<_> = source.code.split(|c: char| !is_name(c)).filter(|word| !word.is_empty()).collect();
    assert_eq!(words, ["a", "e", "j", "k", "r", "br", "r", "o", "b"]);
    assert_eq!(source.code.len(), source.text.len());
    assert_eq!(source.code.find('\n'), source.text.find('\n'));
}

#[test]
fn test_items_are_told_from_the_rest() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    mod b { fn c() {} }\n}\n#[cfg(test)]\nuse d;\nfn e() {}\n";
    let source = Source::new("src/relay/a.rs", text);
    let at = |words| source.find(words)[0];
    assert!(["c", "d"].map(at).iter().all(|&at| source.is_test_code(at)));
    assert!(["a", "e"].map(at).iter().all(|&at| !source.is_test_code(at)));
    assert_eq!(["a", "c", "e"].map(|name| source.inline_depth(at(name))), [0, 2, 0]);
}

#[test]
fn modules_for_tests_are_known() {
    let source = Source::new("src/relay/mod.rs", "mod a;\n#[cfg(test)]\npub mod b;\n#[cfg(test)]\nmod c {}\n");
    assert_eq!(source.test_modules(), [["relay", "b"]]);
}

#[test]
fn files_know_their_module() {
    let module = |path| Source::new(path, "").module().join("::");
    assert_eq!(module("src/relay/mod.rs"), "relay");
    assert_eq!(module("src/relay/request/allocate.rs"), "relay::request::allocate");
    assert_eq!(module("src/wire.rs"), "wire");
    assert_eq!(module("src/main.rs"), "");
    assert_eq!(module("tests/tidy.rs"), "");
}
