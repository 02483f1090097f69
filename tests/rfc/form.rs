//! The form of the comments that name what a test shows: a table of conformance is made of them.

use std::fs;
use std::path::Path;

/// Item ids, and where the text stands: `C-nnn, A-nnn, RFC 8656 §7.2: what is shown`.
fn is_regular(comment: &str) -> bool {
    let Some((items, text)) = comment.split_once(": ") else { return false };
    let mut words = items.split(", ");
    let is_id = |word: &str| {
        let number = word.strip_prefix("C-").or_else(|| word.strip_prefix("A-"));
        number.is_some_and(|number| number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let is_section = |word: &str| {
        let parts = word.strip_prefix("RFC ").and_then(|rest| rest.split_once(" §"));
        parts.is_some_and(|(rfc, section)| rfc.len() == 4 && section.starts_with(|c: char| c.is_ascii_digit()))
    };
    let ids = words.by_ref().take_while(|word| is_id(word)).count();
    let all: Vec<_> = items.split(", ").collect();
    ids > 0 && ids < all.len() && all[ids..].iter().all(|word| is_section(word)) && !text.is_empty()
}

/// Every test of the two directories begins its comment with the items that it shows.
#[test]
fn every_test_names_its_items() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for directory in ["rfc", "abuse"].map(|name| tests.join(name)).iter().filter(|path| path.exists()) {
        for file in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if file.ends_with("form.rs") {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            for (at, _) in lines.iter().enumerate().filter(|(_, line)| line.trim() == "#[test]") {
                let above = lines[..at].iter().rev().take_while(|line| line.starts_with("/// "));
                let mut comment: Vec<_> = above.map(|line| &line[4..]).collect();
                comment.reverse();
                let comment = comment.join(" ");
                assert!(is_regular(&comment), "{}:{}: {comment:?}", file.display(), at + 1);
            }
        }
    }
}

#[test]
fn regular_comments_are_told_from_others() {
    for regular in ["C-001, RFC 8489 §5: a", "C-108, A-001, RFC 8656 §7.2, RFC 8489 §9.2.4: a: b"] {
        assert!(is_regular(regular), "{regular}");
    }
    for irregular in
        ["", "C-001: a", "RFC 8489 §5: a", "C-1, RFC 8489 §5: a", "C-001, RFC 8489: a", "C-001, RFC 8489 §5"]
    {
        assert!(!is_regular(irregular), "{irregular}");
    }
}
