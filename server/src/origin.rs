//! Requests that a page of another site has made a browser send.
//!
//! Owns the rule. A browser reaches servers on its own machine, and shows its certificate to a server that asks for one: a
//! page of a stranger could so move money that is not his. Browsers say where a request comes from (`Sec-Fetch-Site`, W3C
//! Fetch Metadata; `Origin`, RFC 6454), and no page can make them say otherwise. Programs send neither. Who owns a name may
//! let it point to the server (DNS rebinding), and his page is of the server's own site then: so a server that is open to all
//! takes browsers' requests only by its address or as `localhost`, which are nobody's.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderValue, header, uri::Authority};

use crate::problem::{Code, Problem};

const FETCH_SITE: &str = "sec-fetch-site";

/// Whether no other site has caused a request that does more than ask, or uses a key. `open`: the server has no keys.
///
/// # Errors
/// Another site has, or may have.
pub(crate) fn check(headers: &HeaderMap, open: bool) -> Result<(), Problem> {
    let (sites, origins) = (headers.get_all(FETCH_SITE), headers.get_all(header::ORIGIN));
    let host = headers.get(header::HOST);
    let foreign = |site: &HeaderValue| site != "same-origin" && site != "none";
    if sites.iter().any(foreign) || origins.iter().any(|origin| !is_own(origin, host)) {
        return Err(Problem::new(Code::Malformed, "a browser sends this for a page of another site"));
    }
    let browser = sites.iter().chain(origins).next().is_some();
    if open && browser && !host.is_some_and(is_nobodys) {
        let detail = "a server without keys takes a browser's requests as localhost or by its address only";
        return Err(Problem::new(Code::Malformed, detail));
    }
    Ok(())
}

/// Whether a host is one that nobody can let point elsewhere.
fn is_nobodys(host: &HeaderValue) -> bool {
    let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    authority.is_some_and(|authority| {
        let host = authority.host();
        let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<Ipv4Addr>().is_ok()
            || v6.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok())
    })
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
            assert_eq!(super::check(&headers, true).is_ok(), expected, "{headers:?}");
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

    #[test]
    fn an_open_server_has_no_name_that_others_own() {
        let check = |host: &str, open: bool, expected: bool| {
            let headers = |lines: &[(&'static str, String)]| -> HeaderMap {
                lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
            };
            let lines = [("host", host.to_owned()), ("origin", format!("http://{host}"))];
            assert_eq!(super::check(&headers(&lines), open).is_ok(), expected, "{host} {open}");
            let lines = [("host", host.to_owned()), ("sec-fetch-site", "same-origin".to_owned())];
            assert_eq!(super::check(&headers(&lines), open).is_ok(), expected, "{host} {open}");
            // A program names the server as it likes.
            assert!(super::check(&headers(&[("host", host.to_owned())]), open).is_ok());
        };
        for host in ["localhost:8080", "LOCALHOST", "127.0.0.1:8080", "10.1.2.3", "[::1]:8080"] {
            check(host, true, true);
        }
        for host in
            ["evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example:80", "a@evil.example"]
        {
            check(host, true, false);
            check(host, false, true);
        }
    }
}
