//! A whole data directory, each of its files cut and flipped: what was acknowledged is refused to be lost or told otherwise.
//!
//! The journal's own test (`journal_damage.rs`) has the log byte by byte and what was never acknowledged; here all is
//! acknowledged, and everything that lies in a directory takes part: journal, witness, index, format.
//! `DIRECTORY_DAMAGE_PLACES=n` tries so many places of each file.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use yue_engine::{
    Engine,
    audit::{self, AuditError, verify},
    index::{self, HistoryQuery, IndexError, IndexOptions},
    model::{AccountNo, OperationKind, Position, TransactionId},
    reindex::reindex,
};

use crate::{
    golden::image,
    support::{Yue, amount, config, hold, hold_id, many, one, transfer},
};

/// Places of a file that are tried, spread over it.
const PLACES: usize = 6;
const ACCOUNTS: u32 = 4;

/// What is true of a sound directory, up to where its index has sealed.
#[derive(Debug, PartialEq)]
struct Past {
    ids: Vec<Option<Position>>,
    /// The history of each account, as it is shown.
    histories: Vec<String>,
}

impl Past {
    /// As an index shows it; an error where it can't be read.
    fn of(data: &Path, ids: &[TransactionId]) -> Result<Self, IndexError> {
        let index = index::open_read_only(&data.join("index"), &IndexOptions::default(), &mut |_| ())?.index;
        let query =
            |no| HistoryQuery { account: AccountNo(no), from: None, to: None, before: None, limit: 9_999 };
        let history = |no| index.history(&query(no)).map(|rows| format!("{rows:?}"));
        Ok(Self {
            ids: ids.iter().map(|id| index.find_transaction(*id)).collect::<Result<_, _>>()?,
            histories: (0..ACCOUNTS).map(history).collect::<Result<_, _>>()?,
        })
    }
}

struct Sample {
    data: TempDir,
    image: BTreeMap<PathBuf, Vec<u8>>,
    ids: Vec<TransactionId>,
    report: audit::Report,
    /// Up to what the index has sealed.
    sealed: Past,
    /// All.
    whole: Past,
}

async fn sample() -> Sample {
    let data = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut small = config(&data, 2);
    small.segment_records = 32;
    let yue = Yue { engine: Engine::open(small).unwrap(), data };
    for name in ["channels:bank", "customers:1", "customers:2", "merchants:1"] {
        yue.open(name).await;
    }
    yue.fund("customers:1", 100_000).await;
    let mut ids = Vec::new();
    for no in 0..40_u64 {
        let held = hold_id();
        let steps = [
            many([
                transfer("customers:1", "merchants:1", 10 + no),
                transfer("customers:1", "customers:2", 1),
            ]),
            one(hold(held, "customers:1", "merchants:1", 5, 900)),
            one(OperationKind::Capture { hold: held, amount: Some(amount(1 + no % 3)) }),
            one(transfer("customers:2", "merchants:1", 1_000_000)),
        ];
        for step in steps {
            ids.push(step.id);
            yue.engine.submit(step).await.unwrap();
        }
    }
    let Yue { engine, data } = yue;
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    let report = verify(data.path(), &mut |_| ()).unwrap();
    assert!(report.is_sound() && report.indexed > Position(64), "{report:?}");
    let image = image(data.path());
    let sealed = Past::of(data.path(), &ids).unwrap();
    reindex(data.path(), &mut |_| ()).unwrap();
    let whole = Past::of(data.path(), &ids).unwrap();
    assert!(whole.ids.iter().all(Option::is_some) && sealed != whole);
    Sample { data, image, ids, report, sealed, whole }
}

/// How a damage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// Nobody reads what was damaged: all is there, and right.
    Borne,
    /// The journal, the witness or the format: no start, nothing written.
    Refused,
    /// The index alone: built anew, and right.
    Rebuilt,
}

