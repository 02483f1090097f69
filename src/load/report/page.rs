//! One HTML file that needs nothing else: no script, no font, no image, no style from elsewhere.

use std::fmt::Write;

/// A page under way.
pub(in crate::load) struct Page {
    html: String,
}

/// What a cell, a tile or a verdict says about its figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load) enum Tone {
    Plain,
    Good,
    Doubt,
    Bad,
}

/// A cell of a table.
pub(in crate::load) struct Cell {
    text: String,
    tone: Tone,
    is_prose: bool,
}

impl Page {
    /// Begins a page with `title` in its head.
    pub(in crate::load) fn new(title: &str) -> Self {
        let mut page = Self { html: String::with_capacity(64 << 10) };
        page.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        page.raw("<meta name=\"color-scheme\" content=\"light dark\">\n");
        page.element("title", title);
        page.raw("<style>\n").raw(STYLE).raw("</style>\n</head>\n<body>\n<main>\n");
        page
    }

    /// Ends it.
    pub(in crate::load) fn finish(mut self) -> String {
        self.raw("</main>\n</body>\n</html>\n");
        self.html
    }

    /// Markup of ours.
    pub(in crate::load) fn raw(&mut self, markup: &str) -> &mut Self {
        self.html.push_str(markup);
        self
    }

    /// Text of anybody.
    pub(in crate::load) fn text(&mut self, text: &str) -> &mut Self {
        self.html.push_str(&escaped(text));
        self
    }

    /// `tag` may have attributes.
    pub(in crate::load) fn element(&mut self, tag: &str, text: &str) {
        let name = tag.split(' ').next().unwrap_or(tag);
        // Writing to a string does not fail.
        let _ = writeln!(self.html, "<{tag}>{}</{name}>", escaped(text));
    }

    /// The verdict, with a mark that says its tone without colour.
    pub(in crate::load) fn verdict(&mut self, tone: Tone, headline: &str, sentence: &str) {
        let _ = writeln!(self.html, "<div class=\"verdict {}\">", tone.class());
        let _ = writeln!(
            self.html,
            "<p class=\"headline\"><span aria-hidden=\"true\">{}</span> {}</p>",
            tone.mark(),
            escaped(headline)
        );
        self.element("p", sentence);
        self.raw("</div>\n");
    }

    /// Large figures: (value, what it is, tone).
    pub(in crate::load) fn tiles(&mut self, tiles: &[(String, String, Tone)]) {
        self.raw("<div class=\"tiles\">\n");
        for (value, what, tone) in tiles {
            let _ = writeln!(
                self.html,
                "<div class=\"tile {}\"><b>{}</b><span>{}</span></div>",
                tone.class(),
                escaped(value),
                escaped(what)
            );
        }
        self.raw("</div>\n");
    }

    /// A table whose first column names its rows.
    pub(in crate::load) fn table(&mut self, head: &[&str], rows: &[Vec<Cell>]) {
        self.raw("<div class=\"scroll\"><table>\n<thead><tr>");
        for name in head {
            let _ = write!(self.html, "<th scope=\"col\">{}</th>", escaped(name));
        }
        self.raw("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.raw("<tr>");
            for (index, cell) in row.iter().enumerate() {
                let (tag, end) = if index == 0 { ("th scope=\"row\"", "th") } else { ("td", "td") };
                let prose = if cell.is_prose { " prose" } else { "" };
                let class = format!("{}{prose}", cell.tone.class());
                let _ = write!(self.html, "<{tag} class=\"{}\">{}</{end}>", class.trim(), escaped(&cell.text));
            }
            self.raw("</tr>\n");
        }
        self.raw("</tbody>\n</table></div>\n");
    }

    /// Names and what they stand for.
    pub(in crate::load) fn facts(&mut self, facts: &[(&str, String)]) {
        self.raw("<dl>\n");
        for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
            let _ = writeln!(self.html, "<div><dt>{}</dt><dd>{}</dd></div>", escaped(name), escaped(value));
        }
        self.raw("</dl>\n");
    }

    pub(in crate::load) fn list(&mut self, items: &[String]) {
        self.raw("<ul>\n");
        items.iter().for_each(|item| self.element("li", item));
        self.raw("</ul>\n");
    }
}

impl Cell {
    pub(in crate::load) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: Tone::Plain, is_prose: false }
    }

    /// A sentence rather than a figure.
    pub(in crate::load) fn prose(text: impl Into<String>) -> Self {
        Self { is_prose: true, ..Self::new(text) }
    }

    pub(in crate::load) fn toned(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}

impl Tone {
    const fn class(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "good",
            Self::Doubt => "doubt",
            Self::Bad => "bad",
        }
    }

    const fn mark(self) -> &'static str {
        match self {
            Self::Plain => "●",
            Self::Good => "✓",
            Self::Doubt => "?",
            Self::Bad => "✗",
        }
    }
}

