//! The index's folder between two processes of a run.
//!
//! Owns what may happen to it while nobody has it open. Never touches what is in a file.

use std::{fs, path::Path};

use super::random::Random;

/// The index may be gone, or as it was some crashes ago; nothing is done where the journal `needs` the index that is
/// there: instead of none, or of an older one. Tells what was done.
pub(super) fn disturb_index(
    data: &Path,
    random: &mut Random,
    needs: impl Fn(Option<&Path>) -> bool,
) -> Option<&'static str> {
    let (index, older) = (data.join("index"), data.join("older"));
    match random.below(24) {
        0 if needs(None) => Some("index missing refused"),
        0 => {
            remove(&index);
            Some("index deleted")
        }
        1 if older.exists() && needs(Some(&older)) => Some("index too old refused"),
        1 if older.exists() => {
            remove(&index);
            fs::rename(&older, &index).expect("a folder is renamed");
            Some("index older")
        }
        2 | 3 if index.exists() => {
            remove(&older);
            fs::create_dir_all(&older).expect("a folder");
            for file in fs::read_dir(&index).expect("the index's files") {
                let file = file.expect("a file").path();
                let name = file.file_name().expect("a file has a name").to_owned();
                fs::copy(&file, older.join(name)).expect("a file is copied");
            }
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

fn remove(folder: &Path) {
    if folder.exists() {
        fs::remove_dir_all(folder).expect("a folder is removed");
    }
}
