//! The OpenAPI document and the pages that show it.

use serde_json::{Value, json};
use yue_engine::model::RejectionCode;
use yue_server::problem::Code;

use crate::{
    ledger::{Ledger, transfer},
    wallet::{channel::notify, wealth::give_shares},
};

#[tokio::test]
async fn the_document_is_as_reviewed() {
    let served = Ledger::new().get("/openapi.json").await.expect(200);
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("openapi", served.text);
    });
}

#[tokio::test]
async fn the_document_names_each_code() {
    let text = Ledger::new().get("/openapi.json").await.text.replace("\\n", " ");
    // A problem of no described call: the others' methods.
    for code in Code::ALL.into_iter().filter(|code| *code != Code::MethodNotAllowed) {
        assert!(text.contains(&format!("`{}`", code.as_str())), "{}", code.as_str());
    }
    // The refusals of a transaction are listed in the order in which they are checked.
    let list = text.find("Refused, finally.").map(|start| &text[start..]).unwrap();
    let places: Vec<_> =
        RejectionCode::ALL.iter().map(|code| list.find(&format!("`{code}`")).unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}");
}

/// The examples of a call's body, in the order of their ids.
fn examples(document: &Value, path: &str, method: &str) -> Vec<Value> {
    let content = &document["paths"][path][method]["requestBody"]["content"]["application/json"];
    let mut examples: Vec<Value> = match content["examples"].as_object() {
        Some(named) => named.values().map(|example| example["value"].clone()).collect(),
        None => vec![content["example"].clone()],
    };
    examples.sort_by_key(|example| example["id"].as_str().map(str::to_owned));
    assert!(examples.iter().all(Value::is_object), "{method} {path} has no examples");
    examples
}

#[tokio::test]
async fn the_examples_work() {
    let ledger = Ledger::new();
    let document = ledger.get("/openapi.json").await.body;
    for example in examples(&document, "/v1/accounts", "post") {
        ledger.post("/v1/accounts", &example).await.expect(201);
    }
    ledger.submit("1", &[transfer("channels:wechat", "customers:42", "100")]).await.expect(201);
    for example in examples(&document, "/v1/transactions", "post") {
        ledger.post("/v1/transactions", &example).await.expect(201);
    }
    for example in examples(&document, "/v1/transactions/batch", "post") {
        let answer = ledger.post("/v1/transactions/batch", &example).await.expect(200);
        assert_eq!(answer.body["results"][0]["status"], "posted", "{}", answer.text);
    }
    for example in examples(&document, "/v1/accounts/{address}", "patch") {
        ledger.patch("/v1/accounts/customers:42", &example).await.expect(200);
    }
    wallet_examples_work(&ledger, &document).await;
    give_shares(&ledger, "alice", 10_000).await;
    for example in examples(&document, "/v1/wallets/{user}/wealth/redemptions", "post") {
        ledger.post("/v1/wallets/alice/wealth/redemptions", &example).await.expect(201);
    }
    for example in examples(&document, "/v1/wealth/days", "post") {
        ledger.post("/v1/wealth/days", &example).await.expect(200);
    }
    // The examples of parameters lead to what the examples made.
    let mut reads = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(operation) = item.get("get") else { continue };
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let Some(example) = parameter["example"].as_str() else { continue };
            let name = parameter["name"].as_str().unwrap();
            let mut uri = path.replace(&format!("{{{name}}}"), example);
            if parameter["in"] == "query" {
                uri = format!("{uri}?{name}={example}");
            } else if path.ends_with("/balance") {
                uri.push_str("?position=5");
            }
            ledger.get(&uri).await.expect(200);
            reads += 1;
        }
    }
    assert!(reads >= 5, "{reads}");
}

async fn wallet_examples_work(ledger: &Ledger, document: &Value) {
    ledger.post("/v1/wallets", &json!({"user": "bob", "class": "I"})).await.expect(201);
    for (method, path, status) in [
        ("post", "/v1/wallets", 201),
        ("patch", "/v1/wallets/{user}", 200),
        ("put", "/v1/wallets/{user}/password", 204),
        ("post", "/v1/wallets/{user}/payment-tokens", 201),
        ("post", "/v1/wallets/{user}/devices", 201),
        ("put", "/v1/wallets/{user}/small-payment", 200),
        ("put", "/v1/wallets/{user}/wealth", 200),
        ("post", "/v1/wallets/{user}/transfers", 201),
    ] {
        if path.ends_with("/transfers") {
            ledger.fund("alice", 100_00).await;
        }
        for example in examples(document, path, method) {
            let uri = path.replace("{user}", "alice");
            let method = method.to_uppercase().parse().unwrap();
            ledger.send_json(method, &uri, example.to_string()).await.expect(status);
        }
    }
    for example in examples(document, "/v1/recharges", "post") {
        ledger.post("/v1/recharges", &example).await.expect(201);
    }
    for example in examples(document, "/v1/channels/{channel}/notifications", "post") {
        let answer = notify(ledger, "wechat", &example).await.expect(200);
        assert_eq!(answer.body["effect"], "credited", "{}", answer.text);
    }
    payment_examples_work(ledger, document).await;
}

async fn payment_examples_work(ledger: &Ledger, document: &Value) {
    let mut paid = None;
    for (method, path, status) in [
        ("put", "/v1/merchants/{merchant}", 200),
        ("post", "/v1/promotions", 201),
        ("post", "/v1/payments", 201),
        ("post", "/v1/payments/{id}/refunds", 201),
    ] {
        for example in examples(document, path, method) {
            let uri = path.replace("{merchant}", "jd-self");
            let uri = uri.replace("{id}", paid.as_deref().unwrap_or_default());
            let answer = ledger.send_json(method.to_uppercase().parse().unwrap(), &uri, example.to_string());
            answer.await.expect(status);
            if path == "/v1/payments" {
                paid = example["id"].as_str().map(str::to_owned);
            }
        }
    }
}

#[tokio::test]
async fn the_pages_are_in_the_binary() {
    let ledger = Ledger::new();
    assert_eq!(ledger.get("/docs").await.status, 303);
    let page = ledger.get("/docs/").await.expect(200);
    assert!(page.text.contains("swagger"));
    let script = ledger.get("/docs/swagger-initializer.js").await.expect(200);
    assert!(script.text.contains("/openapi.json"), "{}", script.text);
    for line in page.text.lines().filter(|line| line.contains("src=") || line.contains("href=")) {
        assert!(!line.contains("http"), "not offline: {line}");
    }
}
