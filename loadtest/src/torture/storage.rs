//! Disks that are full, and disks that lose their power.
//!
//! Owns: one cycle on each, with what must follow. Each disk is a file system of its own (`volume.rs`).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rand::RngExt;
use rand::rngs::SmallRng;
use rustix::process::Signal;

use super::process::{Server, is_abort};
use super::rig::{Rig, text};
use super::volume::Volume;

/// A full disk's size, and its size once it has grown.
pub(crate) const FULL_MIB: u32 = 64;
const GROWN_MIB: u32 = 192;
/// Refusals that are waited for before the disk counts as full.
const REFUSALS: u64 = 64;
/// How long it may take to fill.
const FILLS: Duration = Duration::from_secs(60);
/// How long a server may take to meet an error, and to end.
const ENDS: Duration = Duration::from_secs(10);
/// How long a server that has met no error is watched.
const WATCHED: Duration = Duration::from_secs(1);
/// Reads that must be answered on a full disk.
const READS: [&str; 3] = ["/v1/trial-balance", "/v1/accounts/purses:0", "/v1/accounts/purses:1/history"];

/// Whether the disk itself said that it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// The server met it, and aborted.
    Aborted,
    /// It refused writes before it met it.
    Refused,
}

/// A disk that somebody else fills at once, under load; then it is filled by the load itself.
pub(crate) fn full(rig: &mut Rig, volume: &Volume, rng: &mut SmallRng) -> Result<(Met, String), String> {
    rig.up(rng)?;
    // 1. All the room goes at once.
    let after = Duration::from_millis(rng.random_range(0..150));
    let met = rig.load(|server, _, low| {
        thread::sleep(after);
        let ballast = volume.fill().map_err(text)?;
        let met = met(server, low)?;
        Ok((met, ballast))
    })?;
    let (met, ballast) = met;
    rig.gone()?;
    // 2. A start on the full disk may be refused; it must not harm.
    rig.kill_early(rng)?;
    fs::remove_file(ballast).map_err(text)?;
    rig.up(rng)?;
    // 3. The load fills it: refused before it is full, reads go on.
    let filled = rig.load(|server, _, low| {
        let until = Instant::now() + FILLS;
        while low.load(Relaxed) < REFUSALS {
            if Instant::now() > until {
                return Err("the disk does not fill".to_owned());
            }
            thread::sleep(Duration::from_millis(5));
        }
        let unanswered: Vec<&str> = READS.into_iter().filter(|path| !server.answers(path)).collect();
        server.signal(Signal::KILL).map_err(text)?;
        Ok(unanswered)
    })?;
    if !filled.is_empty() {
        rig.record.findings.other.push(format!("on a full disk these are not answered: {filled:?}"));
    }
    rig.gone()?;
    // 4. A start needs no more room than there is; with more room it takes writes again.
    rig.start_once()?;
    volume.resize(GROWN_MIB).map_err(text)?;
    rig.finish(rng)?;
    let name = match met {
        Met::Aborted => "the server met ENOSPC and aborted",
        Met::Refused => "the server refused in time",
    };
    Ok((
        met,
        format!("all room taken after {after:.0?}: {name}; filled by the load, refused with storage_low"),
    ))
}

fn met(server: &mut Server, low: &AtomicU64) -> Result<Met, String> {
    let until = Instant::now() + ENDS;
    loop {
        match server.ended_within(WATCHED).map_err(text)? {
            Some(status) if is_abort(status) => return Ok(Met::Aborted),
            Some(status) => return Err(format!("a full disk ended it with {status}")),
            None if low.load(Relaxed) >= REFUSALS => return Ok(Met::Refused),
            None if Instant::now() > until => {
                return Err("a full disk, and neither an end nor refusals".to_owned());
            }
            None => {}
        }
    }
}

/// The power goes under load, and now and then again while it recovers.
pub(crate) fn power(rig: &mut Rig, volume: &Volume, rng: &mut SmallRng) -> Result<String, String> {
    let after = Duration::from_millis(rng.random_range(5..600));
    let alive = rng.random_bool(0.5);
    let ended = rig.load(|server, _, _| {
        thread::sleep(after);
        if !alive {
            server.signal(Signal::KILL).map_err(text)?;
        }
        volume.cut().map_err(text)?;
        // One that lives on with a dead disk must find out and stop.
        server.ended_within(ENDS).map_err(text)
    })?;
    if alive && !ended.is_some_and(is_abort) {
        rig.record.findings.other.push(format!("a dead disk: it must abort, it was {ended:?}"));
    }
    rig.gone()?;
    volume.remount().map_err(text)?;
    let again = if rng.random_bool(0.3) { rng.random_range(1..=3) } else { 0 };
    for _ in 0..again {
        rig.kill_early(rng)?;
        volume.cut().map_err(text)?;
        volume.remount().map_err(text)?;
    }
    let how = if alive { "with the server alive" } else { "after kill -9" };
    Ok(format!("{how}, after {after:.0?}, and {again} times in the recovery"))
}
