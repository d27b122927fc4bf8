//! Torture: a real server, killed, stopped and starved under load, against a record outside.
//!
//! Owns: the programme, its progress and its figures. The record (`record.rs`) is made of two synced files of intents and
//! acknowledgements (`log.rs`); after each fault a start is compared with it (`audit.rs`). Exit code 0: nothing lost,
//! nothing doubled, nothing else wrong; 2: something was.

mod audit;
mod client;
mod draw;
mod fault;
mod load;
mod log;
mod process;
mod record;
mod request;
mod rig;
mod setup;
mod verb;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::seq::SliceRandom as _;

use self::draw::Style;
use self::fault::Fault;
use self::rig::{Rig, dice};

/// Clients of each server.
const CLIENTS: u16 = 32;
/// Each so many cycles a second process is started on the directory.
const SECOND_PROCESS_EVERY: usize = 10;
/// Findings that are printed.
const FINDINGS_MAX: usize = 40;

/// What is tortured, and how long.
pub(crate) struct Settings {
    /// Kills; everything else is in proportion.
    pub(crate) cycles: u32,
    pub(crate) seed: u64,
    /// The binary `yue`.
    pub(crate) binary: PathBuf,
    /// Where the data and the record go; on a disk whose syncs cost something.
    pub(crate) folder: PathBuf,
}

/// Runs the programme; gives the exit code.
pub(crate) fn run(settings: &Settings) -> Result<u8, String> {
    let started = Instant::now();
    println!("torture: seed {}, {} kills and the rest in proportion", settings.seed, settings.cycles);
    let style = Style { clients: CLIENTS, wallet: true, bulky: false };
    let mut faults = plan(settings.cycles);
    faults.shuffle(&mut dice(settings.seed, 0, 99_999));
    let data = settings.folder.join("data");
    let mut rig = Rig::new(&settings.binary, &settings.folder, &data, style, settings.seed)?;
    let mut done: BTreeMap<Fault, u64> = BTreeMap::new();
    for (cycle, fault) in faults.iter().enumerate() {
        let mut rng = dice(settings.seed, 0, cycle as u64);
        rig.up(&mut rng)?;
        if cycle % SECOND_PROCESS_EVERY == 0 {
            fault::second_process(&mut rig)?;
        }
        let what = fault::inflict(&mut rig, *fault, &mut rng)?;
        *done.entry(*fault).or_default() += 1;
        println!(
            "{:>4}/{} {:<8} {what}; {} acknowledged, {} settled, {:.0?}",
            cycle + 1,
            faults.len(),
            fault.label(),
            rig.record.acknowledged,
            rig.record.settled,
            started.elapsed()
        );
        if !rig.record.findings.is_empty() {
            break;
        }
    }
    rig.finish(&mut dice(settings.seed, 0, 99_998))?;
    for finding in rig.record.findings.iter().take(FINDINGS_MAX) {
        println!("{finding}");
    }
    for (fault, count) in done {
        println!("figure torture_{} {count} cycles", fault.label());
    }
    println!("figure torture_acknowledged {} operations", rig.record.acknowledged);
    Ok(if rig.record.findings.is_empty() { 0 } else { 2 })
}

fn plan(kills: u32) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut add = |fault, count: u32| faults.extend((0..count.max(1)).map(|_| fault));
    add(Fault::Kill, kills);
    add(Fault::Eio, kills / 4);
    add(Fault::Enospc, kills / 20);
    add(Fault::Stop, kills / 4);
    faults
}

/// An empty folder for a run.
pub(crate) fn new_folder(parent: &Path, seed: u64) -> Result<PathBuf, String> {
    let folder = parent.join(format!("{seed}"));
    fs::create_dir_all(parent).map_err(rig::text)?;
    fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}
