//! Threads, as the operating system sees them (contract sections 3.8 and 5), and the stack that callbacks have there. Alone in its process: it looks at
//! all threads of it.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{mpsc, Arc, Mutex};
use std::time::{Duration, Instant};

use mako_raft::ffi::mako_raft_status;
use mako_raft::ffi::setup::mako_raft_setup2;
use mako_raft::helper::{self, CallbackRole};

const SOON: Duration = Duration::from_secs(30);
const PARTITIONS: u32 = 3;

/// The thread's number and the name that debuggers and `top` show.
fn this_thread() -> (String, String) {
    let task = std::fs::read_link("/proc/thread-self").expect("Linux").display().to_string();
    let name = std::fs::read_to_string("/proc/thread-self/comm").expect("Linux").trim().to_string();
    (task, name)
}

/// Half of what a thread of the host has on the usual Linux, and twice what Rust gives to a thread.
const STACK_BYTES: usize = 4 << 20;

/// Ends the process where the thread has less.
#[inline(never)]
fn use_much_stack() {
    std::hint::black_box(&mut [1_u8; STACK_BYTES]);
}

fn threads_of_the_library() -> BTreeSet<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.map(|name| name.trim().to_string()).filter(|name| name.starts_with("mako-raft")).collect()
}

/// Whether a thread blocks SIGTERM and SIGUSR1.
fn blocked(task: &str) -> [bool; 2] {
    let status = std::fs::read_to_string(format!("{task}/status")).expect("Linux");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("a mask");
    let mask = u64::from_str_radix(mask.trim(), 16).expect("hexadecimal");
    [libc::SIGTERM, libc::SIGUSR1].map(|signal| mask & (1 << (signal - 1)) != 0)
}

/// The same for each thread of the library, which is running.
fn masks_of_the_library() -> BTreeMap<String, [bool; 2]> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let masks = tasks.map(|task| {
        let task = task.expect("Linux").path().display().to_string();
        let name = std::fs::read_to_string(format!("{task}/comm")).expect("it runs");
        (name.trim().to_string(), blocked(&task))
    });
    masks.filter(|(name, _)| name.starts_with("mako-raft")).collect()
}

#[test]
fn a_partition_has_one_thread_for_its_whole_life_named_after_it_and_none_is_left_after_shutdown() {
    let host = common::own_address();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shard.yml");
    let rows: String = (0..PARTITIONS).map(|p| format!("    - [\"s{p}:{}\"]\n", 21_001 + p)).collect();
    let processes: String = (0..PARTITIONS).map(|p| format!("  s{p}: localhost\n")).collect();
    let text = format!("site:\n  server:\n{rows}process:\n{processes}host:\n  localhost: {host}\n");
    std::fs::write(&file, text).unwrap();
    let arguments = ["", "-f", &file.display().to_string(), "-P", "localhost"].map(String::from);

    // Per partition: the threads that called.
    type Threads = BTreeMap<u32, BTreeSet<(String, String)>>;
    let seen: Arc<Mutex<Threads>> = Arc::default();
    helper::setup(&arguments).unwrap();
    for partition in 0..PARTITIONS {
        let seen = seen.clone();
        let record = move |call: helper::LogCall<'_>| {
            use_much_stack();
            seen.lock().unwrap().entry(call.partition).or_default().insert(this_thread());
            0
        };
        helper::register_log(CallbackRole::Leader, partition, Box::new(record)).unwrap();
    }
    let (sender, elections) = mpsc::channel();
    let elected = move |_| {
        use_much_stack();
        sender.send(this_thread()).expect("the test listens");
    };
    helper::register_election(Some(Box::new(elected))).unwrap();
    // The C function: it is what keeps signals from the library's own threads.
    assert_eq!(mako_raft_setup2(0, 0), mako_raft_status::MAKO_RAFT_OK);
    let election = elections.recv_timeout(SOON).expect("leadership");
    for round in 0..50 {
        for partition in 0..PARTITIONS {
            helper::submit(&vec![1; 1 + round * 997], partition).unwrap();
            helper::wait_for_submit(partition).unwrap();
        }
    }

    let seen = seen.lock().unwrap().clone();
    let mut tasks = BTreeSet::from([election.0]);
    for partition in 0..PARTITIONS {
        let threads = &seen[&partition];
        assert_eq!(threads.len(), 1, "partition {partition} was delivered on {threads:?}");
        let (task, name) = threads.first().expect("one");
        assert_eq!(*name, format!("mako-raft-p{partition}"));
        tasks.insert(task.clone());
    }
    assert_eq!(tasks.len(), PARTITIONS as usize + 1, "no two of them share a thread");

    assert_eq!(blocked("/proc/thread-self"), [false; 2], "the caller of setup2");
    for (name, blocked) in masks_of_the_library() {
        let calls_the_host = name.starts_with("mako-raft-p") || name == "mako-raft-elect";
        assert_eq!(blocked, [!calls_the_host; 2], "SIGTERM and SIGUSR1 on {name}");
    }

    assert!(threads_of_the_library().len() > PARTITIONS as usize);
    helper::shutdown().unwrap();
    // A join returns when the thread gives up its memory, which is shortly before the kernel takes its entry out
    // of /proc: there is no event to wait for there.
    let deadline = Instant::now() + SOON;
    while !threads_of_the_library().is_empty() && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(threads_of_the_library(), BTreeSet::new(), "every thread is joined");
}
