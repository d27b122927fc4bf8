//! Signed heads: written by a server that is killed and stopped, and held against directories that are not what they were.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use yue_engine::journal::{
    Checkpoint, Group, Journal as _, JournalOptions, Record,
    rocks::{JournalReader, RocksJournal},
};

use crate::{
    client::Client,
    full::Mount,
    reindex::until_trimmed,
    server::{PATIENCE, Server, yue},
};

/// A directory whose heads are signed, and what signs them.
struct Stage {
    folder: TempDir,
    public_key: String,
}

impl Stage {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let public_key = keygen(&folder.path().join("heads.key"));
        Self { folder, public_key }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn log(&self) -> PathBuf {
        self.path("heads.log")
    }

    fn serve(&self, data: &Path, log: &Path, options: &[&str]) -> Server {
        let (key, log) = (self.path("heads.key"), log.to_str().unwrap());
        let heads = ["--heads-key", key.to_str().unwrap(), "--heads-log", log, "--heads-interval-ms", "5"];
        Server::start(data, &[&heads, options].concat())
    }

    fn start(&self, options: &[&str]) -> Server {
        self.serve(&self.data(), &self.log(), options)
    }

    /// Positions in the log, whose last line may be torn.
    fn heads(&self) -> Vec<u64> {
        let text = fs::read_to_string(self.log()).unwrap();
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.map(|line| serde_json::from_str::<Value>(line).unwrap()["position"].as_u64().unwrap()).collect()
    }

    /// Waits for a head of a position, or behind it.
    fn wait_for(&self, position: u64) {
        wait("no head", || self.heads().last().is_some_and(|&last| last >= position));
    }

