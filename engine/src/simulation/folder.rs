//! The index's folder between two processes of a run.
//!
//! Owns what may happen to it while nobody has it open. Never touches what is in a file.

use std::{fs, path::Path, sync::Arc};

use super::random::Random;
use crate::index::memory;

/// The index may be gone, or as it was some crashes ago; nothing is done where the journal `needs` the index that is
/// there: instead of none, or of an older one. Tells what was done.
pub(super) fn disturb_index(
    data: &Path,
    in_memory: bool,
    random: &mut Random,
    needs: impl Fn(Option<&Path>) -> bool,
) -> Option<&'static str> {
    let (index, older) = (data.join("index"), data.join("older"));
    let is_there = |folder: &Path| if in_memory { memory::disk(folder).is_some() } else { folder.exists() };
    match random.below(24) {
        0 if needs(None) => Some("index missing refused"),
        0 => {
            remove(&index, in_memory);
            Some("index deleted")
        }
        1 if is_there(&older) && needs(Some(&older)) => Some("index too old refused"),
        1 if is_there(&older) => {
            remove(&index, in_memory);
            match memory::take(&older) {
                Some(disk) => memory::place(&index, disk),
                None => fs::rename(&older, &index).expect("a folder is renamed"),
            }
            Some("index older")
        }
        2 | 3 if is_there(&index) => {
            remove(&older, in_memory);
            copy(&index, &older);
            None
        }
        _ => None,
    }
}

/// What is in a folder: with it a refusal tells a file that is missing from a folder that somebody else clears away.
pub(super) fn file_names(folder: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.map_or_else(|error| error.to_string(), name)).collect()
}

fn copy(from: &Path, to: &Path) {
    if let Some(disk) = memory::disk(from) {
        return memory::place(to, Arc::new(disk.copy()));
    }
    fs::create_dir_all(to).expect("a folder");
    for file in fs::read_dir(from).expect("the index's files") {
        let file = file.expect("a file").path();
        let name = file.file_name().expect("a file has a name").to_owned();
        fs::copy(&file, to.join(name)).expect("a file is copied");
    }
}

fn remove(folder: &Path, in_memory: bool) {
    if in_memory {
        drop(memory::take(folder));
    } else if folder.exists() {
        fs::remove_dir_all(folder).expect("a folder is removed");
    }
}
