//! The scheduling of the generator's threads.
//!
//! Owns: the request for a better place than the server has on shared cores. Never insists: without the right to it a
//! run goes on, and its lateness tells whether that was good enough. Users do not wait for a core of the server's
//! machine; a generator that does would hide the very stalls that it is to measure.

use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

/// Where real time is not granted.
const NICENESS: i32 = -10;

/// Raises this thread; what was granted, for the report.
pub(crate) fn raise() -> &'static str {
    // The lowest real-time priority is above every ordinary thread; the kernel keeps 5 % for those.
    let real_time = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    if set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, real_time).is_ok() {
        "real-time"
    } else if rustix::process::setpriority_process(None, NICENESS).is_ok() {
        "raised"
    } else {
        "ordinary"
    }
}