/// `text` as content and as the value of an attribute in double quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters cannot stand in HTML.
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Colours keep a contrast of 4.5 on their ground; lines differ by dashes as well, for paper and for eyes that see
/// colours differently.
const STYLE: &str = "\
:root{--ground:#fff;--card:#f6f7f9;--ink:#1c2024;--soft:#5a6472;--rule:#d5dae1;--good:#17693a;--doubt:#8a5300;
--bad:#b3261e;--s0:#1659b8;--s1:#b3480a;--s2:#1a7040;--s3:#7a3ea8;--s4:#5a6472}
@media (prefers-color-scheme:dark){:root{--ground:#14171b;--card:#1d2126;--ink:#e8eaed;--soft:#a3adba;--rule:#363c45;
--good:#6fd08c;--doubt:#f0b45a;--bad:#ff8a80;--s0:#7ab0ff;--s1:#ffa066;--s2:#6fd08c;--s3:#cf9bf5;--s4:#a3adba}}
@media print{:root{--ground:#fff;--card:#fff;--ink:#000;--soft:#444;--rule:#bbb;--good:#17693a;--doubt:#8a5300;
--bad:#b3261e;--s0:#1659b8;--s1:#b3480a;--s2:#1a7040;--s3:#7a3ea8;--s4:#5a6472}
figure,table,.verdict,.tiles,dl div{break-inside:avoid}h2{break-after:avoid}body{font-size:10pt}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif;
-webkit-text-size-adjust:100%}
main{max-width:1040px;margin:0 auto;padding:24px 16px 64px}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:40px 0 8px;padding-bottom:4px;border-bottom:1px solid var(--rule)}
p{margin:6px 0;max-width:75ch}.soft,figcaption small{color:var(--soft)}
.verdict{margin:20px 0;padding:12px 16px;border:1px solid var(--rule);border-left:6px solid var(--soft);
border-radius:6px;background:var(--card)}
.verdict.good{border-left-color:var(--good)}.verdict.doubt{border-left-color:var(--doubt)}
.verdict.bad{border-left-color:var(--bad)}
.headline{font-size:1.2rem;font-weight:600;margin:0}
.verdict.good .headline{color:var(--good)}.verdict.doubt .headline{color:var(--doubt)}
.verdict.bad .headline{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(210px,1fr));gap:10px;margin:16px 0}
.tile{padding:10px 12px;border:1px solid var(--rule);border-radius:6px;background:var(--card)}
.tile b{display:block;font-size:1.25rem;line-height:1.3;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:.85rem}
.tile.bad b,td.bad{color:var(--bad)}.tile.doubt b,td.doubt{color:var(--doubt)}.tile.good b,td.good{color:var(--good)}
td.bad,td.good,td.doubt{font-weight:600}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));gap:16px;margin:12px 0}
figure{margin:0;padding:10px 12px;border:1px solid var(--rule);border-radius:6px;background:var(--card);min-width:0}
figcaption{font-weight:600;font-size:.95rem}figcaption small{display:block;font-weight:400}
figure svg{display:block;width:100%;height:auto;margin-top:6px}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 16px;margin:4px 0 0;padding:0;font-size:.85rem}
.legend svg{display:inline-block;width:28px;height:10px;margin:0 6px 0 0;vertical-align:middle}
svg text{fill:var(--soft);font-size:12px;font-family:system-ui,sans-serif}
svg .grid{stroke:var(--rule);stroke-width:1}svg .axis{stroke:var(--soft);stroke-width:1}
svg .line{fill:none;stroke-width:2;stroke-linejoin:round}
svg .c0{stroke:var(--s0)}svg .c1{stroke:var(--s1);stroke-dasharray:7 3}svg .c2{stroke:var(--s2);stroke-dasharray:2 3}
svg .c3{stroke:var(--s3);stroke-dasharray:9 3 2 3}svg .c4{stroke:var(--s4);stroke-dasharray:1 4}
svg .f0{fill:var(--s0)}svg .f1{fill:var(--s1)}svg .f2{fill:var(--s2)}svg .f3{fill:var(--s3)}svg .f4{fill:var(--s4)}
.scroll{overflow-x:auto;margin:8px 0}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:5px 10px;border-bottom:1px solid var(--rule);text-align:right;white-space:nowrap;vertical-align:top}
th:first-child{text-align:left}thead th{color:var(--soft);font-weight:600}tbody th{font-weight:500}
.prose{text-align:left;white-space:normal;min-width:14em}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr));gap:2px 24px;margin:8px 0;
font-size:.9rem}
dl div{display:flex;justify-content:space-between;gap:12px;border-bottom:1px solid var(--rule);padding:3px 0;
min-width:0}
dt{color:var(--soft)}dd{margin:0;text-align:right;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--card);border:1px solid var(--rule);border-radius:6px;
padding:10px 12px;font-size:.85rem}
@media (max-width:520px){body{font-size:15px}svg text{font-size:16px}.tiles{grid-template-columns:1fr 1fr}}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_text() {
        assert_eq!(escaped("<a b=\"c\" d='e'>&\u{1b}\n"), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;\u{fffd}\n");
        let mut page = Page::new("</title><script>");
        page.verdict(Tone::Bad, "<b>", "<b>");
        page.tiles(&[("<b>".into(), "<b>".into(), Tone::Plain)]);
        page.table(&["<b>"], &[vec![Cell::new("<b>"), Cell::prose("<b>")]]);
        page.facts(&[("<b>", "<b>".into())]);
        page.list(&["<b>".into()]);
        let html = page.finish();
        assert!(!html.contains("<script"), "{html}");
        assert_eq!(html.matches("<b>").count(), 1, "the tile's own");
    }
}