    fn verify(&self, data: &Path, log: Option<(&Path, &str)>) -> (bool, String) {
        let mut command = yue(&["verify", "--data", data.to_str().unwrap()]);
        if let Some((log, key)) = log {
            command.arg("--heads-log").arg(log).args(["--heads-public-key", key]);
        }
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    /// What `yue verify` says of a directory and a log of these lines.
    #[track_caller]
    fn check(&self, data: &Path, log: &str, key: &str, sound: bool, words: &[&str]) {
        let path = self.path("kept.log");
        fs::write(&path, log).unwrap();
        let (well, text) = self.verify(data, Some((&path, key)));
        assert_eq!((well, text.contains("verdict    SOUND")), (sound, sound), "{text}");
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
    }
}

fn keygen(path: &Path) -> String {
    let made = yue(&["heads", "keygen", "--heads-key", path.to_str().unwrap()]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim_end().to_owned()
}

fn wait(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what} after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn stop(server: Server) {
    server.terminate();
    assert!(server.wait().success());
}

fn open_accounts(client: &mut Client) {
    for body in [
        json!({"address": "world", "asset": "CNY", "normal": "debit", "floor": null}),
        json!({"address": "a:1", "asset": "CNY"}),
    ] {
        assert_eq!(client.post("/v1/accounts", &body).unwrap().status, 201);
    }
}

fn payment() -> Value {
    let transfer = json!({"type": "transfer", "debit": "world", "credit": "a:1", "amount": "1.00"});
    json!({"id": uuid::Uuid::now_v7(), "operations": [transfer]})
}

/// The position of one more payment.
fn pay(client: &mut Client) -> u64 {
    let answer = client.post("/v1/transactions", &payment()).unwrap();
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    answer.body["position"].as_u64().unwrap()
}

/// Some payments, with a head of each.
fn business(stage: &Stage, server: &Server, payments: usize) {
    let mut client = server.client();
    for _ in 0..payments {
        stage.wait_for(pay(&mut client));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn image(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files.extend(image(&entry.path()));
        } else {
            files.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    files
}

/// What somebody does who may write the directory: another past, with a chain and a witness of its own.
fn rewrite(from: &Path, to: &Path) {
    copy(from, to);
    for folder in ["journal", "index"] {
        fs::remove_dir_all(to.join(folder)).unwrap();
    }
    fs::remove_file(to.join("witness")).unwrap();
    let options = JournalOptions::default();
    let mut journal = RocksJournal::open(to, &options, Checkpoint::default()).unwrap();
    let reader = JournalReader::open(from, &options).unwrap();
    let mut payments = 0;
    let read = reader.read(yue_engine::model::Position::ZERO, &mut |group| {
        let mut records = Vec::new();
        for frame in group.frames() {
            let mut record = Record::decode(frame.unwrap()).unwrap();
            if let Record::Posted(posted) = &mut record {
                payments += 1;
                if payments == 4 {
                    posted.reference = Some("another one".into());
                }
            }
            Group::frame(&mut records, &record);
        }
        let group = Group::new(journal.head(), group.at, group.count, records);
        journal.append(&group, Checkpoint::default())
    });
    read.unwrap();
    assert!(payments > 4);
}

#[test]
fn process_heads_tell_what_a_directory_does_not() {
    let stage = Stage::new();
    let (data, early, rewritten) = (stage.data(), stage.path("early"), stage.path("rewritten"));
    let server = stage.start(&[]);
    open_accounts(&mut server.client());
    business(&stage, &server, 4);
    stop(server);
    copy(&data, &early);
    let server = stage.start(&[]);
    business(&stage, &server, 4);
    // What GET shows is the newest line, right after it was written.
    let show = || server.client().get("/v1/head").unwrap();
    wait("not shown", || show().body["position"] == 10);
    let shown = show();
    stop(server);
    rewrite(&data, &rewritten);
    let log = fs::read_to_string(stage.log()).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!((shown.status, &shown.body), (200, &serde_json::from_str(lines[lines.len() - 1]).unwrap()));
    let heads = stage.heads();
    assert!(heads.len() >= 8 && heads.is_sorted_by(|one, next| one < next), "{heads:?}");

    let key = stage.public_key.as_str();
    let all = format!("{0} signed, the newest of position 10 at 20", heads.len());
    stage.check(&data, &log, key, true, &[&all, &format!("the journal has {} of them", heads.len())]);
    // In any order, and not all of them.
    let reversed: String = lines.iter().rev().step_by(2).map(|line| format!("{line}\n")).collect();
    stage.check(&data, &reversed, key, true, &["the newest of position 10"]);
    // An older log of a newer journal.
    stage.check(&data, &format!("{}\n", lines[0]), key, true, &["the journal has 1 of them"]);

    let other = keygen(&stage.path("other.key"));
    stage.check(&data, &log, &other, false, &["NOT VERIFIED", "line 1: another key has signed it"]);
    let claimed = log.replace(key, &other);
    stage.check(&data, &claimed, &other, false, &["NOT VERIFIED", "line 1: the signature is wrong"]);
    let edited = log.replace("\"position\":8,", "\"position\":11,");
    let line = 1 + heads.iter().position(|&position| position == 8).unwrap();
    stage.check(&data, &edited, key, false, &[&format!("line {line}: the signature is wrong")]);
    stage.check(&data, "", key, false, &["NOT VERIFIED", "no signed head"]);

    let torn = &log[..log.len() - 20];
    stage.check(&data, torn, key, true, &["the log's last line is torn", "it was skipped"]);
    let torn = log.replacen(&lines[1][40..], "", 1);
    stage.check(&data, &torn, key, false, &["line 2: it is no signed head"]);

    for (directory, finding) in [
        (
            &early,
            "rolled back: the journal ends at position 6, before the signed head of position 7 (4 of the",
        ),
        (&rewritten, "rewritten: at position 6 the journal has another hash than the signed head (5 of the"),
    ] {
        let (well, text) = stage.verify(directory, None);
        assert!(well && text.contains("verdict    SOUND"), "{text}");
        stage.check(directory, &log, key, false, &["NOT SOUND: 1 findings", finding]);
        // A server that is to add to the log tells, too, before it writes anything.
        let before = image(directory);
        let (key, log) = (stage.path("heads.key"), stage.log());
        let [directory, key, log] = [directory, &key, &log].map(|path| path.to_str().unwrap());
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", directory, "--heads-key", key];
        let refused = yue(&[&arguments[..], &["--heads-log", log]].concat()).output().unwrap();
        let text = String::from_utf8(refused.stderr).unwrap();
        let cause = &finding[..finding.find(':').unwrap()];
        assert!(refused.status.code() == Some(1) && refused.stdout.is_empty(), "{text}");
        assert!(text.contains(&format!("it was {cause}")) && text.contains("nothing was written"), "{text}");
        assert!(image(Path::new(directory)) == before, "a refused start has written");
    }
}

/// Whatever a kill leaves, the journal has each head that was signed.
#[test]
fn process_heads_are_never_ahead_of_what_a_kill_leaves() {
    let stage = Stage::new();
    let server = stage.start(&[]);
    open_accounts(&mut server.client());
    server.kill();
    for cycle in 0..10_u64 {
        let server = stage.start(&[]);
        thread::scope(|scope| {
            for _ in 0..4 {
                let mut client = server.client();
                // The kill cuts the connection.
                scope.spawn(move || while client.post("/v1/transactions", &payment()).is_ok() {});
            }
            thread::sleep(Duration::from_millis(40 + 7 * cycle));
            server.kill();
        });
        let (well, text) = stage.verify(&stage.data(), Some((&stage.log(), &stage.public_key)));
        assert!(well && text.contains("verdict    SOUND"), "cycle {cycle}: {text}");
    }
    assert!(stage.heads().len() > 20, "{:?}", stage.heads());
}

/// Of heads that lie before a trimmed journal nothing is known, and that is told.
#[test]
fn process_heads_before_a_trimmed_journal_are_told() {
    let stage = Stage::new();
    let server = stage.start(&["--journal-retention", "30", "--segment-records", "64"]);
    let mut client = server.client();
    open_accounts(&mut client);
    until_trimmed(&stage.data(), |_| {
        pay(&mut client);
    });
    stage.wait_for(pay(&mut client));
    stop(server);
    let (well, text) = stage.verify(&stage.data(), Some((&stage.log(), &stage.public_key)));
    assert!(well && text.contains("lie before the journal's beginning"), "{text}");
    assert!(!text.contains("the journal has 0 of them"), "{text}");
}

fn metric(server: &Server, name: &str) -> u64 {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: yue\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{name} is not in {page}"))
}

#[test]
fn process_a_head_that_can_not_be_written_stops_nobody() {
    let Some(mount) = Mount::new(1) else {
        println!("skipped: this process may not mount a file system");
        return;
    };
    let stage = Stage::new();
    let log = mount.at.join("heads.log");
    let server = stage.serve(&stage.data(), &log, &[]);
    let mut client = server.client();
    open_accounts(&mut client);
    wait("no head", || metric(&server, "yue_heads_signed_total") > 0);
    let ballast = mount.at.join("ballast");
    let mut file = File::create(&ballast).unwrap();
    while file.write_all(&[1; 512]).is_ok() {}
    // The log's last page has room for some more lines.
    while metric(&server, "yue_heads_failed_total") == 0 {
        pay(&mut client);
        thread::sleep(Duration::from_millis(10));
    }
    let position = pay(&mut client);
    fs::remove_file(&ballast).unwrap();
    drop(file);
    wait("no head", || {
        let shown = server.client().get("/v1/head").unwrap().body;
        shown["position"].as_u64().is_some_and(|shown| shown >= position)
    });
    stop(server);
    let (well, text) = stage.verify(&stage.data(), Some((&log, &stage.public_key)));
    assert!(well && text.contains(&format!("the newest of position {position} ")), "{text}");
    let complaints = fs::read_to_string(stage.data().with_extension("log")).unwrap();
    assert!(complaints.contains("a signed head was not written"), "{complaints}");
}
