//! The report on a load test: one HTML file for screen, phone and paper, with plots, and nothing from elsewhere.

mod answers;
pub(super) mod outcome;
pub(super) mod page;
pub(super) mod plot;
pub(super) mod setting;
pub(super) mod traffic;
pub(super) mod verdict;

use super::result::LoadResult;
use super::units;
use page::Page;

/// The report on `result`, a whole HTML document.
pub fn html(result: &LoadResult) -> String {
    let plan = &result.plan;
    let title = format!("Load test of {}: {}", plan.target, verdict::subject(plan));
    let mut page = Page::new(&title);
    page.element("h1", &title);
    let tool = format!("{} {}", result.tool.name, result.tool.version);
    let took = units::seconds(plan.duration_s);
    let line = format!("{}, {took} measured, {tool}", units::utc(result.started_unix_ms));
    page.element("p class=\"soft\"", &line);
    let verdict = verdict::of(result);
    page.verdict(verdict.tone, &verdict.headline, &verdict.sentence);
    if !result.findings.is_empty() {
        page.list(&result.findings);
    }
    page.tiles(&verdict::tiles(result));
    outcome::thresholds(result, &mut page);
    outcome::capacity(result, &mut page);
    if let Some(traffic) = &result.traffic {
        traffic::section(result, traffic, &mut page);
    }
    outcome::churn(result, &mut page);
    outcome::flood(result, &mut page);
    outcome::setup(result, &mut page);
    answers::section(&result.errors, &mut page);
    setting::server(result, &mut page);
    setting::generator(result, &mut page);
    setting::plan(result, &mut page);
    setting::host(result, &mut page);
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::result::{Count, Ended, Latency, Second, Traffic};

    #[test]
    fn a_result_without_anything_is_a_report_as_well() {
        let mut result = LoadResult::empty();
        result.ended = Ended::SetupFailed;
        let html = html(&result);
        assert!(html.contains("No allocation came into being") && html.ends_with("</html>\n"), "{html}");
    }

    #[test]
    fn foreign_text_is_escaped_wherever_it_comes_from() {
        let mut result = LoadResult::empty();
        let evil = || "<script>&\"'".to_owned();
        result.command = vec![evil()];
        result.plan.target = evil();
        result.host.cpu_model = evil();
        result.errors.insert(evil(), 1);
        result.generator.remarks.push(evil());
        result.findings.push(evil());
        let html = html(&result);
        assert!(!html.contains("<script"), "{html}");
        assert!(html.matches("&lt;script&gt;&amp;&quot;&#39;").count() >= 6);
    }

    #[test]
    fn a_long_soak_makes_no_long_report() {
        let second = |at_s| Second { at_s, sent: 10, arrived: 9, p99_us: 50.0, max_us: 60.0, ..Second::default() };
        let latency = Latency { count: 9, p50_us: 1.0, ..Latency::default() };
        let total = Count { sent: 10, received: 9, loss: 0.1, latency, ..Count::default() };
        let series = (0..86_400).map(second).collect();
        let traffic = Some(Traffic { total, series, ..Traffic::default() });
        let html = html(&LoadResult { traffic, ..LoadResult::empty() });
        assert!(html.len() < 200_000, "{}", html.len());
    }
}
