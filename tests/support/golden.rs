//! What users see, compared with what they saw before.

use std::path::Path;

/// Fails unless `text` is the file at `path`, counted from the repository's root. With `UPDATE_GOLDEN=1` in the
/// environment the file is written instead; look at the difference before you commit it.
pub(crate) fn assert_golden(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return std::fs::write(&file, text).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
    let differs = expected.lines().zip(text.lines()).enumerate().find(|(_, (old, new))| old != new);
    if let Some((index, (old, new))) = differs {
        panic!("{path}:{} is\n  {old}\nand would be\n  {new}\nIf it should: UPDATE_GOLDEN=1 cargo test", index + 1);
    }
    assert_eq!(
        expected.len(),
        text.len(),
        "{path}: one ends before the other; if it should: UPDATE_GOLDEN=1 cargo test"
    );
}
