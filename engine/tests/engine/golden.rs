//! The golden directories (`engine/tests/golden`, see `server/tests/process/wallet/golden.rs`) with another format
//! somewhere: a newer one is refused, and nothing is written; an older index is refused with what to do, and built anew.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use yue_engine::{Config, Engine, audit::verify, journal::Group, reindex::reindex};

fn golden(name: &str) -> TempDir {
    let data = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).join("data");
    let files = image(&from);
    assert!(files.len() > 10, "{name}");
    for (path, bytes) in files {
        let target = data.path().join(path.strip_prefix(&from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, bytes).unwrap();
    }
    data
}

/// Every file below a directory.
pub(crate) fn image(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(image(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Opens a store, and closes it again when it was edited.
fn edit(
    store: &Path,
    family: Option<&str>,
    change: impl FnOnce(&dyn Fn(&[u8]) -> Vec<u8>, &dyn Fn(&[u8], &[u8])),
) {
    let options = rocksdb::Options::default();
    let families = rocksdb::DB::list_cf(&options, store).unwrap();
    let db = rocksdb::DB::open_cf(&options, store, &families).unwrap();
    let handle = db.cf_handle(family.unwrap_or("default")).unwrap();
    change(&|key| db.get_cf(&handle, key).unwrap().unwrap(), &|key, value| {
        db.put_cf(&handle, key, value).unwrap()
    });
    for family in &families {
        db.flush_cf(&db.cf_handle(family).unwrap()).unwrap();
    }
}

const FIRST_GROUP: [u8; 8] = 1_u64.to_be_bytes();

fn newer_format(data: &Path) {
    fs::write(data.join("format"), "2\n").unwrap();
}

fn no_format(data: &Path) {
    fs::write(data.join("format"), "new\n").unwrap();
}

fn newer_index(data: &Path) {
    index_format(data, 3);
}

fn newer_group(data: &Path) {
    edit(&data.join("journal"), None, |get, put| {
        let mut bytes = get(&FIRST_GROUP);
        bytes[0] = Group::VERSION + 1;
        put(&FIRST_GROUP, &bytes);
    });
}

fn newer_base(data: &Path) {
    edit(&data.join("journal"), None, |get, put| {
        let mut bytes = get(&[0; 8]);
        assert_eq!(&bytes[..8], b"yue-base");
        bytes[8] += 1;
        let end = bytes.len() - 32;
        let hash = blake3::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(hash.as_bytes());
        put(&[0; 8], &bytes);
    });
}

fn newer_witness(data: &Path) {
    let path = data.join("witness");
    let mut bytes = fs::read(&path).unwrap();
    for block in bytes.chunks_mut(4 << 10).filter(|block| block.starts_with(b"yue-wtns")) {
        block[12] += 1;
        let content = 12..8 + 4 + 4 + 8 + 48 + 40;
        let crc = crc32fast::hash(&block[content]);
        block[8..12].copy_from_slice(&crc.to_le_bytes());
    }
    fs::write(path, bytes).unwrap();
}

fn index_format(data: &Path, format: u32) {
    edit(&data.join("index"), Some("meta"), |get, put| {
        assert_eq!(get(b"format"), 2_u32.to_be_bytes());
        put(b"format", &format.to_be_bytes());
    });
}

fn config(data: &Path) -> Config {
    let mut config = Config::new(data);
    config.shards = 2;
    config
}

/// What says no, and that nobody has written.
#[track_caller]
fn refused(data: &TempDir, name: &str, message: &str) {
    let before = image(data.path());
    let answers = [
        Engine::open(config(data.path())).err().map(|error| error.to_string()),
        verify(data.path(), &mut |_| ()).err().map(|error| error.to_string()),
    ];
    for answer in answers {
        let answer = answer.unwrap_or_else(|| panic!("{name} is accepted"));
        assert!(answer.contains(message), "{name}: {answer}");
    }
    assert!(image(data.path()) == before, "{name}: a file has changed");
}

/// A directory, what is newer in it, how it becomes so, and what is said then.
type Case = (&'static str, &'static str, fn(&Path), &'static str);

#[test]
fn a_newer_format_is_refused_and_nothing_is_written() {
    let cases: [Case; 6] = [
        ("1-whole", "the directory's format", newer_format, "this release reads up to 1"),
        ("1-whole", "a format that is none", no_format, "`format` is damaged"),
        ("1-whole", "a group's format", newer_group, "format version 2"),
        ("1-trimmed", "the base's format", newer_base, "format version 2"),
        ("1-whole", "the witness's format", newer_witness, "format version 2"),
        ("1-whole", "the index's format", newer_index, "format 3, and this release reads up to 2"),
    ];
    for (golden_name, name, change, message) in cases {
        let data = golden(golden_name);
        change(data.path());
        refused(&data, name, message);
        let before = image(data.path());
        assert!(reindex(data.path(), &mut |_| ()).is_err(), "{name}: reindex");
        assert!(image(data.path()) == before, "{name}: reindex has changed a file");
    }
}

#[test]
fn an_older_index_is_refused_with_what_to_do() {
    let data = golden("1-whole");
    index_format(data.path(), 1);
    refused(&data, "an index of format 1", "run `yue reindex`");
    let built = reindex(data.path(), &mut |_| ()).unwrap();
    let report = verify(data.path(), &mut |_| ()).unwrap();
    assert_eq!((report.findings, report.indexed), (Vec::new(), built.position));
    drop(Engine::open(config(data.path())).unwrap());
}

/// What is not the journal's may be anything: it is built anew, to the same past.
#[test]
fn a_golden_index_is_built_anew() {
    let data = golden("1-whole");
    let before = verify(data.path(), &mut |_| ()).unwrap();
    fs::remove_dir_all(data.path().join("index")).unwrap();
    let built = reindex(data.path(), &mut |_| ()).unwrap();
    assert_eq!((built.position, built.groups), (before.position, before.groups));
    let after = verify(data.path(), &mut |_| ()).unwrap();
    assert_eq!((after.findings, after.head, after.turnover), (before.findings, before.head, before.turnover));
    // The stop had left an end that was not sealed yet.
    assert!(before.indexed < before.position && after.indexed == after.position);
    assert!(before.history_rows < after.history_rows);
}
