//! How a payment is made up: which part of which item comes from where. Pure.
//!
//! Invariants: an item's pieces sum to its amount; the promotion's pieces sum to the discount; at most one item is paid
//! from balance and by the channel both, so that a payment of 24 items has at most 49 pieces.

use serde::{Deserialize, Serialize};

use crate::model::Amount;

/// Where a piece comes from, in the order in which the pieces stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::wallet) enum Source {
    /// The promotion's budget.
    Promotion,
    /// The payer's balance.
    Balance,
    /// The channel.
    Channel,
}

/// A part of an item from one source: one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::wallet) struct Piece {
    pub(in crate::wallet) item: u8,
    pub(in crate::wallet) source: Source,
    pub(in crate::wallet) amount: Amount,
}

/// All that a payment moves, in the order of its operations: redemption, slot, pieces, fee, points.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::wallet) struct Plan {
    /// Of the payer's wealth shares to the payer's balance; not with a channel.
    pub(in crate::wallet) redeemed: Amount,
    /// Whether the payer's cap of the promotion counts it.
    pub(in crate::wallet) slot: bool,
    /// By source, then item; none is zero.
    pub(in crate::wallet) pieces: Vec<Piece>,
    /// From the merchant to the platform.
    pub(in crate::wallet) fee: Amount,
    /// Carbon points to the payer.
    pub(in crate::wallet) points: u64,
}

/// What an operation of a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Redemption,
    Slot,
    Piece(Source),
    /// Fee, points, or the ticket of a payment that holds nothing else.
    Other,
}

impl Plan {
    /// The sum of the pieces of a source.
    pub(in crate::wallet) fn sum(&self, source: Source) -> Amount {
        self.pieces.iter().filter(|piece| piece.source == source).map(|piece| piece.amount).sum()
    }

    /// What the payment's items cost together.
    pub(in crate::wallet) fn total(&self) -> Amount {
        self.pieces.iter().map(|piece| piece.amount).sum()
    }

    /// Operations before the first piece.
    fn lead(&self) -> usize {
        usize::from(self.redeemed > Amount::ZERO) + usize::from(self.slot)
    }

    /// The operation that pays a piece.
    pub(in crate::wallet) fn operation_of(&self, piece: usize) -> Option<u8> {
        u8::try_from(self.lead() + piece).ok()
    }

    /// The operation that takes the fee, if there is one.
    pub(in crate::wallet) fn fee_operation(&self) -> Option<u8> {
        self.operation_of(self.pieces.len()).filter(|_| self.fee > Amount::ZERO)
    }

    /// The operation that credits the points, if there are any.
    pub(in crate::wallet) fn points_operation(&self) -> Option<u8> {
        let fees = usize::from(self.fee > Amount::ZERO);
        self.operation_of(self.pieces.len() + fees).filter(|_| self.points > 0)
    }

    /// What an operation is.
    pub(super) fn role(&self, operation: u8) -> Role {
        let operation = usize::from(operation);
        let redemptions = usize::from(self.redeemed > Amount::ZERO);
        if operation < redemptions {
            Role::Redemption
        } else if operation < self.lead() {
            Role::Slot
        } else {
            let piece = self.pieces.get(operation - self.lead());
            piece.map_or(Role::Other, |piece| Role::Piece(piece.source))
        }
    }
}

/// Spreads an amount over others in proportion, to the unit: shares are cut, and what is left goes to the greatest
/// remainders, the first of equal ones. `whole` may not exceed the sum of `parts`; no share exceeds its part then.
pub(super) fn spread(whole: Amount, parts: &[Amount]) -> Vec<Amount> {
    let total: u128 = parts.iter().map(|part| u128::from(part.units())).sum();
    if total == 0 {
        return vec![Amount::ZERO; parts.len()];
    }
    let product = |part: &Amount| u128::from(whole.units()) * u128::from(part.units());
    let cut = |part: &Amount| u64::try_from(product(part) / total).unwrap_or(u64::MAX);
    let mut shares: Vec<u64> = parts.iter().map(cut).collect();
    let given: u128 = shares.iter().map(|&share| u128::from(share)).sum();
    let mut left = u128::from(whole.units()).saturating_sub(given);
    let mut remainders: Vec<(usize, u128)> =
        parts.iter().map(|part| product(part) % total).enumerate().filter(|(_, rest)| *rest > 0).collect();
    remainders.sort_by_key(|&(index, rest)| (std::cmp::Reverse(rest), index));
    for (index, _) in remainders {
        if left == 0 {
            break;
        }
        if let Some(share) = shares.get_mut(index) {
            *share += 1;
            left -= 1;
        }
    }
    shares.into_iter().map(Amount).collect()
}

