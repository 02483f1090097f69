//! What a server refused or left unanswered, and what that means.

use std::collections::BTreeMap;

use super::page::{Cell, Page};
use crate::load::answer::meaning;
use crate::load::units;

pub(super) fn section(errors: &BTreeMap<String, u64>, page: &mut Page) {
    if errors.is_empty() {
        return;
    }
    page.element("h2", "Errors");
    let row = |(what, count): (&String, &u64)| {
        let (asked, answer) = what.split_once(' ').unwrap_or((what, ""));
        vec![
            Cell::new(asked.replace('_', " ")),
            Cell::new(answer),
            Cell::new(units::count(*count)),
            Cell::prose(meaning(answer)),
        ]
    };
    page.table(&["asked", "answer", "times", "meaning"], &errors.iter().map(row).collect::<Vec<_>>());
}
