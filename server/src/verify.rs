//! `yue verify`: the offline check of a data directory.
//!
//! Owns the report for people. Never checks anything itself: that is the engine's audit.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use yue_engine::{
    audit::{self, AuditError, Progress, Report, Trimmed},
    index::IndexError,
};

use crate::{
    cli::VerifyArguments,
    heads::{HeadsError, Kept, read_kept},
    hexadecimal::to_hex,
};

/// Between two lines of progress, so that whoever waits sees that it goes on.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Why a directory did not pass.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The check could not be carried to its end.
    #[error("NOT SOUND: {0}")]
    Audit(AuditError),
    /// It could not, for what lies in `index/`: of the journal nothing is known yet.
    #[error(
        "NOT SOUND: {0}\nremedy     `yue reindex` builds the index anew from a sound journal that was never trimmed"
    )]
    Index(IndexError),
    /// Nothing was checked yet: the signed heads are not those of the key.
    #[error("NOT VERIFIED: {0}")]
    Heads(#[from] HeadsError),
    /// It was, and found something.
    #[error("NOT SOUND: {0} findings")]
    Findings(usize),
    /// It was, and found something in the index alone.
    #[error(
        "NOT SOUND: {0} findings, all of them in the index\nremedy     `yue reindex` builds it anew from the journal, which is sound"
    )]
    IndexFindings(usize),
    /// Likewise, and the journal does not have all that the index tells.
    #[error(
        "NOT SOUND: {0} findings, all of them in the index\nremedy     the journal was trimmed: restore the folder `index` from a copy"
    )]
    TrimmedIndexFindings(usize),
}

impl From<AuditError> for VerifyError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Index(
                error @ (IndexError::Storage(_) | IndexError::Damaged(_) | IndexError::Gap { .. }),
            ) => Self::Index(error),
            AuditError::Index(IndexError::Version { .. } | IndexError::Group { .. })
            | AuditError::Journal(_)
            | AuditError::Format(_)
            | AuditError::Io(_)
            | AuditError::InUse(_) => Self::Audit(error),
        }
    }
}

/// Verifies a directory, with progress on standard error and the report on standard output.
///
/// # Errors
/// A directory that is not sound, or can't be read.
pub fn verify(arguments: &VerifyArguments) -> Result<(), VerifyError> {
    let started = Instant::now();
    let mut told = started;
    let kept = match (&arguments.heads_log, arguments.heads_public_key) {
        (Some(log), Some(key)) => Some(read_kept(log, key)?),
        (None, _) | (_, None) => None,
    };
    let heads = kept.as_ref().map_or(&[][..], |kept| &kept.heads);
    let report = audit::verify_against(&arguments.data, heads, &mut |progress| {
        if told.elapsed() < PROGRESS_INTERVAL {
            return;
        }
        told = Instant::now();
        match progress {
            Progress::Journal { records, of } => eprintln!("journal: {records} of {of} records walked"),
            Progress::Ids { ids, of } => eprintln!("index: {ids} of {of} ids compared"),
            Progress::Index { records, of } => {
                eprintln!("index: the ids differ; {records} of {of} records looked up");
            }
        }
    })?;
    let mut text = describe(&report, kept.as_ref());
    text.push_str(&format!("took       {:.1} s\n", started.elapsed().as_secs_f64()));
    // A closed pipe changes nothing about the verdict.
    let _ = std::io::stdout().write_all(text.as_bytes());
    if report.is_sound() {
        println!("verdict    SOUND");
        Ok(())
    } else {
        let findings = report.findings.len();
        Err(match (report.blames_index_alone(), report.trimmed) {
            (false, _) => VerifyError::Findings(findings),
            (true, None) => VerifyError::IndexFindings(findings),
            (true, Some(_)) => VerifyError::TrimmedIndexFindings(findings),
        })
    }
}

fn describe(report: &Report, kept: Option<&Kept>) -> String {
    let head = to_hex(&report.head.0);
    let begin =
        report.trimmed.map_or(String::new(), |it| format!(" (trimmed: it begins after {})", it.begins_after));
    let mut text = format!(
        "journal    up to record {}{begin} in {} groups, chained, gap-free; the witness is at {}\n\
         head       {head}\n\
         decided    {} posted, {} refused\n\
         accounts   {}, {} live holds; no floor or ceiling broken\n",
        report.position,
        report.groups,
        report.witnessed,
        report.posted,
        report.refused,
        report.accounts,
        report.holds,
    );
    if let Some(Trimmed { begins_after, as_of, compared }) = report.trimmed {
        text.push_str(&format!(
            "trimmed    not re-checked: whether the records up to {begins_after} are those that were decided; only the \
             index has them\n\
             trimmed    the balances begin with the snapshot of {as_of}; "
        ));
        text.push_str(&if compared > 0 {
            format!("the index's records give the same {compared} accounts, its ids, holds and history\n")
        } else {
            "nothing tells how they came about\n".to_owned()
        });
    }
    if report.snapshots > 0 {
        text.push_str(&format!("snapshots  {} compared with what was rebuilt\n", report.snapshots));
    }
    for (asset, turnover) in &report.turnover {
        text.push_str(&format!("{asset:<10} debits = credits = {turnover} minor units\n"));
    }
    if report.indexed.0 == 0 {
        text.push_str("index      none yet: a start rebuilds it from the journal\n");
    } else {
        text.push_str(&format!(
            "index      compared up to {}, with {} rows of history\n",
            report.indexed, report.history_rows
        ));
    }
    if let Some(kept) = kept {
        text.push_str(&describe_heads(report, kept));
    }
    for finding in &report.findings {
        text.push_str(&format!("finding    {finding}\n"));
    }
    text
}

fn describe_heads(report: &Report, kept: &Kept) -> String {
    let Kept { heads, newest, torn } = kept;
    let mut text = format!(
        "heads      {} signed, the newest of position {} at {}; the journal has {} of them\n",
        heads.len(),
        newest.head.position,
        newest.at,
        report.heads.held
    );
    if report.heads.trimmed > 0 {
        text.push_str(&format!(
            "heads      {} lie before the journal's beginning: nothing is left to compare them with\n",
            report.heads.trimmed
        ));
    }
    if *torn > 0 {
        text.push_str(&format!("heads      the log's last line is torn ({torn} bytes): it was skipped\n"));
    }
    text
}
