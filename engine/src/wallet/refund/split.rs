//! Which pieces of a payment a refund moves back. Pure.
//!
//! Invariant: a piece is never moved back beyond its amount, and what is moved sums to what was asked for.

use crate::{
    model::Amount,
    wallet::payment::{Plan, Source},
};

/// In which order an item's pieces are moved back: own money first, the promotion's last.
const ORDER: [Source; 3] = [Source::Balance, Source::Channel, Source::Promotion];

/// What each piece gives back of `amount`, when `refunded` of each is back already: the item's alone, or all items' in
/// their order. `None` if there is less left.
pub(super) fn split(
    plan: &Plan,
    refunded: &[Amount],
    amount: Amount,
    item: Option<u8>,
) -> Option<Vec<Amount>> {
    let mut order: Vec<usize> = (0..plan.pieces.len()).collect();
    order.sort_by_key(|&index| {
        let piece = plan.pieces.get(index);
        piece.map(|piece| (piece.item, ORDER.iter().position(|&source| source == piece.source)))
    });
    let mut shares = vec![Amount::ZERO; plan.pieces.len()];
    let mut wanted = amount;
    for index in order {
        let piece = plan.pieces.get(index)?;
        if item.is_some_and(|item| item != piece.item) {
            continue;
        }
        let left = piece.amount.checked_sub(refunded.get(index).copied().unwrap_or_default())?;
        let share = left.min(wanted);
        wanted = wanted.checked_sub(share)?;
        *shares.get_mut(index)? = share;
    }
    (wanted == Amount::ZERO).then_some(shares)
}

/// How much of something that belongs to the whole is back once `part` of `total` is: cut to the unit.
pub(super) fn pro_rata(whole: u64, part: Amount, total: Amount) -> u64 {
    let share = u128::from(whole) * u128::from(part.units()) / u128::from(total.units().max(1));
    u64::try_from(share).unwrap_or(u64::MAX).min(whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wallet::payment::Piece;

    fn plan(pieces: &[(u8, Source, u64)]) -> Plan {
        let piece = |&(item, source, amount)| Piece { item, source, amount: Amount(amount) };
        Plan { pieces: pieces.iter().map(piece).collect(), ..Plan::default() }
    }

    #[test]
    fn own_money_first_the_coupon_last() {
        use Source::{Balance, Channel, Promotion};
        let check =
            |pieces: &[(u8, Source, u64)], refunded: &[u64], amount, item, expected: Option<&[u64]>| {
                let refunded: Vec<_> = refunded.iter().copied().map(Amount).collect();
                let shares = split(&plan(pieces), &refunded, Amount(amount), item);
                let expected = expected.map(|units| units.iter().copied().map(Amount).collect::<Vec<_>>());
                assert_eq!(shares, expected, "{amount} of {pieces:?}");
            };
        // Of 80 cash and a coupon of 20 a refund of 60 is all cash.
        let coupon = [(0, Promotion, 20), (0, Balance, 80)];
        check(&coupon, &[], 60, None, Some(&[0, 60]));
        check(&coupon, &[0, 60], 40, None, Some(&[20, 20]));
        check(&coupon, &[0, 60], 41, None, None);
        check(&coupon, &[20, 80], 1, None, None);
        let two = [(0, Promotion, 5), (1, Promotion, 5), (0, Balance, 45), (1, Balance, 5), (1, Channel, 40)];
        check(&two, &[], 100, None, Some(&[5, 5, 45, 5, 40]));
        check(&two, &[], 52, None, Some(&[5, 0, 45, 2, 0]));
        check(&two, &[], 46, Some(1), Some(&[0, 1, 0, 5, 40]));
        check(&two, &[], 51, Some(1), None);
        check(&two, &[], 1, Some(2), None);
    }

    proptest! {
        #[test]
        fn refunds_in_any_parts_sum_to_the_payment(
            pieces in prop::collection::vec((0_u8..24, 0_usize..3, 1_u64..1_000_000), 1..49),
            parts in prop::collection::vec((1_u64..2_000_000, prop::option::of(0_u8..24)), 1..50),
            fee in 0_u64..1_000_000,
        ) {
            let pieces: Vec<_> = pieces.iter().map(|&(item, source, units)| (item, ORDER[source], units)).collect();
            let plan = plan(&pieces);
            let total = plan.total();
            let mut refunded = vec![Amount::ZERO; pieces.len()];
            for (amount, item) in parts {
                let before: Amount = refunded.iter().copied().sum();
                let of_item = |index: usize| item.is_none_or(|item| item == pieces[index].0);
                let left: u64 =
                    (0..pieces.len()).filter(|&index| of_item(index)).map(|i| pieces[i].2 - refunded[i].0).sum();
                let shares = split(&plan, &refunded, Amount(amount), item);
                prop_assert_eq!(shares.is_some(), amount <= left);
                let Some(shares) = shares else { continue };
                prop_assert_eq!(shares.iter().copied().sum::<Amount>(), Amount(amount));
                for (index, share) in shares.into_iter().enumerate() {
                    prop_assert!(share == Amount::ZERO || of_item(index));
                    refunded[index] = Amount(refunded[index].0 + share.0);
                    prop_assert!(refunded[index].0 <= pieces[index].2);
                }
                let after: Amount = refunded.iter().copied().sum();
                prop_assert!(pro_rata(fee, after, total) >= pro_rata(fee, before, total));
                prop_assert!(pro_rata(fee, after, total) <= fee);
            }
            prop_assert_eq!(pro_rata(fee, total, total), fee);
        }
    }
}