impl Sample {
    fn damage(&self, path: &Path, bytes: Option<&[u8]>, name: &str, rebuild: bool) -> End {
        let data = self.data.path();
        restore(data, &self.image);
        match bytes {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        let damaged = image(data);
        let verified = verify(data, &mut |_| ());
        assert!(image(data) == damaged, "{name}: a check has written");
        let of_the_index = path.starts_with(data.join("index"));
        let end = match &verified {
            Ok(report) if report.is_sound() => End::Borne,
            Ok(report) => {
                assert!(of_the_index && report.blames_index_alone(), "{name}: {:?}", report.findings);
                End::Rebuilt
            }
            Err(AuditError::Index(_)) => {
                assert!(of_the_index, "{name}: the index is blamed");
                End::Rebuilt
            }
            Err(error) => {
                assert!(!of_the_index, "{name}: {error}");
                End::Refused
            }
        };
        match end {
            End::Borne => self.assert_told(&verified.unwrap(), name),
            End::Refused => {
                assert!(Engine::open(config(&self.data, 2)).is_err(), "{name}: a start is not refused");
                assert!(image(data) == damaged, "{name}: a refused start has written");
            }
            End::Rebuilt => {
                // What is shown of a damaged index is an error, or right; `verify` reads more than that.
                if let Ok(shown) = Past::of(data, &self.ids) {
                    assert!(shown == self.sealed || verified.is_ok(), "{name}: another past is shown");
                }
                if rebuild {
                    reindex(data, &mut |_| ()).unwrap();
                    self.assert_told(&verify(data, &mut |_| ()).unwrap(), name);
                }
            }
        }
        end
    }

    /// All that was acknowledged, as it was.
    fn assert_told(&self, report: &audit::Report, name: &str) {
        assert_eq!(report.findings, Vec::<String>::new(), "{name}");
        assert_eq!((report.position, report.head), (self.report.position, self.report.head), "{name}");
        assert_eq!(report.turnover, self.report.turnover, "{name}");
        // An index that is missing is built by the next start.
        if report.indexed > Position::ZERO {
            let truth = if report.indexed == report.position { &self.whole } else { &self.sealed };
            assert_eq!(&Past::of(self.data.path(), &self.ids).unwrap(), truth, "{name}");
        }
    }
}

fn restore(data: &Path, image: &BTreeMap<PathBuf, Vec<u8>>) {
    for folder in ["journal", "index", "index.new", "index.old"] {
        let _missing = fs::remove_dir_all(data.join(folder));
    }
    for (path, bytes) in image {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// What a file is, by its name: tables differ, and are all tried.
fn kind(path: &Path, data: &Path) -> String {
    let name = path.strip_prefix(data).unwrap().to_string_lossy().into_owned();
    name.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_with_any_file_damaged_is_refused_or_right() {
    let places =
        std::env::var("DIRECTORY_DAMAGE_PLACES").ok().and_then(|text| text.parse().ok()).unwrap_or(PLACES);
    let sample = sample().await;
    tokio::task::spawn_blocking(move || try_all(&sample, places)).await.unwrap();
}

fn try_all(sample: &Sample, places: usize) {
    let data = sample.data.path();
    let mut ends = BTreeMap::<String, BTreeMap<End, usize>>::new();
    let mut cases = 0;
    for (path, bytes) in &sample.image {
        let name = path.strip_prefix(data).unwrap().display().to_string();
        // Nobody's: for people, or for its lock alone.
        if ["LOG", "LOCK", "lock", "OPTIONS", "IDENTITY"].iter().any(|word| name.contains(word)) {
            continue;
        }
        let mut damaged: Vec<(String, Option<Vec<u8>>)> = vec![(format!("{name} missing"), None)];
        for place in spread(bytes.len(), places) {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << (place % 8);
            damaged.push((format!("{name} flipped at {place}"), Some(flipped)));
        }
        for length in spread(bytes.len(), places / 3) {
            damaged.push((format!("{name} cut at {length}"), Some(bytes[..length].to_vec())));
        }
        for (what, bytes) in damaged {
            // Building anew is long: each seventh.
            let end = sample.damage(path, bytes.as_deref(), &what, cases % 7 == 0);
            *ends.entry(kind(path, data)).or_default().entry(end).or_default() += 1;
            cases += 1;
        }
    }
    println!("{cases} damages: {ends:?}");
    let seen =
        |kind: &str, end: End| ends.iter().any(|(name, ends)| name.contains(kind) && ends.contains_key(&end));
    for (kind, end) in [
        ("journal/", End::Refused),
        ("witness", End::Refused),
        ("format", End::Refused),
        ("index/.sst", End::Rebuilt),
        ("index/MANIFEST", End::Rebuilt),
        ("index/CURRENT", End::Rebuilt),
    ] {
        assert!(seen(kind, end), "no damage of {kind} was {end:?}: {ends:?}");
    }
}

/// Places of a file of so many bytes, its first and last among them.
fn spread(bytes: usize, places: usize) -> Vec<usize> {
    let Some(last) = bytes.checked_sub(1) else { return Vec::new() };
    let mut spread: Vec<usize> = (0..places).map(|no| no * last / (places - 1).max(1)).collect();
    spread.dedup();
    spread
}