/// The pieces of items with these amounts: the promotion's shares, then `own` money in the items' order, then the
/// channel. `discounts` has a share an item, none above its item.
pub(super) fn pieces(items: &[Amount], discounts: &[Amount], own: Amount) -> Vec<Piece> {
    let mut own = own;
    let mut pieces = Vec::with_capacity(items.len() * 2);
    for (index, (item, &amount)) in (0_u8..).zip(items).enumerate() {
        let discount = discounts.get(index).copied().unwrap_or_default().min(amount);
        let rest = amount.checked_sub(discount).unwrap_or_default();
        let balance = rest.min(own);
        own = own.checked_sub(balance).unwrap_or_default();
        let channel = rest.checked_sub(balance).unwrap_or_default();
        let sources = [(Source::Promotion, discount), (Source::Balance, balance), (Source::Channel, channel)];
        let some = sources.into_iter().filter(|(_, amount)| *amount > Amount::ZERO);
        pieces.extend(some.map(|(source, amount)| Piece { item, source, amount }));
    }
    pieces.sort_by_key(|piece| (piece.source, piece.item));
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amounts(units: &[u64]) -> Vec<Amount> {
        units.iter().copied().map(Amount).collect()
    }

    #[test]
    fn the_greatest_remainders_get_what_is_left() {
        let check = |whole: u64, parts: &[u64], shares: &[u64]| {
            assert_eq!(spread(Amount(whole), &amounts(parts)), amounts(shares), "{whole} over {parts:?}");
        };
        check(10, &[10, 10, 10], &[4, 3, 3]);
        check(10, &[1, 1, 97], &[0, 0, 10]);
        check(100, &[1, 2], &[33, 67]);
        check(3, &[1, 1, 1], &[1, 1, 1]);
        check(1, &[0, 7], &[0, 1]);
        check(0, &[5, 5], &[0, 0]);
        check(7, &[], &[]);
        check(u64::MAX, &[u64::MAX, 0], &[u64::MAX, 0]);
    }

    #[test]
    fn own_money_fills_the_items_in_order() {
        let pieces = pieces(&amounts(&[100, 50, 30]), &amounts(&[10, 5, 0]), Amount(100));
        let piece = |item, source, amount| Piece { item, source, amount: Amount(amount) };
        let expected = [
            piece(0, Source::Promotion, 10),
            piece(1, Source::Promotion, 5),
            piece(0, Source::Balance, 90),
            piece(1, Source::Balance, 10),
            piece(1, Source::Channel, 35),
            piece(2, Source::Channel, 30),
        ];
        assert_eq!(pieces, expected);
        let plan = Plan { pieces, slot: true, fee: Amount(1), points: 1, ..Plan::default() };
        assert_eq!((plan.operation_of(0), plan.operation_of(5)), (Some(1), Some(6)));
        assert_eq!((plan.fee_operation(), plan.points_operation()), (Some(7), Some(8)));
        let roles = [0, 1, 3, 6, 7].map(|operation| plan.role(operation));
        let [promotion, balance, channel] =
            [Source::Promotion, Source::Balance, Source::Channel].map(Role::Piece);
        assert_eq!(roles, [Role::Slot, promotion, balance, channel, Role::Other]);
    }

    proptest! {
        #[test]
        fn every_fen_has_its_piece(
            items in prop::collection::vec(1_u64..=u64::MAX / 24, 1..=24),
            eligible in prop::collection::vec(any::<bool>(), 24),
            discount in any::<u64>(),
            own in any::<u64>(),
        ) {
            let items = amounts(&items);
            let parts: Vec<Amount> = items
                .iter()
                .zip(&eligible)
                .map(|(&item, &eligible)| if eligible { item } else { Amount::ZERO })
                .collect();
            let most: Amount = parts.iter().copied().sum();
            let discount = Amount(discount).min(most);
            let shares = spread(discount, &parts);
            prop_assert_eq!(shares.iter().copied().sum::<Amount>(), discount);
            prop_assert!(shares.iter().zip(&parts).all(|(share, part)| share <= part));
            // No share is a whole unit off its proportion.
            for (share, part) in shares.iter().zip(&parts) {
                let exact = u128::from(discount.units()) * u128::from(part.units());
                let got = u128::from(share.units()) * u128::from(most.units());
                prop_assert!(exact.abs_diff(got) < u128::from(most.units().max(1)));
            }
            let pieces = pieces(&items, &shares, Amount(own));
            prop_assert!(pieces.len() <= 49);
            for (index, item) in (0_u8..).zip(&items) {
                let of_item = pieces.iter().filter(|piece| piece.item == index);
                prop_assert_eq!(of_item.map(|piece| piece.amount).sum::<Amount>(), *item);
            }
            let total: Amount = items.iter().copied().sum();
            let plan = Plan { pieces, ..Plan::default() };
            prop_assert_eq!(plan.total(), total);
            prop_assert_eq!(plan.sum(Source::Promotion), discount);
            let need = total.checked_sub(discount).unwrap_or_default();
            prop_assert_eq!(plan.sum(Source::Balance), need.min(Amount(own)));
            prop_assert!(plan.pieces.iter().all(|piece| piece.amount > Amount::ZERO));
            prop_assert!(plan.pieces.is_sorted_by_key(|piece| (piece.source, piece.item)));
        }
    }
}
