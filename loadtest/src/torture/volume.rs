//! File systems of their own: one that fills, and one whose power is cut.
//!
//! Owns: the mounts, by `mount`, `mkfs.ext4` and `perl` (for one ioctl). Needs root; where mounting is not permitted there is no
//! volume. Ends with the value: no mount is left behind.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`: the file system ends at once, and what was not synced is lost,
/// as the file system tests of the kernel do it.
const POWER_CUT: &str = r#"open(my $f, "<", $ARGV[0]) or die "$!\n"; my $how = pack("L", 2); ioctl($f, 0x8004587d, $how) or die "$!\n";"#;
/// How long a file system may stay busy after its last process has ended.
const BUSY: Duration = Duration::from_secs(10);
/// Written at once, while a disk is filled.
const BALLAST_BYTES: usize = 1 << 20;

/// A mounted file system.
pub(crate) struct Volume {
    at: PathBuf,
    /// What it is mounted from.
    image: Option<PathBuf>,
}

impl Volume {
    /// In memory, with a size. `None` where mounting is not permitted.
    pub(crate) fn tmpfs(at: &Path, mib: u32) -> io::Result<Option<Self>> {
        fs::create_dir_all(at)?;
        let mounted = quietly(Command::new("mount").args(["-t", "tmpfs", "-o", &size(mib), "tmpfs"]).arg(at));
        Ok(mounted.then(|| Self { at: at.to_owned(), image: None }))
    }

    /// An ext4 in a file. `None` where that is not permitted, or its power can't be cut.
    pub(crate) fn ext4(at: &Path, image: &Path, mib: u32) -> io::Result<Option<Self>> {
        fs::create_dir_all(at)?;
        File::create_new(image)?.set_len(u64::from(mib) << 20)?;
        let volume = Self { at: at.to_owned(), image: Some(image.to_owned()) };
        let mounted = quietly(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image)) && volume.mount();
        // Tried once at the start: a torture that can't cut says so and does not fail.
        Ok((mounted && volume.cut().is_ok() && volume.remount().is_ok()).then_some(volume))
    }

    /// Another size, of one in memory.
    pub(crate) fn resize(&self, mib: u32) -> io::Result<()> {
        let options = format!("remount,{}", size(mib));
        done(quietly(Command::new("mount").args(["-o", &options]).arg(&self.at)), "mount -o remount")
    }

    /// Takes all the room that is left; the file that is given holds it.
    pub(crate) fn fill(&self) -> io::Result<PathBuf> {
        let path = self.at.join("ballast");
        let mut file = File::create(&path)?;
        let mut part = vec![0; BALLAST_BYTES];
        while !part.is_empty() {
            match file.write(&part) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => part.truncate(part.len() / 2),
                Err(error) => return Err(error),
            }
        }
        Ok(path)
    }

    /// The power is gone: what is not synced is lost, and nothing can be written any more.
    pub(crate) fn cut(&self) -> io::Result<()> {
        done(quietly(Command::new("perl").args(["-e", POWER_CUT]).arg(&self.at)), "the ioctl of a power cut")
    }

    /// The power is back. No process may use the file system.
    pub(crate) fn remount(&self) -> io::Result<()> {
        let until = Instant::now() + BUSY;
        while !quietly(Command::new("umount").arg(&self.at)) {
            done(Instant::now() < until, "umount")?;
            thread::sleep(Duration::from_millis(20));
        }
        done(self.mount(), "mount")
    }

    /// Copies what would be gone with the mount.
    pub(crate) fn keep(&self, to: &Path) -> io::Result<()> {
        done(quietly(Command::new("cp").arg("-a").arg(&self.at).arg(to)), "cp -a")
    }

    fn mount(&self) -> bool {
        let image = self.image.as_deref().unwrap_or(Path::new(""));
        quietly(Command::new("mount").args(["-o", "loop"]).arg(image).arg(&self.at))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: a server that is left behind is killed later.
        quietly(Command::new("umount").arg("-l").arg(&self.at));
    }
}

fn size(mib: u32) -> String {
    format!("size={mib}m")
}

fn quietly(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn done(done: bool, what: &str) -> io::Result<()> {
    if done { Ok(()) } else { Err(io::Error::other(format!("{what} failed"))) }
}
