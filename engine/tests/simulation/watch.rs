//! What a run failed with, kept by thread instead of told.

use std::cell::RefCell;

std::thread_local! {
    static LAST: RefCell<(String, String)> = const { RefCell::new((String::new(), String::new())) };
}

/// From here on panics are kept.
pub(crate) fn watch_panics() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        let place = info.location().map(|at| {
            let file = at.file().rsplit_once("src/").map_or(at.file(), |(_, file)| file);
            format!("{file}:{}", at.line())
        });
        let line = text.lines().next().unwrap_or_default().replace('|', "/");
        let line: String = line.chars().take(110).collect();
        LAST.set((place.unwrap_or_default(), line));
    }));
}

/// Where the last run of this thread failed.
pub(crate) fn last_place() -> String {
    LAST.with_borrow(|(place, _)| place.clone())
}

/// Where, and with what.
pub(crate) fn last_panic() -> String {
    LAST.with_borrow(|(place, line)| format!("`{place}` {line}"))
}
