//! What documents and cells look like on disk: a change of a form shows in the snapshots.
//!
//! Each module lists its own, as their types are nobody else's.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::*;
use crate::wallet::{
    customer, day, device, merchant, password, payment, promotion, recharge, refund, small_payment,
    statement, suspense, transfer, wealth, wealth_day, wealth_settings,
};

/// A document or a cell as it is on disk.
#[derive(Clone)]
pub(in crate::wallet) struct Form {
    /// The tag of a document, the kind of a cell.
    number: u8,
    /// The type, and where it goes.
    name: String,
    bytes: Box<[u8]>,
    /// Reads bytes as this form, and writes what was read.
    again: fn(&[u8]) -> Option<Box<[u8]>>,
}

fn name<T>() -> &'static str {
    let path = std::any::type_name::<T>();
    path.rsplit("::").next().unwrap_or(path)
}

impl Form {
    pub(in crate::wallet) fn document<D: Document>(document: &D) -> Self {
        let bytes = encode(document);
        assert_eq!(encode(&decode::<D>(&bytes)), bytes, "it is read as written");
        let name = format!("document {}: {}, lane {}", D::TAG, name::<D>(), D::LANE.as_str());
        let again = |bytes: &[u8]| read::<D>(D::TAG, bytes).map(|document| encode(&document));
        Self { number: D::TAG, name, bytes, again }
    }

    pub(in crate::wallet) fn cell<C: CellContent>(content: &C) -> Self {
        let CellKind(number) = C::KIND;
        let bytes = write(number, content);
        let again: C = read(number, &bytes).unwrap();
        assert_eq!(write(number, &again), bytes, "it is read as written");
        let again = |bytes: &[u8]| read::<C>(C::KIND.0, bytes).map(|content| write(C::KIND.0, &content));
        Self { number, name: format!("cell {number}: {}", name::<C>()), bytes, again }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())?;
        for (index, byte) in self.bytes.iter().enumerate() {
            let separator = if index % 32 == 0 { "\n" } else { " " };
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

fn all() -> Vec<Form> {
    [
        customer::forms(),
        day::forms(),
        device::forms(),
        merchant::forms(),
        password::forms(),
        payment::forms(),
        promotion::forms(),
        recharge::forms(),
        refund::forms(),
        small_payment::forms(),
        statement::forms(),
        suspense::forms(),
        transfer::forms(),
        wealth::forms(),
        wealth_day::forms(),
        wealth_settings::forms(),
    ]
    .concat()
}

#[test]
fn snapshots_of_documents_and_cells() {
    for kind in ["document", "cell"] {
        let forms = all().into_iter().filter(|form| form.name.starts_with(kind));
        let mut by_number: BTreeMap<u8, Vec<Form>> = BTreeMap::new();
        forms.for_each(|form| by_number.entry(form.number).or_default().push(form));
        let mut text = String::new();
        for forms in by_number.values() {
            let [first, ..] = forms.as_slice() else { continue };
            assert!(
                forms.iter().all(|form| form.name == first.name),
                "a number is of one form: {}",
                first.name
            );
            writeln!(text, "{}", first.name).unwrap();
            forms.iter().for_each(|form| writeln!(text, "{form}").unwrap());
            writeln!(text).unwrap();
        }
        let snapshot = || insta::assert_snapshot!(format!("wallet_{kind}s"), text.trim_end());
        insta::with_settings!({ snapshot_path => "../../../tests/snapshots", prepend_module_to_snapshot => false }, {
            snapshot();
        });
    }
}

/// A form that no module lists would change unseen.
#[test]
fn each_form_is_listed() {
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wallet");
    let mut written = 0;
    let mut folders = vec![sources];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "fixture.rs") {
                let text = std::fs::read_to_string(path).unwrap();
                let head = |line: &str| {
                    line.starts_with("impl Document for ") || line.starts_with("impl CellContent for ")
                };
                written += text.lines().filter(|line| head(line)).count();
            }
        }
    }
    let mut names: Vec<String> = all().into_iter().map(|form| form.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), written, "{names:?}");
}

/// Bytes that are nearly a form: read or not, never more than was there, and what was read has one form.
///
/// `YUE_FUZZ_SECONDS=n` goes on for so long, `YUE_FUZZ_SEED=n` replays.
#[test]
fn hostile_bytes_are_read_or_refused() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("YUE_FUZZ_SEED").unwrap_or_else(rand::random);
    let replay = "cargo test -p yue-engine --lib hostile_bytes_are_read_or_refused";
    println!("seed {seed}; again with: YUE_FUZZ_SEED={seed} {replay}");
    let mut random = StdRng::seed_from_u64(seed);
    let (forms, started) = (all(), Instant::now());
    let long = number("YUE_FUZZ_SECONDS").map(Duration::from_secs);
    let (mut tried, mut taken) = (0_u64, 0_u64);
    while tried < 100_000 || long.is_some_and(|long| started.elapsed() < long) {
        let form = forms.choose(&mut random).unwrap();
        let mut bytes = form.bytes.to_vec();
        for _ in 0..random.random_range(1..=4) {
            mutate(&mut bytes, &forms, &mut random);
        }
        tried += 1;
        let Some(again) = (form.again)(&bytes) else { continue };
        taken += 1;
        // A number may be written longer than it must be, and a bool has one form: reading again changes nothing more.
        assert!(again.len() <= bytes.len(), "{}: {bytes:02x?} became {again:02x?}", form.name);
        assert_eq!((form.again)(&again).as_ref(), Some(&again), "{}: {bytes:02x?}", form.name);
    }
    println!("{tried} inputs, {taken} of them taken");
    assert!(taken > tried / 100 && taken < tried, "too tame, or too wild: {taken} of {tried}");
}

fn mutate(bytes: &mut Vec<u8>, forms: &[Form], random: &mut StdRng) {
    let place = random.random_range(0..=bytes.len());
    match random.random_range(0..6) {
        0 if place < bytes.len() => bytes[place] ^= 1 << random.random_range(0..8),
        1 if place < bytes.len() => bytes[place] = *[0, 1, 0x7f, 0x80, 0xff].choose(random).unwrap(),
        2 if place < bytes.len() => drop(bytes.remove(place)),
        3 => bytes.truncate(place),
        // A length or a number that has no end.
        4 => drop(bytes.splice(place..place, [0xff; 9].into_iter().take(random.random_range(1..=9)))),
        _ => {
            let other = &forms.choose(random).unwrap().bytes;
            let from = random.random_range(0..other.len());
            bytes.truncate(place);
            bytes.extend_from_slice(&other[from..]);
        }
    }
}
