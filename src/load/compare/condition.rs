//! Conditions on ratios (`--fail-if 'cpu>1.1x'`).

use std::str::FromStr;

use super::ratio;
use crate::load::result::{Judged, LoadResult};
use crate::load::threshold::{Comparison, Metric, split};

/// A condition on B in terms of A under which a comparison has failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratio {
    text: String,
    metric: Metric,
    comparison: Comparison,
    limit: f64,
}

impl Ratio {
    /// Whether it holds. What was not measured in both cannot be vouched for, and fails.
    pub(super) fn judge(&self, a: &LoadResult, b: &LoadResult) -> Judged {
        let measured = self.metric.of(a).zip(self.metric.of(b)).and_then(|(a, b)| ratio(a, b));
        let failed = measured.is_none_or(|ratio| self.comparison.holds(ratio, self.limit));
        Judged { condition: self.text.clone(), measured, place: None, failed }
    }
}

impl FromStr for Ratio {
    type Err = String;

    /// `METRIC COMPARISON RATIO`, such as `cpu>1.1x`, `p99 >= 2x`, `rate<0.9x`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (metric, comparison, value) = split(text).map_err(|error| error.to_string())?;
        let limit = value.strip_suffix('x').and_then(|digits| digits.trim().parse::<f64>().ok());
        let limit = limit.filter(|limit| limit.is_finite() && *limit >= 0.0);
        let limit = limit.ok_or_else(|| format!("{value:?} is no ratio; write it like 1.1x"))?;
        Ok(Self { text: text.trim().to_owned(), metric, comparison, limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::result::{Count, Server, Traffic};

    fn result(loss: f64, cpu: Option<f64>) -> LoadResult {
        let total = Count { sent: 1000, loss, ..Count::default() };
        let traffic = Some(Traffic { total, ..Traffic::default() });
        let server = Some(Server { cpu_ns_per_packet: cpu, ..Server::default() });
        LoadResult { traffic, server, ..LoadResult::empty() }
    }

    #[test]
    fn ratios_are_those_of_b_to_a() {
        let fails =
            |condition: &str, a: &LoadResult, b: &LoadResult| condition.parse::<Ratio>().unwrap().judge(a, b).failed;
        let (a, b) = (result(0.0, Some(6000.0)), result(0.001, Some(6630.0)));
        assert!(fails("cpu>1.1x", &a, &b) && !fails("cpu>1.11x", &a, &b) && !fails("cpu > 1.0x", &b, &a));
        assert!(fails("loss>100x", &a, &b), "out of nothing");
        assert!(!fails("loss>1x", &a, &a) && !fails("loss>1x", &b, &a));
        assert!(fails("cpu>9x", &a, &result(0.0, None)), "not measured");
    }

    #[test]
    fn errors_name_the_mend() {
        for (text, mend) in
            [("cpu>10%", "like 1.1x"), ("cpu>x", "like 1.1x"), ("cpu>-1x", "like 1.1x"), ("gpu>1x", "cpu")]
        {
            let error = text.parse::<Ratio>().unwrap_err();
            assert!(error.contains(mend), "{text}: {error}");
        }
    }
}
