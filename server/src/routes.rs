//! The routes, one file a resource.
//!
//! Owns what each call of the contract does with the engine. Never knows a JSON shape (`wire`) or a connection
//! (`listener`).

pub(crate) mod accounts;
pub(crate) mod batch;
pub(crate) mod docs;
pub(crate) mod events;
pub(crate) mod head;
pub(crate) mod health;
pub(crate) mod history;
pub(crate) mod holds;
pub(crate) mod metrics;
pub(crate) mod transactions;
pub(crate) mod trial_balance;
pub(crate) mod wallet;

use axum::{
    RequestExt as _,
    body::Body,
    extract::{Path, Request},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;

use crate::{
    json::FromText,
    problem::{Code, Problem, REPLAYED_HEADER},
};

/// The one parameter of a route's path.
pub(crate) async fn path_parameter<T: FromText>(request: &mut Request, name: &str) -> Result<T, Problem> {
    let text = request.extract_parts::<Path<String>>().await.ok();
    text.and_then(|Path(text)| T::from_text(&text)).ok_or_else(|| {
        Problem::new(Code::Malformed, format!("the path does not have {}", T::EXPECTED))
            .field(format!("/{name}"))
    })
}

/// The two parameters of a route's path.
pub(crate) async fn path_parameters<T: FromText, U: FromText>(
    request: &mut Request,
    names: [&str; 2],
) -> Result<(T, U), Problem> {
    fn read<T: FromText>(text: Option<&String>, name: &str) -> Result<T, Problem> {
        text.and_then(|text| T::from_text(text)).ok_or_else(|| {
            Problem::new(Code::Malformed, format!("the path does not have {}", T::EXPECTED))
                .field(format!("/{name}"))
        })
    }
    let texts = request.extract_parts::<Path<(String, String)>>().await.ok();
    let (one, other) = texts.map_or((None, None), |Path((one, other))| (Some(one), Some(other)));
    let [name, other_name] = names;
    Ok((read(one.as_ref(), name)?, read(other.as_ref(), other_name)?))
}

/// An answer without a body.
pub(crate) fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The JSON answer to an id that took effect now, or before.
pub(crate) fn created(replayed: bool, body: &impl Serialize) -> Response {
    done(if replayed { StatusCode::OK } else { StatusCode::CREATED }, replayed, body)
}

/// The JSON answer to what was done now, or before.
pub(crate) fn done(status: StatusCode, replayed: bool, body: &impl Serialize) -> Response {
    let mut response = json(status, body);
    if replayed {
        response.headers_mut().insert(REPLAYED_HEADER, HeaderValue::from_static("true"));
    }
    response
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    // The shapes have string keys and no fallible parts: writing them does not fail.
    let mut response = Response::new(Body::from(serde_json::to_vec(body).unwrap_or_default()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
