//! Answers against the OpenAPI document: a described status, its content type, and a body that fits the schema, with no
//! field more and none less.

use axum::http::Method;
use serde_json::Value;

use crate::ledger::Answer;

/// Routes that describe the API rather than being part of it.
const OUTSIDE: [&str; 2] = ["/openapi.json", "/docs"];

#[track_caller]
pub(crate) fn check(document: &Value, method: &Method, path: &str, answer: &Answer) {
    let operation = operation(document, method, path);
    if matches!(answer.status, 404 | 405) && operation.is_none()
        || OUTSIDE.iter().any(|out| path.starts_with(out))
    {
        return;
    }
    let operation = operation.unwrap_or_else(|| panic!("{method} {path} is not in the document"));
    let response = operation["responses"].get(answer.status.to_string());
    let response =
        response.unwrap_or_else(|| panic!("{method} {path}: {} is not in the document", answer.status));
    let waits = matches!(answer.status, 423 | 429 | 503);
    for (header, required) in [("idempotent-replayed", false), ("retry-after", waits)] {
        let described = response["headers"]
            .as_object()
            .is_some_and(|headers| headers.keys().any(|name| name.eq_ignore_ascii_case(header)));
        let there = answer.headers.contains_key(header);
        assert!(described || !there, "{method} {path}: the header {header} is not in the document");
        assert!(there || !required, "{method} {path}: the header {header} is missing");
    }
    if answer.status == 204 {
        assert!(answer.text.is_empty() && response.get("content").is_none(), "{method} {path}: has a body");
        return;
    }
    let content_type = answer.header("content-type").unwrap().split(';').next().unwrap();
    let content = response["content"].get(content_type);
    let content = content.unwrap_or_else(|| panic!("{method} {path}: {content_type} is not in the document"));
    if content_type.ends_with("json") {
        let fits = fits(document, &content["schema"], &answer.body, "");
        assert_eq!(fits, Ok(()), "{method} {path}: {}", answer.text);
    }
}

fn operation<'a>(document: &'a Value, method: &Method, path: &str) -> Option<&'a Value> {
    let paths = document["paths"].as_object().unwrap();
    // A path without parameters wins: `/v1/transactions/batch` is none of `/v1/transactions/{id}`.
    let exact = paths.get(path).and_then(|item| item.get(method.as_str().to_lowercase()));
    let matches = |template: &str| {
        let parts = || template.split('/').zip(path.split('/'));
        template.split('/').count() == path.split('/').count()
            && parts().all(|(pattern, part)| pattern.starts_with('{') || pattern == part)
    };
    exact.or_else(|| {
        let mut found = paths.iter().filter(|(template, _)| matches(template));
        found.find_map(|(_, item)| item.get(method.as_str().to_lowercase()))
    })
}

/// Whether a value fits a schema; else where and why not.
fn fits(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target =
            document.pointer(reference.trim_start_matches('#')).expect("a reference leads somewhere");
        return fits(document, target, value, at);
    }
    if let Some(options) = schema["oneOf"].as_array() {
        let fitting = options.iter().any(|option| fits(document, option, value, at).is_ok());
        return if fitting { Ok(()) } else { Err(format!("{at}: fits none of {}", options.len())) };
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() || number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let one = std::slice::from_ref(&schema["type"]);
    let kinds = schema["type"].as_array().map_or(one, Vec::as_slice);
    let kinds: Vec<_> = kinds.iter().filter_map(Value::as_str).collect();
    if !kinds.contains(&kind) {
        return Err(format!("{at}: is {kind}, not one of {kinds:?}"));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return Err(format!("{at}: {value} is none of {words:?}"));
    }
    if let Value::Array(elements) = value {
        let mut numbered = elements.iter().enumerate();
        numbered.try_for_each(|(index, element)| {
            fits(document, &schema["items"], element, &format!("{at}/{index}"))
        })?;
    }
    if let Value::Object(fields) = value {
        fields_fit(document, schema, fields, at)?;
    }
    Ok(())
}

fn fields_fit(
    document: &Value,
    schema: &Value,
    fields: &serde_json::Map<String, Value>,
    at: &str,
) -> Result<(), String> {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = required.into_iter().find(|name| !fields.contains_key(*name)) {
        return Err(format!("{at}: {missing} is missing"));
    }
    fields.iter().try_for_each(|(name, value)| {
        let at = format!("{at}/{name}");
        match (schema["properties"].get(name), schema.get("additionalProperties")) {
            (Some(schema), _) | (None, Some(schema)) => fits(document, schema, value, &at),
            (None, None) => Err(format!("{at}: is not in the document")),
        }
    })
}
