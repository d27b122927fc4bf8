//! When the keys file is read again.
//!
//! Owns the looks at the file. Never reads it on a thread that serves connections. A change shows in its times, mode, length or
//! inode; SIGHUP says so at once. Invariant: a change counts as seen when the file was read: until then it is tried again, so
//! that a key that was taken out does not stay in force because the file could not be used for a moment.

use std::{os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
};

use super::Gate;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// What changes when the file does: its times of modification and of change (the mode's too), length, inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look([i64; 4], u64, u64);

impl Look {
    fn at(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        let times = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()];
        Some(Self(times, file.len(), file.ino()))
    }
}

/// What was seen of the file.
struct Follower {
    /// When it was last read.
    read: Option<Look>,
    /// When it last could not be used: that is said once.
    unusable: Option<Option<Look>>,
}

impl Follower {
    fn new(gate: &Gate) -> Self {
        Self { read: Look::at(&gate.0.path), unusable: None }
    }

    /// Reads the file if it has changed, or if it is told to.
    fn look(&mut self, gate: &Gate, told: bool) {
        let now = Look::at(&gate.0.path);
        if !told && now.is_some() && now == self.read {
            return;
        }
        match gate.read_again() {
            Ok(()) => *self = Self { read: now, unusable: None },
            Err(error) => {
                if told || self.unusable != Some(now) {
                    tracing::error!(%error, "the keys stay as they were");
                }
                self.unusable = Some(now);
            }
        }
    }
}

impl Gate {
    /// Reads the keys again whenever their file changes, or the process is told to. Never ends.
    pub(crate) async fn follow_file(self) {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else {
            tracing::error!("SIGHUP can't be heard: the keys stay as they are");
            return;
        };
        let mut follower = Follower::new(&self);
        loop {
            let told = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(INTERVAL) => false,
            };
            let gate = self.clone();
            let looked = spawn_blocking(move || {
                follower.look(&gate, told);
                follower
            });
            // A panic has ended the process.
            let Ok(same) = looked.await else { return };
            follower = same;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{Permissions, set_permissions, write},
        os::unix::fs::PermissionsExt as _,
    };

    use super::*;

    const ONE: &str = "[[key]]\nid = 'one'\nscopes = ['accounts:read']\n";
    const TWO: &str = "[[key]]\nid = 'two'\nscopes = ['accounts:read']\n";

    #[test]
    fn a_change_is_seen_when_the_file_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let mode = |mode: u32| set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        write(&path, format!("{ONE}{TWO}")).unwrap();
        mode(0o600);
        let gate = Gate::open(&path, None, 1).unwrap();
        let mut follower = Follower::new(&gate);
        let mut check = |step: &str, keys: usize| {
            follower.look(&gate, false);
            assert_eq!(gate.0.keys.load().len(), keys, "{step}");
        };
        check("as it was", 2);
        // An editor that leaves another mode: the file is refused, and good again without a change of what is in it.
        write(&path, ONE).unwrap();
        mode(0o644);
        check("others may read it", 2);
        check("still", 2);
        mode(0o600);
        check("its mode is mended", 1);
        std::fs::remove_file(&path).unwrap();
        check("not there", 1);
        write(&path, format!("{ONE}{TWO}")).unwrap();
        mode(0o600);
        check("there again", 2);
        write(&path, "[[key]]\nid = ").unwrap();
        check("half written", 2);
        write(&path, TWO).unwrap();
        check("whole", 1);
    }

    /// A pipe has nothing to read for as long as nobody writes.
    #[test]
    fn what_is_no_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        write(&path, ONE).unwrap();
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let gate = Gate::open(&path, None, 1).unwrap();
        let mut follower = Follower::new(&gate);
        std::fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg("-m").arg("600").arg(&path).status().unwrap();
        assert!(made.success());
        follower.look(&gate, false);
        assert_eq!(gate.0.keys.load().len(), 1);
    }
}
