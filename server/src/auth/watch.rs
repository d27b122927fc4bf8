//! When the keys file is read again.
//!
//! Owns the looks at the file, and what it was when it was last read. Never reads it. A change shows in its times, length,
//! mode or inode; SIGHUP says so at once. Invariant: a change is done with only when it was read: what could not be read
//! is tried again at each look, and said once.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
};

use super::{Gate, load};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// What changes when the file does: its length and inode, the times of its contents and of its mode and name. `None` if it
/// is not there.
type Look = Option<(u64, u64, [(i64, i64); 2])>;

/// The file, and what became of it.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) path: PathBuf,
    /// One read at a time: the keys of an older one do not follow those of a newer one.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// How the file was when it was read and found good; `None` if that was not so the last time.
    read: Option<Look>,
    /// How it was when it could not be used, and why, as it was said.
    failed: Option<(Look, String)>,
}

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    /// The file is as it was read.
    Same,
    /// Its keys are in force.
    Read,
    /// It could not be used; whether that was said.
    Refused { said: bool },
}

impl Watched {
    /// A file that is about to be read.
    pub(super) fn new(path: &Path) -> Self {
        let state = State { read: Some(look(path)), failed: None };
        Self { path: path.to_owned(), state: Mutex::new(state) }
    }

    /// What is noted is so, also if somebody panicked.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// Takes the file as it is now. If it is bad, the keys stay as they are.
    pub fn reload(&self) {
        self.read_again(true);
    }

    /// Reads the keys again whenever their file changes, or the process is told to. Never ends.
    pub(crate) async fn follow_file(self) {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else {
            tracing::error!("SIGHUP can't be heard: the keys stay as they are");
            return;
        };
        loop {
            let told = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(INTERVAL) => false,
            };
            // Not here: a file system may let one wait, and who waits here serves nobody.
            let gate = self.clone();
            if let Err(error) = spawn_blocking(move || gate.read_again(told)).await {
                tracing::error!(%error, "a look at the keys file was broken off");
            }
        }
    }

    /// Reads the file if it has changed since it was read, or anyway if told to.
    fn read_again(&self, told: bool) -> Looked {
        let watched = &self.0.watched;
        let mut state = watched.lock();
        // Before it is read: what changes after the look is seen as a change.
        let now = look(&watched.path);
        if !told && state.read == Some(now) {
            return Looked::Same;
        }
        match load(&watched.path, &self.0.keys.load()) {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), path = %watched.path.display(), "keys were read again");
                self.0.keys.store(Arc::new(keys));
                self.0.changes.tell();
                *state = State { read: Some(now), failed: None };
                Looked::Read
            }
            Err(error) => {
                let failed = Some((now, error.to_string()));
                let said = told || state.failed != failed;
                if said {
                    tracing::error!(%error, "the keys stay as they were");
                }
                *state = State { read: None, failed };
                Looked::Refused { said }
            }
        }
    }
}

fn look(path: &Path) -> Look {
    let metadata = std::fs::metadata(path).ok()?;
    let times = [(metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec())];
    Some((metadata.len(), metadata.ino(), times))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, metadata, read_to_string, set_permissions, write};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const KEYS: &str = "[[key]]\nid = 'stays'\nscopes = []\n";
    const STOLEN: &str = "[[key]]\nid = 'stolen'\nscopes = []\n";

    #[test]
    fn a_change_that_could_not_be_read_is_read_once_it_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let mode = |mode| set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        write(&path, format!("{KEYS}{STOLEN}")).unwrap();
        mode(0o600);
        let gate = Gate::open(&path, None, 1).unwrap();
        let check = |looked, stolen: bool| {
            assert_eq!(gate.read_again(false), looked);
            let keys = gate.0.keys.load();
            assert_eq!((keys.find("stays").is_some(), keys.find("stolen").is_some()), (true, stolen));
        };
        check(Looked::Same, true);
        // As an editor may do it that writes another file in its place.
        mode(0o644);
        write(&path, KEYS).unwrap();
        check(Looked::Refused { said: true }, true);
        check(Looked::Refused { said: false }, true);
        assert_eq!(gate.read_again(true), Looked::Refused { said: true }, "who asks is answered");
        mode(0o600);
        check(Looked::Read, false);
        check(Looked::Same, false);
        // Another failure is said again, and a mode is a change.
        let at = metadata(&path).unwrap().modified().unwrap();
        mode(0o640);
        assert_eq!(metadata(&path).unwrap().modified().unwrap(), at);
        check(Looked::Refused { said: true }, false);
        let good = read_to_string(&path).unwrap();
        write(&path, "x =").unwrap();
        mode(0o600);
        check(Looked::Refused { said: true }, false);
        std::fs::remove_file(&path).unwrap();
        check(Looked::Refused { said: true }, false);
        check(Looked::Refused { said: false }, false);
        write(&path, good).unwrap();
        mode(0o600);
        check(Looked::Read, false);
    }
}
