//! The whole audit against a small ledger behind HTTP that can lose or double what it was asked for.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rand::SeedableRng;
use serde_json::{Value, json};

use super::*;
use crate::operation::Ids;
use crate::torture::findings::Findings;
use crate::torture::log::Log;
use crate::torture::verb::{Leg, Verb};

/// The transactions of a ledger, in their order; all between `world` and `purses:1`.
#[derive(Default)]
struct Ledger {
    posted: Vec<Value>,
    /// Added to the balance of `purses:1`.
    error_fen: u64,
}

impl Ledger {
    fn answer(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        if method == "POST" {
            let sent: Value = serde_json::from_str(body).unwrap();
            let known = self.posted.iter().any(|posted| posted["id"] == sent["id"]);
            if !known {
                self.posted.push(sent.clone());
            }
            return (if known { 200 } else { 201 }, self.outcome(&sent["id"]).to_string());
        }
        if let Some(id) = path.strip_prefix("/v1/transactions/") {
            let known = self.posted.iter().any(|posted| posted["id"] == id);
            return if known { (200, self.outcome(&json!(id)).to_string()) } else { (404, "{}".to_owned()) };
        }
        let fen = 100 * self.posted.len() as u64;
        let yuan = |fen: u64| format!("{}.{:02}", fen / 100, fen % 100);
        let body = match path {
            "/v1/trial-balance" => json!({"position": self.posted.len(), "assets": []}),
            "/v1/accounts/world" => json!({"posted": yuan(fen), "held": "0.00"}),
            "/v1/accounts/purses:1" => json!({"posted": yuan(fen + self.error_fen), "held": "0.00"}),
            _ => {
                let after: usize = path.rsplit_once('=').unwrap().1.parse().unwrap();
                return (200, self.events(after));
            }
        };
        (200, body.to_string())
    }

    fn outcome(&self, id: &Value) -> Value {
        let index = self.posted.iter().position(|posted| posted["id"] == *id).unwrap();
        json!({"id": id, "status": "posted", "position": index + 1})
    }

    fn events(&self, after: usize) -> String {
        let events = self.posted.iter().enumerate().skip(after);
        events
            .map(|(index, posted)| {
                format!("id: {}\nevent: transaction_posted\ndata: {posted}\n\n", index + 1)
            })
            .collect()
    }
}

fn serve(ledger: Arc<Mutex<Ledger>>) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let ledger = Arc::clone(&ledger);
            thread::spawn(move || connection(stream.unwrap(), &ledger));
        }
    });
    Endpoint::parse(&url, None).unwrap()
}

fn connection(mut stream: TcpStream, ledger: &Mutex<Ledger>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut head, mut line) = (Vec::new(), String::new());
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            head.push(line.clone());
        }
        let length = head.iter().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
        reader.read_exact(&mut body).unwrap();
        let words: Vec<&str> = head[0].split(' ').collect();
        let (status, body) =
            ledger.lock().unwrap().answer(words[0], words[1], &String::from_utf8(body).unwrap());
        let length = body.len();
        write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    }
}

/// Ten transfers are sent, the first nine of them acknowledged; then something is done to the ledger, and it is audited.
/// Gives the numbers of lost, doubled and other findings.
fn audit(harm: impl FnOnce(&mut Ledger)) -> ([usize; 3], Record) {
    let folder = tempfile::tempdir().unwrap();
    let log = |name: &str| Log::create(&folder.path().join(name)).unwrap();
    let logs = Logs { intents: log("intents"), acknowledgements: log("acknowledgements") };
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let endpoint = serve(Arc::clone(&ledger));
    let keys = Keys::all(b"a key");
    let (mut record, mut ids) = (Record::default(), Ids::new());
    for number in 0..10 {
        let leg = Leg { debit: Account::World, credit: Account::Purse(1), amount: money::Fen(100) };
        let intent = Intent { id: ids.next(), verb: Verb::Transfer(vec![leg]), bulky: false };
        let mut client = crate::torture::client::Client::new(endpoint.clone(), PATIENCE);
        let mut bytes = Vec::new();
        request::build(&intent, &endpoint, &keys, &mut bytes);
        let state = match client.call(&bytes).map(|answer| request::judge(&intent, &answer)) {
            Ok(Reply::Final(outcome)) if number < 9 => State::Known(outcome),
            other => {
                assert!(matches!(other, Ok(Reply::Final(_))), "{other:?}");
                State::Unknown
            }
        };
        record.add(intent, state);
    }
    harm(&mut ledger.lock().unwrap());
    let audit = Audit { endpoint: &endpoint, keys: &keys, logs: &logs };
    audit.run(&mut record, 0, &mut SmallRng::seed_from_u64(1)).unwrap();
    let Findings { lost, doubled, other } = &record.findings;
    ([lost.len(), doubled.len(), other.len()], record)
}

#[test]
fn an_audit_finds_what_a_ledger_lost_or_doubled() {
    // All is there.
    let (findings, record) = audit(|_| {});
    assert_eq!(findings, [0, 0, 0], "{:?}", record.findings);
    assert_eq!(record.settled, 1);
    // What was not acknowledged may be lost; it is sent again.
    let (findings, record) = audit(|ledger| ledger.posted.truncate(9));
    assert_eq!(findings, [0, 0, 0], "{:?}", record.findings);
    assert_eq!(record.settled, 1);
    // The last acknowledged one is lost: told as lost, and the balances of both accounts differ.
    let (findings, record) = audit(|ledger| ledger.posted.truncate(8));
    assert_eq!(findings, [1, 0, 2], "{:?}", record.findings);
    // One that is doubled: told as doubled, and the balances differ.
    let (findings, record) = audit(|ledger| {
        let last = ledger.posted.last().unwrap().clone();
        ledger.posted.push(last);
    });
    assert_eq!(findings, [0, 1, 2], "{:?}", record.findings);
    // One that nobody sent.
    let (findings, record) = audit(|ledger| {
        let mut other = ledger.posted.last().unwrap().clone();
        other["id"] = json!(Ids::new().next());
        ledger.posted.push(other);
    });
    assert_eq!(findings, [0, 0, 3], "{:?}", record.findings);
    // A credit whose debit is missing.
    let (findings, record) = audit(|ledger| ledger.error_fen = 100);
    assert_eq!(findings, [0, 0, 1], "{:?}", record.findings);
}
