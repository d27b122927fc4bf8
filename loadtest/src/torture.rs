//! Torture: a real server, killed, stopped, starved and cut off from its disk under load, against a record outside.
//!
//! Owns: the order of a run and its exit code. The record (`record.rs`) is made of two synced files of intents and
//! acknowledgements (`log.rs`); after each fault a start is compared with it (`audit.rs`). Exit code 0: nothing lost,
//! nothing doubled, nothing else wrong; 2: something was, and the folder is kept; 3: it could not be done.

mod audit;
mod client;
mod draw;
mod event;
mod fault;
mod findings;
mod load;
mod log;
mod process;
mod programme;
mod record;
mod request;
mod rig;
mod setup;
mod storage;
mod totals;
mod verb;
mod volume;

use std::fs;
use std::path::{Path, PathBuf};

use self::programme::Programme;

/// A fault that must be found: for those who want to see that the torture can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Plant {
    /// Syncs that do nothing: what is acknowledged does not survive a power cut.
    LyingDisk,
}

/// What is tortured, and how long.
pub(crate) struct Settings {
    /// Kills; everything else is in proportion.
    pub(crate) cycles: u32,
    pub(crate) seed: u64,
    /// The binary `yue`.
    pub(crate) binary: PathBuf,
    /// Where the data and the record go; on a disk whose syncs cost something.
    pub(crate) folder: PathBuf,
    pub(crate) plant: Option<Plant>,
}

/// Runs the programme; gives the exit code.
pub(crate) fn run(settings: &Settings) -> Result<u8, String> {
    println!(
        "torture: SEED={} CYCLES={}, data and record in {}",
        settings.seed,
        settings.cycles,
        settings.folder.display()
    );
    let mut programme = Programme::new(settings);
    let result = programme.run();
    programme.totals.print(programme.elapsed());
    let sound = programme.totals.findings.is_empty();
    if sound && result.is_ok() {
        let left_out = match programme.totals.not_done {
            0 => String::new(),
            count => format!("; {count} cycles NOT DONE, see above"),
        };
        println!("torture: passed; nothing lost, nothing doubled{left_out}");
        fs::remove_dir_all(&settings.folder).map_err(|error| error.to_string())?;
        return Ok(0);
    }
    println!("torture: the data and the record are kept in {}", settings.folder.display());
    if !sound {
        println!(
            "torture: FAILED; once more: make torture SEED={} CYCLES={}",
            settings.seed, settings.cycles
        );
        if let Err(error) = result {
            println!("torture: it ended with: {error}");
        }
        return Ok(2);
    }
    result.map(|()| 0)
}

/// An empty folder for a run.
pub(crate) fn new_folder(parent: &Path, seed: u64) -> Result<PathBuf, String> {
    let text = |error: std::io::Error| format!("{}: {error}", parent.display());
    fs::create_dir_all(parent).map_err(text)?;
    let parent = parent.canonicalize().map_err(text)?;
    (0..100)
        .map(|number| parent.join(format!("{seed}-{number}")))
        .find(|folder| fs::create_dir(folder).is_ok())
        .ok_or_else(|| format!("{} takes no new folder", parent.display()))
}
