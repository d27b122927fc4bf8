//! Gives the room of trimmed groups back to the file system.
//!
//! Owns one background run at a time. Never touches what is not deleted already: a run that does not come to its end
//! costs room, and the next trim's run makes up for it.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use rocksdb::DB;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Reclaim {
    run: Option<JoinHandle<()>>,
}

impl Reclaim {
    /// Merges the tables of all keys before `end`, unless an earlier run goes on.
    ///
    /// The journal's tables are never merged otherwise (keys only ascend), so that a table of deleted keys would stay.
    pub(super) fn start(&mut self, db: &Arc<DB>, end: [u8; 8]) {
        if self.run.as_ref().is_some_and(|run| !run.is_finished()) {
            return;
        }
        let db = Arc::clone(db);
        let run = thread::Builder::new()
            .name("reclaim".into())
            .spawn(move || db.compact_range(None::<&[u8]>, Some(&end[..])));
        match run {
            Ok(run) => self.run = Some(run),
            Err(error) => tracing::warn!(%error, "the room of trimmed records is not given back yet"),
        }
    }
}

impl Drop for Reclaim {
    /// The store closes only when nobody works on it.
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            // A run that panicked has done nothing that matters.
            let _ = run.join();
        }
    }
}
