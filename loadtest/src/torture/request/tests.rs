//! What is sent and what answers mean, by the HTTP contract.

use super::*;
use crate::torture::verb::Account;

const ID: Uuid = Uuid::from_u128(0x0197_A0B0_0000_7000_8000_0000_0000_0001);
const OTHER: Uuid = Uuid::from_u128(0x0197_A0B0_0000_7000_8000_0000_0000_0002);
const PARTS: Parts = Parts { balance: Fen(60), channel: Fen(41) };

fn leg() -> Leg {
    Leg { debit: Account::Purse(1), credit: Account::Purse(2), amount: Fen(1_205) }
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, body: body.as_bytes().to_vec(), ..Answer::default() }
}

fn intent(verb: Verb) -> Intent {
    Intent { id: ID, verb, bulky: false }
}

/// A request's path and body.
fn sent(verb: Verb) -> (String, serde_json::Value) {
    let endpoint = Endpoint::parse("http://127.0.0.1:1", None).unwrap();
    let mut out = Vec::new();
    build(&intent(verb), &endpoint, &Keys::all(b"a key"), &mut out);
    let text = String::from_utf8(out).unwrap();
    let path = text.split(' ').nth(1).unwrap().to_owned();
    (path, serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap())
}

#[test]
fn requests_are_what_the_contract_says() {
    let check = |verb, path: &str, field: &str, expected: &str| {
        let (shown, body) = sent(verb);
        assert_eq!(shown, path);
        assert_eq!(body[field].to_string(), expected, "{body}");
    };
    let ledger = "/v1/transactions";
    let transfer = r#"[{"type":"transfer","debit":"purses:1","credit":"purses:2","amount":"12.05"}]"#;
    let same = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap().to_string();
    check(Verb::Transfer(vec![leg()]), ledger, "operations", &same(transfer));
    let hold = format!(
        r#"[{{"type":"hold","id":"{OTHER}","debit":"purses:1","credit":"purses:2","amount":"12.05","expires_in":86400}}]"#
    );
    check(Verb::Hold { hold: OTHER, leg: leg() }, ledger, "operations", &same(&hold));
    let capture = format!(r#"[{{"type":"capture","hold":"{OTHER}","amount":"0.60"}}]"#);
    let verb = Verb::Capture { hold: OTHER, leg: leg(), amount: Fen(60) };
    check(verb, ledger, "operations", &same(&capture));
    let reverse = format!(r#"[{{"type":"reverse","transaction":"{OTHER}","operation":0,"amount":"0.60"}}]"#);
    let verb = Verb::Reverse { of: OTHER, leg: leg(), amount: Fen(60) };
    check(verb, ledger, "operations", &same(&reverse));
    let verb = Verb::Recharged { order: OTHER, user: 1, channel: 0, amount: Fen(60) };
    check(verb, "/v1/channels/wechat/notifications", "order", &format!("\"{OTHER}\""));
    let verb = Verb::Settled { payment: OTHER, user: 1, channel: 1, parts: PARTS };
    check(verb, "/v1/channels/alipay/notifications", "amount", "\"0.41\"");
    let verb = Verb::Give { user: 1, to: 2, amount: Fen(60) };
    check(verb, "/v1/wallets/u1/transfers", "to", "\"u2\"");
}

#[test]
fn answers_are_judged_by_the_contract() {
    let check = |verb: Verb, status, body: &str, expected: Reply| {
        assert_eq!(judge(&intent(verb), &answer(status, body)), expected, "{status} {body}");
    };
    let transfer = || Verb::Transfer(vec![leg()]);
    let pay = || Verb::Pay { user: 1, channel: 0, amount: Fen(101) };
    let done = |position| Reply::Final(Outcome::Done { position });
    let split = |waits| Reply::Final(Outcome::Split { parts: PARTS, waits });
    check(
        transfer(),
        201,
        r#"{"id":"x","status":"posted","position":7}"#,
        Reply::Unexpected(r#"201 {"id":"x","status":"posted","position":7}"#.to_owned()),
    );
    check(transfer(), 201, r#"{"status":"posted","position":7}"#, done(Some(7)));
    check(transfer(), 200, r#"{"status":"posted","position":7}"#, done(Some(7)));
    let code = "insufficient_funds".to_owned();
    let refused = Reply::Final(Outcome::Refused { code, position: Some(9) });
    check(transfer(), 422, r#"{"code":"insufficient_funds","position":9}"#, refused);
    check(transfer(), 503, r#"{"code":"storage_low"}"#, Reply::NotTaken(true));
    check(transfer(), 503, r#"{"code":"overloaded"}"#, Reply::NotTaken(false));
    check(transfer(), 500, "", Reply::Unknown);
    check(transfer(), 404, "{}", Reply::Unexpected("404 {}".to_owned()));
    let legs = r#""legs":[{"source":"balance","amount":"0.60"},{"source":"wechat","amount":"0.41"}]"#;
    check(pay(), 201, &format!(r#"{{"status":"awaiting_channel",{legs}}}"#), split(true));
    // A copy comes after the channel has paid: it has waited all the same.
    check(pay(), 200, &format!(r#"{{"status":"paid",{legs}}}"#), split(true));
    let recharged = Verb::Recharged { order: OTHER, user: 1, channel: 0, amount: Fen(60) };
    check(recharged.clone(), 200, r#"{"effect":"credited"}"#, done(None));
    let suspended = r#"{"effect":"suspended"}"#;
    check(recharged, 200, suspended, Reply::Unexpected(format!("200 {suspended}")));
}

#[test]
fn looks_tell_nothing_from_something() {
    let check = |verb: Verb, status, body: &str, expected: Option<Outcome>| {
        assert_eq!(judge_look(&intent(verb), &answer(status, body)), Ok(expected), "{status} {body}");
    };
    let transfer = || Verb::Transfer(vec![leg()]);
    let recharged = || Verb::Recharged { order: OTHER, user: 1, channel: 0, amount: Fen(60) };
    let settled = || Verb::Settled { payment: OTHER, user: 1, channel: 0, parts: PARTS };
    let refund = || Verb::Refund { payment: OTHER, user: 1, channel: 0, amount: Fen(60) };
    let done = |position| Some(Outcome::Done { position });
    check(transfer(), 404, "{}", None);
    check(transfer(), 200, r#"{"status":"posted","code":null,"position":7}"#, done(Some(7)));
    let code = "hold_captured".to_owned();
    let refused = Some(Outcome::Refused { code, position: Some(7) });
    check(transfer(), 200, r#"{"status":"rejected","code":"hold_captured","position":7}"#, refused);
    check(recharged(), 200, r#"{"status":"pending"}"#, None);
    check(recharged(), 200, r#"{"status":"paid"}"#, done(None));
    check(settled(), 200, r#"{"status":"awaiting_channel"}"#, None);
    check(settled(), 200, r#"{"status":"paid"}"#, done(None));
    check(refund(), 200, r#"{"status":"paid","refunds":[]}"#, None);
    let parts = Parts { balance: Fen(60), channel: Fen(0) };
    let body = format!(
        r#"{{"status":"paid","refunds":[{{"id":"{ID}","legs":[{{"source":"balance","amount":"0.60"}}]}}]}}"#
    );
    check(refund(), 200, &body, Some(Outcome::Split { parts, waits: false }));
    assert!(judge_look(&intent(transfer()), &answer(500, "{}")).is_err());
}
