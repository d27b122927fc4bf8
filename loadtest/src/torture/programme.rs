//! The cycles of a torture, in their order.
//!
//! Owns: how many there are of each kind, and the directories that they are done to. Never compares anything: the rigs do.

use std::fs;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;

use super::draw::Style;
use super::fault::{self, Fault};
use super::rig::{Rig, dice, text};
use super::storage::{self, FULL_MIB, Met};
use super::totals::Totals;
use super::volume::Volume;
use super::{Plant, Settings};

/// Clients of each server.
const CLIENTS: u16 = 32;
/// Each so many cycles a second process is started on the directory.
const SECOND_PROCESS_EVERY: usize = 10;
/// The size of the disk that loses its power.
const POWER_MIB: u32 = 512;
/// A cycle number that no cycle has: for dice beside the cycles.
const BESIDE: u64 = 99_999;

/// The directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Main = 0,
    Power = 1,
    /// The first of those that fill; each has one of its own.
    Full = 2,
}

/// How many cycles there are of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) kills: u32,
    pub(crate) eio: u32,
    pub(crate) enospc: u32,
    pub(crate) stops: u32,
    pub(crate) power: u32,
    pub(crate) full: u32,
}

impl Counts {
    /// In proportion to the kills, but at least one of each.
    pub(crate) fn new(kills: u32) -> Self {
        let part = |of: u32| (kills / of).max(1);
        Self { kills, eio: part(4), enospc: part(20), stops: part(4), power: part(10), full: part(20) }
    }

    /// Nothing but power cuts.
    fn power_alone(self) -> Self {
        Self { kills: 0, eio: 0, enospc: 0, stops: 0, full: 0, ..self }
    }

    fn all(self) -> u32 {
        let Self { kills, eio, enospc, stops, power, full } = self;
        kills + eio + enospc + stops + power + full
    }

    /// The faults of the main directory, one a cycle.
    fn faults(self, rng: &mut SmallRng) -> Vec<Fault> {
        let Self { kills, eio, enospc, stops, power: _, full: _ } = self;
        let kinds = [(Fault::Kill, kills), (Fault::Eio, eio), (Fault::Enospc, enospc), (Fault::Stop, stops)];
        let each = |(fault, count): (Fault, u32)| (0..count).map(move |_| fault);
        let mut faults: Vec<Fault> = kinds.into_iter().flat_map(each).collect();
        faults.shuffle(rng);
        faults
    }
}

/// The programme on its way.
pub(crate) struct Programme<'a> {
    settings: &'a Settings,
    counts: Counts,
    cycle: u32,
    started: Instant,
    pub(crate) totals: Totals,
}

impl<'a> Programme<'a> {
    /// Nothing done yet.
    pub(crate) fn new(settings: &'a Settings) -> Self {
        let counts = Counts::new(settings.cycles);
        let counts = if settings.plant.is_some() { counts.power_alone() } else { counts };
        Self { settings, counts, cycle: 0, started: Instant::now(), totals: Totals::default() }
    }

