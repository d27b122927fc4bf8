//! The record on disk: what was about to be asked, and what was answered.
//!
//! Owns: two files of lines beside, never inside, what is tortured. Invariant: `append` returns only when its line is
//! synced. Lines of clients that wait at the same time are synced together.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::verb::{Outcome, Verb};

/// What a client is about to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) id: Uuid,
    pub(crate) verb: Verb,
    /// With as much metadata as there may be, so that a small disk fills.
    pub(crate) bulky: bool,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acknowledgement {
    pub(crate) id: Uuid,
    pub(crate) outcome: Outcome,
}

/// One file of the record.
pub(crate) struct Log {
    file: File,
    state: Mutex<State>,
    synced: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines taken, and lines synced, since the start.
    taken: u64,
    synced: u64,
    syncing: bool,
    failed: bool,
}

impl Log {
    /// A new file.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = File::create_new(path)?;
        Ok(Self { file, state: Mutex::default(), synced: Condvar::new() })
    }

    /// Adds a line; it is on the disk when this returns.
    pub(crate) fn append(&self, line: &impl Serialize) -> io::Result<()> {
        self.append_all(std::slice::from_ref(&line))
    }

    /// Adds lines; they are on the disk when this returns.
    pub(crate) fn append_all(&self, lines: &[impl Serialize]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.extend_from_slice(&text);
        state.taken += 1;
        let mine = state.taken;
        while state.synced < mine {
            if state.failed {
                return Err(io::Error::other("the record can't be synced"));
            }
            if state.syncing {
                state = self.synced.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            // This one syncs for all who wait.
            let group = std::mem::take(&mut state.waiting);
            let end = state.taken;
            state.syncing = true;
            drop(state);
            let written = (&self.file).write_all(&group).and_then(|()| self.file.sync_data());
            state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.syncing = false;
            match written {
                Ok(()) => state.synced = end,
                Err(_) => state.failed = true,
            }
            self.synced.notify_all();
            written?;
        }
        Ok(())
    }
}

/// All lines of a file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Vec<T>> {
    let lines = BufReader::new(File::open(path)?).lines();
    lines.map(|line| serde_json::from_str(&line?).map_err(Into::into)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_append_at_once_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let log = Log::create(&path).unwrap();
        std::thread::scope(|scope| {
            for client in 0..8_u64 {
                let log = &log;
                scope.spawn(move || (0..50).for_each(|step| log.append(&(client, step)).unwrap()));
            }
        });
        let lines: Vec<(u64, u64)> = read(&path).unwrap();
        assert_eq!(lines.len(), 8 * 50);
        for client in 0..8 {
            let steps = lines.iter().filter(|line| line.0 == client).map(|line| line.1);
            assert!(steps.eq(0..50), "each client's lines are in its order");
        }
        assert!(Log::create(&path).is_err(), "a record is not written over");
    }
}
