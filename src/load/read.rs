//! Results that were written before.

use serde::Deserialize;

use super::result::{FORMAT, LoadResult};

/// A result from its document.
///
/// # Errors
/// A sentence: it is no result, or one of a later version.
pub fn from_json(text: &str) -> Result<LoadResult, String> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let broken = |error: serde_json::Error| match error.is_eof() {
        true => "the file is cut off, or no result of `turnkeep load --json`".to_owned(),
        false => format!("it is no result of a load test: {error}"),
    };
    let format: Format = serde_json::from_str(text).map_err(broken)?;
    if format.format > FORMAT {
        return Err(format!("its format {} is later than {FORMAT}, which this version reads", format.format));
    }
    serde_json::from_str(text).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_result_says_why() {
        let json = serde_json::to_string(&LoadResult::empty()).unwrap();
        assert_eq!(from_json(&json), Ok(LoadResult::empty()));
        let later = json.replacen("\"format\":1", "\"format\":2", 1);
        assert!(from_json(&later).is_err_and(|error| error.contains("later than 1")));
        assert!(from_json(&json[..json.len() / 2]).is_err_and(|error| error.contains("cut off")));
        assert!(from_json("").is_err_and(|error| error.contains("cut off")));
        assert!(from_json("{}").is_err_and(|error| error.contains("format")));
        assert!(from_json("{\"format\":1}").is_err_and(|error| error.contains("no result")));
    }
}
