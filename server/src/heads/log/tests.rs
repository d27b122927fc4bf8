use std::fs;

use tempfile::TempDir;
use yue_engine::{journal::Hash, model::Position};

use super::*;

fn key() -> SecretKey {
    SecretKey::of([7; 32])
}

fn head(position: u64) -> Head {
    Head { position: Position(position), at: Timestamp(1), hash: Hash([9; 32]) }
}

/// A log with heads of these positions.
fn log(positions: &[u64]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heads.log");
    let mut log = HeadsLog::open(&path, key()).unwrap();
    for &position in positions {
        log.append(head(position), Timestamp(2)).unwrap().unwrap();
    }
    (folder, path)
}

fn positions(path: &Path) -> Result<Vec<u64>, String> {
    let kept = read_kept(path, key().public()).map_err(|error| error.to_string())?;
    assert!(kept.heads.contains(&kept.newest.head));
    Ok(kept.heads.iter().map(|head| head.position.0).collect())
}

#[test]
fn a_head_is_added_once_it_has_moved() {
    let (_folder, path) = log(&[3, 5]);
    let mut log = HeadsLog::open(&path, key()).unwrap();
    assert_eq!(log.last().unwrap().head.position, Position(5));
    assert_eq!(log.append(head(5), Timestamp(3)).unwrap(), None);
    assert_eq!(log.append(head(6), Timestamp(3)).unwrap().unwrap().head.position, Position(6));
    assert_eq!(positions(&path), Ok(vec![3, 5, 6]));
    assert!(HeadsLog::open(&path, key()).unwrap_err().to_string().contains("another process"));
    drop(log);
    let (_folder, empty) = self::log(&[]);
    assert!(positions(&empty).unwrap_err().contains("no signed head"));
    assert_eq!(HeadsLog::open(&empty, key()).unwrap().append(head(0), Timestamp(3)).unwrap(), None);
}

/// A crash may leave any beginning of the last line, or zeros.
#[test]
fn a_torn_line_is_skipped_and_cut_off() {
    let (_folder, path) = log(&[3, 5]);
    let whole = fs::read(&path).unwrap();
    let first = 1 + whole.iter().position(|&byte| byte == b'\n').unwrap();
    let check = |content: &[u8], kept: &[u64], torn: usize| {
        fs::write(&path, content).unwrap();
        if kept.is_empty() {
            assert!(positions(&path).unwrap_err().contains("no signed head"));
        } else {
            assert_eq!(positions(&path).unwrap(), kept);
            assert_eq!(read_kept(&path, key().public()).unwrap().torn, torn);
        }
        let mut log = HeadsLog::open(&path, key()).unwrap();
        assert_eq!(log.last().map(|last| last.head.position.0), kept.last().copied());
        log.append(head(9), Timestamp(3)).unwrap().unwrap();
        assert_eq!(positions(&path).unwrap(), [kept, &[9]].concat());
    };
    for end in 0..first {
        check(&whole[..end], &[], 0);
    }
    for end in first..whole.len() {
        check(&whole[..end], &[3], end - first);
    }
    check(&whole, &[3, 5], 0);
    check(&[&whole[..first], &[0; 40]].concat(), &[3], 40);
}

#[test]
fn what_is_wrong_with_a_kept_log_is_told_with_its_line() {
    let (_folder, path) = log(&[3, 5, 7]);
    let text = fs::read_to_string(&path).unwrap();
    let check = |content: &str, message: &str| {
        fs::write(&path, content).unwrap();
        let error = positions(&path).unwrap_err();
        assert!(error.contains(message), "{error}");
    };
    check(&text.replace("\"position\":5", "\"position\":6"), "line 2: the signature is wrong");
    check(&text.replace("0909", "0908"), "line 1: the signature is wrong");
    check(&text.replacen('\n', "\n\n", 1), "line 2: it is no signed head");
    check(&text.replacen("}\n", "\n", 1), "line 1: it is no signed head");
    check(&text.replacen("}\n", "", 1), "line 1: it is no signed head");
    check(&format!("{text}{}", "x".repeat(5_000)), "line 4: it is too long");
    let other = SignedHead::new(Checkpoint::default(), Timestamp(1), &SecretKey::of([8; 32]));
    let other = String::from_utf8(other.line()).unwrap();
    check(&format!("{text}{other}\n"), "line 4: another key has signed it");
    // Whose key the line says, and who signed it, are both held against the key that was given.
    let [own, foreign] = [&key(), &SecretKey::of([8; 32])].map(|key| key.public().to_string());
    check(&format!("{text}{}\n", other.replace(&foreign, &own)), "line 4: the signature is wrong");
    assert!(read_kept(Path::new("/nonexistent"), key().public()).is_err());
}

/// A log of something else is not touched.
#[test]
fn a_file_that_is_no_log_of_the_key_is_refused() {
    let (_folder, path) = log(&[3, 5]);
    let whole = fs::read_to_string(&path).unwrap();
    let check = |content: &str, message: &str| {
        fs::write(&path, content).unwrap();
        let error = HeadsLog::open(&path, key()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    };
    check("a diary", "does not end with a signed head");
    check("a diary\n", "its last line: it is no signed head");
    check(&format!("{whole}a diary"), "does not end with a signed head");
    check(&whole.replace("\"position\":5", "\"position\":6"), "its last line: the signature is wrong");
    check(&format!("{whole}{}", "\0".repeat(5_000)), "does not end with a signed head");
    fs::write(&path, &whole).unwrap();
    assert!(HeadsLog::open(Path::new("/dev/full"), key()).unwrap_err().to_string().contains("no file"));
    let error = HeadsLog::open(&path, SecretKey::of([8; 32])).unwrap_err().to_string();
    assert!(error.contains("another key"), "{error}");
}

#[test]
fn a_directory_without_the_last_head_is_refused() {
    let (_folder, path) = log(&[3, 5]);
    let log = HeadsLog::open(&path, key()).unwrap();
    let check = |witnessed: Head, message: Option<&str>| {
        let verdict = log.check(witnessed).map_err(|error| error.to_string());
        match message {
            None => assert_eq!(verdict, Ok(())),
            Some(message) => assert!(verdict.as_ref().is_err_and(|it| it.contains(message)), "{verdict:?}"),
        }
    };
    check(head(5), None);
    check(head(6), None);
    check(head(4), Some("rolled back"));
    check(Head::default(), Some("rolled back"));
    check(Head { hash: Hash([8; 32]), ..head(5) }, Some("rewritten"));
    drop(log);
    let (_folder, empty) = self::log(&[]);
    HeadsLog::open(&empty, key()).unwrap().check(Head::default()).unwrap();
}

/// What a full disk left of a line goes away before the next one.
#[test]
fn what_a_failed_write_left_is_cut_off() {
    let (_folder, path) = log(&[3]);
    let mut log = HeadsLog::open(&path, key()).unwrap();
    let whole = log.file.metadata().unwrap().len();
    // Opened for reading alone, it fails to be written.
    let writable = std::mem::replace(&mut log.file, File::open(&path).unwrap());
    assert!(log.append(head(5), Timestamp(3)).is_err());
    assert_eq!(log.last().unwrap().head.position, Position(3));
    log.file = writable;
    log.file.write_all(b"{\"at\":\"20").unwrap();
    log.append(head(6), Timestamp(3)).unwrap().unwrap();
    assert_eq!(positions(&path), Ok(vec![3, 6]));
    assert!(log.file.metadata().unwrap().len() > whole);
}
