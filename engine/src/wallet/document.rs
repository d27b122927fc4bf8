//! The byte form of what verbs write into documents and cells: a tag, a version, then postcard.
//!
//! Owns the tags. Never changes a form that was written once: a new shape gets a new version beside the old one.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    fatal::fatal,
    model::{Address, Cell, CellKind, CellWrite, Lane},
};

/// What a verb writes down with its transaction.
pub(super) trait Document: Serialize + DeserializeOwned {
    /// Which verb's; never used for two.
    const TAG: u8;
    /// How urgent what it goes with is.
    const LANE: Lane = Lane::Checkout;
}

/// What an account's cell holds.
pub(super) trait CellContent: Serialize + DeserializeOwned + Default {
    /// Which cell; never used for two.
    const KIND: CellKind;
}

/// The one version there is of every form.
const VERSION: u8 = 1;

pub(super) fn encode<D: Document>(document: &D) -> Box<[u8]> {
    write(D::TAG, document)
}

/// # Panics
/// Ends the process: a record that this release wrote itself can't be read, or an id leads to another verb's record.
pub(super) fn decode<D: Document>(bytes: &[u8]) -> D {
    read(D::TAG, bytes)
        .unwrap_or_else(|| fatal(&format_args!("a wallet document of tag {} can't be read", D::TAG)))
}

/// The document, if it is of this kind.
pub(super) fn peek<D: Document>(bytes: &[u8]) -> Option<D> {
    (bytes.first() == Some(&D::TAG)).then(|| decode(bytes))
}

fn write(tag: u8, value: &impl Serialize) -> Box<[u8]> {
    let bytes = postcard::to_extend(value, vec![tag, VERSION]);
    bytes.unwrap_or_else(|error| fatal(&format_args!("a wallet document can't be written: {error}"))).into()
}

fn read<T: DeserializeOwned>(tag: u8, bytes: &[u8]) -> Option<T> {
    let rest = bytes.strip_prefix(&[tag, VERSION])?;
    let (value, rest) = postcard::take_from_bytes(rest).ok()?;
    rest.is_empty().then_some(value)
}

/// A cell as it was read, to be written again.
#[derive(Clone, Debug)]
pub(super) struct Held<C> {
    account: Address,
    revision: u64,
    pub(super) content: C,
}

impl<C: CellContent> Held<C> {
    /// Reads a cell; one that was never written has the default content.
    pub(super) fn read(account: Address, cell: Option<&Cell>) -> Self {
        let content = cell.map(|cell| {
            read(C::KIND.0, &cell.value)
                .unwrap_or_else(|| fatal(&format_args!("cell {} of {account} can't be read", C::KIND.0)))
        });
        let revision = cell.map_or(0, |cell| cell.revision);
        Self { account, revision, content: content.unwrap_or_default() }
    }

    /// Whether it was ever written.
    pub(super) fn exists(&self) -> bool {
        self.revision > 0
    }

    /// How often it was written.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// The write that makes this the cell's content, if nobody else has written it since it was read.
    pub(super) fn write(&self) -> CellWrite<Address> {
        CellWrite {
            account: self.account.clone(),
            kind: C::KIND,
            revision: self.revision.saturating_add(1),
            value: write(C::KIND.0, &self.content),
        }
    }
}

#[cfg(test)]
mod forms;
#[cfg(test)]
pub(super) use forms::Form;
