use super::*;

const LEGS: Legs = Legs { balance: Fen(60), promotion: Fen(5), channel: Fen(41) };

fn payment(fate: Fate) -> Payment {
    Payment {
        id: Uuid::nil(),
        user: AccountNo(0),
        merchant: AccountNo(1),
        fees: AccountNo(2),
        promotion: Some(AccountNo(3)),
        discount: Fen(5),
        full_price: false,
        channel: Some((Channel::Wechat, AccountNo(4), AccountNo(5))),
        fate,
        total: Fen(106),
        fee: Fen(10),
        state: State::Asked,
        legs: Legs::default(),
        refunded: Legs::default(),
        asked: Fen(0),
    }
}

fn facts(shown: Shown, legs: Legs) -> Outcome {
    Outcome::Done(Facts { shown, legs, position: None })
}

fn enter(book: &mut Book, effect: &Effect, outcome: Outcome) {
    book.enter(Uuid::nil(), effect, outcome, Instant::now());
}

/// A payment that waits for its channel, and what the channel says when its time has come.
fn waiting(fate: Fate) -> (Book, PaymentNo, Option<Notice>) {
    let mut book = Book::new(6);
    let number = book.plan_payment(payment(fate));
    enter(&mut book, &Effect::Pay(number), facts(Shown::Waiting, LEGS));
    assert_eq!(book.effects(), [0; 6]);
    assert_eq!(book.take_due(Instant::now()), None);
    let notice = book.take_due(Instant::now() + CHANNEL_ANSWERS_AFTER);
    (book, number, notice)
}

fn check(book: &Book, effects: [i128; 6], broken: usize) {
    assert_eq!((book.effects(), book.broken_guards().len()), (effects.as_slice(), broken));
}

#[test]
fn money_moves_when_the_channel_has_paid_and_back_with_refunds() {
    let (mut book, number, notice) = waiting(Fate::Paid);
    enter(&mut book, &Effect::Notify(notice.unwrap()), facts(Shown::Paid, Legs::default()));
    check(&book, [-60, 96, 10, -5, -41, 0], 0);
    let back = Legs { balance: Fen(53), promotion: Fen(0), channel: Fen(0) };
    let refund = Effect::Refund { payment: number, amount: Fen(53) };
    enter(&mut book, &refund, facts(Shown::Other, back));
    check(&book, [-7, 48, 5, -5, -41, 0], 0);
    enter(&mut book, &refund, facts(Shown::Other, back));
    assert_eq!(book.broken_guards().len(), 1, "more than the balance's leg is back");
}

#[test]
fn a_channel_that_fails_or_says_nothing_moves_nothing() {
    let (mut book, _, notice) = waiting(Fate::Failed);
    enter(&mut book, &Effect::Notify(notice.unwrap()), facts(Shown::Failed, Legs::default()));
    check(&book, [0; 6], 0);
    let (book, number, notice) = waiting(Fate::Abandoned);
    assert_eq!((notice, book.of(number).unwrap().state), (None, State::Waiting));
}

#[test]
fn money_after_a_cancellation_comes_back() {
    let mut book = Book::new(6);
    let number = book.plan_payment(payment(Fate::Paid));
    enter(&mut book, &Effect::Pay(number), facts(Shown::Waiting, LEGS));
    assert_eq!(book.take_cancellable().unwrap().0, number);
    let later = Instant::now() + CHANNEL_ANSWERS_AFTER;
    assert_eq!(book.take_due(later), None, "while it is being cancelled its channel waits");
    enter(&mut book, &Effect::Cancel(number), facts(Shown::Cancelled, LEGS));
    let notice = book.take_due(later + CHANNEL_ANSWERS_AFTER).unwrap();
    enter(&mut book, &Effect::Notify(notice), facts(Shown::Suspended, Legs::default()));
    check(&book, [0; 6], 0);
    assert_eq!(book.of(number).unwrap().state, State::Returned);
}

#[test]
fn legs_that_are_not_the_price_break_a_guard() {
    let mut book = Book::new(6);
    let number = book.plan_payment(payment(Fate::Paid));
    let short = Legs { balance: Fen(59), ..LEGS };
    enter(&mut book, &Effect::Pay(number), facts(Shown::Paid, short));
    assert_eq!(book.broken_guards().len(), 1);
}

#[test]
fn another_amount_than_ordered_is_suspended() {
    let check = |comes: Option<u64>, shown: Shown, effects: [i128; 3]| {
        let mut book = Book::new(3);
        let number = book.plan_recharge(Recharge {
            id: Uuid::nil(),
            user: AccountNo(0),
            amount: Fen(100),
            channel: Channel::Ecny,
            accounts: (AccountNo(1), AccountNo(2)),
            comes: comes.map(Fen),
            state: RechargeState::Asked,
        });
        enter(&mut book, &Effect::Order(number), facts(Shown::Waiting, Legs::default()));
        let notice = book.take_left().pop().unwrap();
        enter(&mut book, &Effect::Notify(notice), facts(shown, Legs::default()));
        assert_eq!((book.effects(), book.broken_guards().len()), (effects.as_slice(), 0), "{comes:?}");
    };
    check(Some(100), Shown::Paid, [100, -100, 0]);
    check(Some(101), Shown::Suspended, [0, -101, 101]);
    check(None, Shown::Failed, [0, 0, 0]);
}

#[test]
fn what_was_not_taken_is_said_again() {
    let (mut book, number, notice) = waiting(Fate::Paid);
    book.not_taken(&Effect::Notify(notice.unwrap()), Instant::now());
    assert_eq!(book.of(number).unwrap().state, State::Waiting);
    assert_eq!(book.take_left(), [notice.unwrap()]);
}
