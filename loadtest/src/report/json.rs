//! The report as JSON, for scripts.

use super::Report;

/// Indented, keys in the order of the report.
pub(super) fn render(report: &Report) -> Result<String, String> {
    let mut text = serde_json::to_string_pretty(report).map_err(|error| format!("the report: {error}"))?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn the_format_is_fixed() {
        insta::assert_snapshot!(render(&sample()).unwrap());
    }
}
