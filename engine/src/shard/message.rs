use std::sync::Arc;

use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::{
    completion::{Completion, Landing},
    reservation::Ticket,
};
use crate::{
    directory::{PublishedBalance, PublishedRules},
    journal::Record,
    ledger::{Delta, Facts},
    metrics::InFlight,
    model::{
        AccountChange, AccountNo, AccountOpening, AssetNo, Cell, CellKind, Command, Position, Timestamp,
    },
    view::AccountError,
};

/// A shard's number, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ShardNo(pub(crate) u16);

impl ShardNo {
    /// Who sends what no shard has decided.
    pub(crate) const NONE: Self = Self(u16::MAX);

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The shards whose accounts can refuse a command, in ascending order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShardSet(u64);

impl ShardSet {
    pub(crate) fn insert(&mut self, shard: ShardNo) {
        self.0 |= 1 << shard.0;
    }

    pub(crate) fn contains(self, shard: ShardNo) -> bool {
        self.0 & (1 << shard.0) != 0
    }

    /// The lowest shard above `shard`.
    pub(crate) fn after(self, shard: ShardNo) -> Option<ShardNo> {
        let above = self.0 & u64::MAX.checked_shl(u32::from(shard.0) + 1).unwrap_or(0);
        Self(above).first()
    }

    pub(crate) fn len(self) -> usize {
        usize::try_from(self.0.count_ones()).unwrap_or(usize::MAX)
    }

    /// The shards in ascending order.
    pub(crate) fn iter(self) -> impl Iterator<Item = ShardNo> {
        std::iter::successors(self.first(), move |&shard| self.after(shard))
    }

    pub(crate) fn first(self) -> Option<ShardNo> {
        (self.0 != 0).then(|| ShardNo(u16::try_from(self.0.trailing_zeros()).unwrap_or(u16::MAX)))
    }
}

/// A command on its way to the shards that guard it.
pub(crate) struct Envelope {
    pub(crate) command: Command,
    pub(crate) guards: ShardSet,
    /// The accounts with a leg that they can refuse, or with a hold or reversed total of theirs: what is reserved.
    pub(crate) guarded: SmallVec<[AccountNo; 2]>,
    /// Until when it may be decided; from then on nobody wants it.
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) completion: Completion,
    /// What lower shards have contributed; they hold their accounts until the decision.
    pub(crate) reserved: Option<Box<Reserved>>,
}

/// Facts and tickets of the shards that are reserved already.
#[derive(Default)]
pub(crate) struct Reserved {
    pub(crate) facts: Facts,
    pub(crate) tickets: SmallVec<[(ShardNo, Ticket); 2]>,
}

/// What arrives in a shard.
pub(crate) enum Input {
    /// A command of a client, or a command that lower shards have reserved.
    Command(Box<Envelope>),
    /// Several of them.
    #[expect(clippy::vec_box, reason = "an envelope is large and goes on alone")]
    Commands(Vec<Box<Envelope>>),
    /// Open an account whose address is claimed.
    Open { opening: Arc<AccountOpening>, asset: AssetNo, scale: u8, reply: AccountReply },
    /// Change an account that nothing in flight names.
    Change { no: AccountNo, change: AccountChange, reply: AccountReply },
    /// A higher shard decided on a reservation of this one: the record if it was posted.
    Decided { ticket: Ticket, record: Option<Arc<Record>> },
    /// Tell what these accounts show at one moment, with the first one's cells of these kinds.
    Look { accounts: Vec<AccountNo>, kinds: &'static [CellKind], reply: oneshot::Sender<Look> },
    /// The journal has synced a group.
    Synced(Synced),
    /// The index has sealed everything up to here.
    Sealed(Position),
}

/// What accounts show at one moment.
pub(crate) struct Look {
    pub(crate) accounts: Vec<(PublishedBalance, Arc<PublishedRules>)>,
    pub(crate) cells: Vec<Option<Cell>>,
}

/// Where the answer to an opening or a change goes. It is in flight until then, whether or not its client still waits.
pub(crate) struct AccountReply {
    sender: oneshot::Sender<Result<AccountNo, AccountError>>,
    _in_flight: InFlight,
}

impl AccountReply {
    pub(crate) fn new(in_flight: InFlight) -> (Self, oneshot::Receiver<Result<AccountNo, AccountError>>) {
        let (sender, answer) = oneshot::channel();
        (Self { sender, _in_flight: in_flight }, answer)
    }

    pub(crate) fn send(self, answer: Result<AccountNo, AccountError>) {
        // A client that went away needs no answer.
        let _ = self.sender.send(answer);
    }
}

/// A run of records that a shard has decided, on its way to the journal.
pub(crate) struct Batch {
    pub(crate) shard: ShardNo,
    /// Framed.
    pub(crate) records: Vec<u8>,
    pub(crate) count: u32,
    /// No record was decided later.
    pub(crate) stamp: Timestamp,
    pub(crate) foreign: Vec<(ShardNo, Foreign)>,
}

/// What a record of one shard means to another one, after the sync.
pub(crate) struct Foreign {
    /// The index of the (last) record in its batch; the committer turns it into a position.
    pub(crate) index: u32,
    pub(crate) effect: ForeignEffect,
}

#[derive(Clone)]
pub(crate) enum ForeignEffect {
    /// Free legs of a batch on one account, folded.
    Legs { account: AccountNo, delta: Delta },
    /// All legs of a record have landed here once the ones before this message are applied.
    Landed(Arc<Landing>),
    /// The record of a reservation of this shard is synced.
    Reserved { ticket: Ticket, landing: Arc<Landing> },
}

/// What a group means to one shard.
pub(crate) struct Synced {
    /// The group's last position.
    pub(crate) end: Position,
    /// The shard's own batches in the group, in order: first position, its time, number of records.
    pub(crate) own: SmallVec<[(Position, Timestamp, u32); 2]>,
    /// What other shards' records mean here, in order of position.
    pub(crate) foreign: Vec<(Position, Timestamp, ForeignEffect)>,
}