    /// All cycles, until something is found.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        self.main()?;
        self.power()?;
        self.full()
    }

    /// Since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn rig(&self, place: Place, number: u32, style: Style) -> Result<Rig, String> {
        let folder = self.settings.folder.join(match place {
            Place::Main => "main".to_owned(),
            Place::Power => "power".to_owned(),
            Place::Full => format!("full-{number}"),
        });
        let data = folder.join("disk").join("data");
        let seed = self.settings.seed.wrapping_add(u64::from(place as u32 + number));
        Rig::new(&self.settings.binary, &folder, &data, style, seed)
    }

    fn dice(&self, place: Place, cycle: u64) -> SmallRng {
        dice(self.settings.seed, place as u64, cycle)
    }

    /// Kills, I/O errors and stops, in random order, on one directory that grows.
    fn main(&mut self) -> Result<(), String> {
        let faults = self.counts.faults(&mut self.dice(Place::Main, BESIDE));
        if faults.is_empty() {
            return Ok(());
        }
        let mut rig = self.rig(Place::Main, 0, Style { clients: CLIENTS, wallet: true, bulky: false })?;
        let result = self.faults(&mut rig, &faults);
        self.totals.add(&mut rig);
        result
    }

    fn faults(&mut self, rig: &mut Rig, faults: &[Fault]) -> Result<(), String> {
        for (cycle, fault) in faults.iter().enumerate() {
            let mut rng = self.dice(Place::Main, cycle as u64);
            rig.up(&mut rng)?;
            if cycle % SECOND_PROCESS_EVERY == 0 {
                fault::second_process(rig)?;
            }
            let what = fault::inflict(rig, *fault, &mut rng)?;
            *self.totals.cycles(*fault) += 1;
            self.tell(fault.label(), &what, rig);
            if !rig.record.findings.is_empty() {
                break;
            }
        }
        rig.finish(&mut self.dice(Place::Main, BESIDE - 1))
    }

    /// Power cuts, on an ext4 of its own.
    fn power(&mut self) -> Result<(), String> {
        let folder = self.settings.folder.join("power");
        fs::create_dir_all(&folder).map_err(text)?;
        let volume = Volume::ext4(&folder.join("disk"), &folder.join("image"), POWER_MIB).map_err(text)?;
        let Some(volume) = volume else {
            self.skip(
                self.counts.power,
                "power cuts",
                "an ext4 on a loop device can't be mounted or shut down here",
            );
            return Ok(());
        };
        let mut rig = self.rig(Place::Power, 0, Style { clients: CLIENTS, wallet: true, bulky: false })?;
        let result = self.cuts(&mut rig, &volume);
        self.totals.add(&mut rig);
        drop(rig);
        drop(volume);
        result
    }

    fn cuts(&mut self, rig: &mut Rig, volume: &Volume) -> Result<(), String> {
        if self.settings.plant == Some(Plant::LyingDisk) {
            rig.drain()?;
            rig.tracer = LYING_DISK.map(str::to_owned).to_vec();
        }
        for cycle in 0..self.counts.power {
            let mut rng = self.dice(Place::Power, u64::from(cycle));
            rig.up(&mut rng)?;
            let what = storage::power(rig, volume, &mut rng)?;
            self.totals.power += 1;
            self.tell("power", &what, rig);
            if !rig.record.findings.is_empty() {
                break;
            }
        }
        rig.finish(&mut self.dice(Place::Power, BESIDE))
    }

    /// Disks that fill, a new one each time.
    fn full(&mut self) -> Result<(), String> {
        for number in 0..self.counts.full {
            let disk = self.settings.folder.join(format!("full-{number}")).join("disk");
            let Some(volume) = Volume::tmpfs(&disk, FULL_MIB).map_err(text)? else {
                self.skip(self.counts.full - number, "full disks", "a tmpfs can't be mounted here");
                return Ok(());
            };
            let style = Style { clients: CLIENTS, wallet: false, bulky: true };
            let mut rig = self.rig(Place::Full, number, style)?;
            let result = storage::full(&mut rig, &volume, &mut self.dice(Place::Full, u64::from(number)));
            if result.is_err() || !rig.record.findings.is_empty() {
                rig.gone()?;
                volume.keep(&rig.folder.join("kept")).map_err(text)?;
            }
            self.totals.add(&mut rig);
            let (met, what) = result?;
            self.totals.full += 1;
            self.totals.full_met += u64::from(met == Met::Aborted);
            self.tell("full", &what, &rig);
            drop(rig);
            drop(volume);
            if !self.totals.findings.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn skip(&mut self, count: u32, what: &str, why: &str) {
        self.totals.not_done += u64::from(count);
        println!("NOT DONE: {count} cycles of {what}: {why}");
    }

    fn tell(&mut self, label: &str, what: &str, rig: &Rig) {
        self.cycle += 1;
        println!(
            "{:>4}/{} {:>4.0} s  {label:<8} {what}; {} acknowledged, {} settled",
            self.cycle,
            self.counts.all(),
            self.elapsed().as_secs_f64(),
            rig.record.acknowledged,
            rig.record.settled,
        );
    }
}

/// strace, so that each sync of the server says that it is done, and is not.
const LYING_DISK: [&str; 11] = [
    "strace",
    "-D",
    "-f",
    "--seccomp-bpf",
    "-qq",
    "-o",
    "/dev/null",
    "-e",
    "trace=fsync,fdatasync,sync_file_range",
    "-e",
    "inject=fsync,fdatasync,sync_file_range:retval=0",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kills: u32, expected: [u32; 6]) {
        let Counts { kills, eio, enospc, stops, power, full } = Counts::new(kills);
        assert_eq!([kills, eio, enospc, stops, power, full], expected);
    }

    #[test]
    fn everything_is_in_proportion_to_the_kills() {
        check(200, [200, 50, 10, 50, 20, 10]);
        check(20, [20, 5, 1, 5, 2, 1]);
        check(1, [1, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn a_seed_has_its_own_order() {
        let order = |seed| Counts::new(20).faults(&mut dice(seed, 0, BESIDE));
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        assert_eq!(order(1).len(), 31);
    }
}
