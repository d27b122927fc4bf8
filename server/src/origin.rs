//! Requests that a page of another site has made a browser send.
//!
//! Owns the rule. A browser reaches servers on its own machine, and shows its certificate to a server that asks for one: a
//! page of a stranger could so move money that is not his. Browsers say where a request comes from (`Sec-Fetch-Site`, W3C
//! Fetch Metadata; `Origin`, RFC 6454), and no page can make them say otherwise. Programs send neither.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::problem::{Code, Problem};

const FETCH_SITE: &str = "sec-fetch-site";

/// Whether no other site has caused a request that does more than ask.
///
/// # Errors
/// Another site has.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Problem> {
    let foreign = |site: &HeaderValue| site != "same-origin" && site != "none";
    let from_elsewhere = headers.get_all(FETCH_SITE).iter().any(foreign)
        || headers.get_all(header::ORIGIN).iter().any(|origin| !is_own(origin, headers.get(header::HOST)));
    if from_elsewhere {
        return Err(Problem::new(Code::Malformed, "a browser sends this for a page of another site"));
    }
    Ok(())
}

/// Whether an origin is the host that is asked, by whatever scheme.
fn is_own(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let authority =
        origin.as_bytes().strip_prefix(b"http://").or(origin.as_bytes().strip_prefix(b"https://"));
    authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_others_are_told_from_programs_and_own_pages() {
        let check = |lines: &[(&'static str, &'static str)], expected: bool| {
            let lines = lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let headers: HeaderMap = lines.collect();
            assert_eq!(check(&headers).is_ok(), expected, "{headers:?}");
        };
        let host = ("host", "127.0.0.1:8080");
        check(&[host], true);
        check(&[], true);
        for (site, expected) in
            [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)]
        {
            check(&[host, ("sec-fetch-site", site)], expected);
        }
        for (origin, expected) in [
            ("http://127.0.0.1:8080", true),
            ("https://127.0.0.1:8080", true),
            ("http://127.0.0.1:8081", false),
            ("https://evil.example", false),
            ("127.0.0.1:8080", false),
            ("null", false),
            ("", false),
        ] {
            check(&[host, ("origin", origin)], expected);
        }
        check(&[("origin", "http://127.0.0.1:8080")], false);
        check(&[host, ("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "cross-site")], false);
    }
}
