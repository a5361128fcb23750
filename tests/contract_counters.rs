//! The counters while everything moves (contract sections 4 and 7). The library is one per process, so this
//! file has one test.

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use mako_raft::helper::{self, CallbackRole, HelperError, Outcome, PartitionCounters};

const PARTITIONS: u32 = 2;
const SUBMITTERS: usize = 3;
const LOGS: u64 = 3_000;

fn check(counters: &PartitionCounters) {
    assert_eq!(counters.accepted + counters.refused, counters.submitted, "{counters:?}");
    assert_eq!(counters.delivered_own + counters.lost + counters.outstanding, counters.accepted, "{counters:?}");
}

#[test]
fn the_equations_of_the_counters_hold_at_every_moment() {
    let host = common::own_address();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shard.yml");
    let text = format!(
        "site:\n  server:\n    - [\"s1:21001\"]\n    - [\"s2:21002\"]\nprocess:\n  s1: localhost\n  s2: localhost\n\
         host:\n  localhost: {host}\nraft: {{max_log_bytes: 1 KiB, queue_bytes: 64 KiB}}\n",
    );
    std::fs::write(&file, text).unwrap();
    let arguments = ["", "-f", &file.display().to_string(), "-P", "localhost"].map(String::from);
    helper::setup(&arguments).unwrap();
    for partition in 0..PARTITIONS {
        helper::register_log(CallbackRole::Leader, partition, Box::new(|_| 0)).unwrap();
    }
    // Per partition: the next ticket, and how many logs ended each way.
    type Ends = BTreeMap<u32, (u64, u64, u64)>;
    let ends: Arc<Mutex<Ends>> = Arc::default();
    let told = ends.clone();
    let outcome = move |partition, first, count, outcome| {
        let mut ends = told.lock().unwrap();
        let (next, delivered, lost) = ends.entry(partition).or_insert((1, 0, 0));
        assert_eq!(first, *next, "the fates come in ticket order");
        *next += count;
        *(if outcome == Outcome::Delivered { delivered } else { lost }) += count;
    };
    helper::register_outcome(Some(Box::new(outcome))).unwrap();
    helper::setup2(0, 0).unwrap();

    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut looks = 0u64;
            while !done.load(Ordering::Relaxed) {
                for partition in 0..PARTITIONS {
                    check(&helper::counters(partition).unwrap());
                    let outstanding = helper::outstanding(partition).unwrap();
                    assert!(outstanding <= 2 * LOGS * SUBMITTERS as u64, "{outstanding} wrapped around");
                }
                looks += 1;
            }
            looks
        });
        let submit = |submitter: usize| {
            for number in 0..LOGS {
                let partition = (number % u64::from(PARTITIONS)) as u32;
                let length = (number as usize * 31 + submitter) % 1_200;
                let submitted = helper::submit(&vec![1; length], partition);
                assert_eq!(submitted.is_err(), length > 1024, "{submitted:?}");
            }
        };
        let submitters: Vec<_> = (0..SUBMITTERS).map(|submitter| scope.spawn(move || submit(submitter))).collect();
        submitters.into_iter().for_each(|submitter| submitter.join().unwrap());
        (0..PARTITIONS).for_each(|partition| helper::wait_for_submit(partition).unwrap());
        done.store(true, Ordering::Relaxed);
        assert!(watcher.join().unwrap() > 0);
    });

    helper::shutdown().unwrap();
    assert_eq!(helper::submit(b"late", 0), Err(HelperError::ShutDown));
    let mut submitted = 0;
    for partition in 0..PARTITIONS {
        let counters = helper::counters(partition).unwrap();
        check(&counters);
        assert!(counters.refused > 0 && counters.outstanding == 0, "{counters:?}");
        let (next, delivered, lost) = ends.lock().unwrap()[&partition];
        assert_eq!((next - 1, delivered, lost), (counters.accepted, counters.delivered_own, counters.lost));
        submitted += counters.submitted;
    }
    assert_eq!(submitted, LOGS * SUBMITTERS as u64 + 1, "and the late one");
}
