//! What the document says of keys: the ways to show one, and what each call answers without.
//!
//! Owns these words, which are the same for all calls. Never decides.

use utoipa::openapi::{
    Content, OpenApi, Ref, RefOr, Response,
    header::HeaderBuilder,
    path::Operation,
    schema::{ObjectBuilder, Type},
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

/// Calls that ask for no key.
const OPEN: [&str; 3] = ["get_health", "get_readiness", "notify"];

const SIGNED: &str = "`YUE-HMAC-SHA256 key_id=\"…\",ts=\"…\",nonce=\"…\",sig=\"…\"`: `sig` is the lower-case hexadecimal \
    HMAC-SHA256 with the signing key over method, path with query, `ts`, `nonce` and the lower-case hexadecimal SHA-256 of \
    the body, each followed by a line feed. `ts` is in Unix seconds and good for 300 s, a nonce (8 to 64 of A-Z, a-z, 0-9, - \
    and _) once.";
const UNAUTHENTICATED: &str = "`unauthenticated`: no key, or none that is valid; `signature_invalid`; `timestamp_skew`: the \
    signature's time is more than 300 s off, or before the server's start; `nonce_replayed`. Of a server with keys.";
const FORBIDDEN: &str = "`scope_missing`: the key may not do this; `approval_required`: an operator's adjustment needs a \
    second operator's signature, in the header `Yue-Approval`. Of a server with keys.";
/// Calls that open something, and have no other reason for a 404.
const OPENINGS: [&str; 3] = ["open_account", "open_wallet", "set_merchant"];
const FOREIGN: &str = "`not_found`: the name is outside the key's prefix. Of a server with keys.";
const LIMITED: &str = "`rate_limited`: the key has had its requests for now. Of a server with keys.";

const REQUEST_ID: &str = "The call's name in the audit trail: of operators' calls, and of those that were denied. Of a server with keys.";

/// Says so of all calls.
pub(super) fn describe(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key's id, a dot, and its secret. Over TLS or loopback only."))
        .build();
    let signed = ApiKey::Header(ApiKeyValue::with_description("Authorization", SIGNED));
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    components.add_security_scheme("signed", SecurityScheme::ApiKey(signed));
    components.add_security_scheme(
        "certificate",
        SecurityScheme::MutualTls {
            description: Some("A client certificate that a key names.".to_owned()),
            extensions: None,
            deprecated: None,
        },
    );
    for item in document.paths.paths.values_mut() {
        let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in methods.into_iter().flatten() {
            let id = operation.operation_id.as_deref().unwrap_or_default();
            if !OPEN.contains(&id) {
                describe_call(operation);
            }
        }
    }
}

fn describe_call(operation: &mut Operation) {
    let scheme = |name: &str| SecurityRequirement::new(name, Vec::<String>::new());
    // The empty one: a server without keys asks for none.
    let none = SecurityRequirement::default();
    operation.security = Some(vec![scheme("bearer"), scheme("signed"), scheme("certificate"), none]);
    add(operation, "401", UNAUTHENTICATED);
    add(operation, "403", FORBIDDEN);
    add(operation, "429", LIMITED);
    if OPENINGS.contains(&operation.operation_id.as_deref().unwrap_or_default()) {
        add(operation, "404", FOREIGN);
    }
    header(operation, "429", "Retry-After", Type::Integer, "Seconds, spread at random.");
    header(operation, "401", "WWW-Authenticate", Type::String, "The ways to show a key.");
    let statuses: Vec<String> = operation.responses.responses.keys().cloned().collect();
    for status in statuses {
        header(operation, &status, "Yue-Request-Id", Type::String, REQUEST_ID);
    }
}

/// Adds a header to what a call answers itself with a status.
fn header(operation: &mut Operation, status: &str, name: &str, kind: Type, description: &str) {
    if let Some(RefOr::T(response)) = operation.responses.responses.get_mut(status) {
        let schema = ObjectBuilder::new().schema_type(kind).build();
        let header = HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build();
        response.headers.insert(name.to_owned(), header.into());
    }
}

/// Adds a problem, to what the call says of the same status itself.
fn add(operation: &mut Operation, status: &str, description: &str) {
    match operation.responses.responses.get_mut(status) {
        Some(RefOr::T(response)) => {
            response.description = format!("{} {description}", response.description);
        }
        Some(RefOr::Ref(_)) => {}
        None => {
            let mut response = Response::new(description);
            let problem = Content::new(Some(Ref::from_schema_name("Problem")));
            response.content.insert("application/problem+json".to_owned(), problem.into());
            operation.responses.responses.insert(status.to_owned(), response.into());
        }
    }
}
