//! The C ABI as a careless C program calls it, on a shard of one process that may be running: null pointers, null with a
//! length, lengths that no memory has, strings that are not UTF-8, unknown partitions, structs of any size, calls out of
//! order. Every call returns with a status and a reason, nothing panics, nothing is written where it must not be, and
//! every callback's context is destroyed once.

use std::ffi::{c_char, c_void, CStr};
use std::path::PathBuf;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::OnceLock;

use arbitrary::{Arbitrary, Unstructured};
use mako_raft::ffi::counters::*;
use mako_raft::ffi::last_error::mako_raft_last_error;
use mako_raft::ffi::leadership::*;
use mako_raft::ffi::logging::*;
use mako_raft::ffi::mako_raft_status::{self, MAKO_RAFT_INTERNAL, MAKO_RAFT_INVALID, MAKO_RAFT_OK};
use mako_raft::ffi::registration::*;
use mako_raft::ffi::setup::*;
use mako_raft::ffi::submission::*;

const ACTS_MAX: usize = 48;
const PARTITIONS: u32 = 2;
const PORT: u16 = 31_100;
/// Whether a byte behind what may be written was written.
const CANARY: u8 = 0xa5;

static DESTROYED: AtomicUsize = AtomicUsize::new(0);

#[derive(Arbitrary, Debug)]
enum Act {
    /// The shard's own file, or what the fuzzer wants.
    Setup { good: bool, count: Option<i32>, arguments: [Text; 3], names: bool },
    Setup2 { action: i32, shard_index: i32 },
    PreShutdown,
    Shutdown,
    Submit { log: Log, partition: Partition, ticket: bool, site: bool },
    Refuse { partition: Partition, reason: Text },
    NoOps(i32),
    Outstanding { partition: Partition, null: bool },
    Counters { partition: Partition, size: Size, null: bool },
    Decode { value: u32, log: Log, timestamp: bool, status: bool },
    Register { follower: bool, partition: Partition, null: bool, destructor: bool },
    RegisterElection { null: bool },
    RegisterOutcome { null: bool },
    Sink { null: bool },
    Log { level: i32, message: Text },
    Hosts { file: Option<Text>, null: bool, index: usize },
    Unreplayed { partition: Partition, logs: u64 },
    Stats(usize),
    Leader(Partition),
    Prefer(i32),
    Upgrade,
    Epoch(i32),
    Restore,
    NullLists(usize),
}

/// A C string or null.
#[derive(Clone, Debug)]
struct Text(Option<Vec<u8>>);

impl<'a> Arbitrary<'a> for Text {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let known: [&[u8]; 6] = [b"-P", b"localhost", b"-n", b"7", b"-f", b"\xff\xfe"];
        Ok(Text(match u.int_in_range(0..=7)? {
            0 => None,
            at @ 1..=6 => Some(known[at - 1].to_vec()),
            _ => {
                let length = u.int_in_range(0..=40)?;
                // No directory of a fuzzer's name, no device: the targets for arguments and files go further.
                let bytes = u.bytes(length)?.iter().map(|byte| if b"\0r/".contains(byte) { b'_' } else { *byte });
                Some(bytes.collect())
            }
        }))
    }
}

/// A string's bytes with their NUL, and the pointer to give out. Lives as long as the call.
struct Given(Option<Vec<u8>>);

impl Given {
    fn of(text: &Text) -> Self {
        Given(text.0.clone().map(|mut bytes| {
            bytes.push(0);
            bytes
        }))
    }

    fn pointer(&self) -> *const c_char {
        self.0.as_ref().map_or(null(), |bytes| bytes.as_ptr().cast())
    }
}

#[derive(Arbitrary, Debug)]
enum Log {
    Bytes(Vec<u8>),
    Null(usize),
    /// Some bytes, and a length that is negative as an `isize`.
    Impossible(usize),
}

impl Log {
    /// A pointer that is readable for the length, unless that is impossible.
    fn given(&self) -> (*const c_char, usize) {
        match self {
            Log::Bytes(bytes) => (bytes.as_ptr().cast(), bytes.len()),
            Log::Null(length) => (null(), *length),
            Log::Impossible(length) => ([0u8].as_ptr().cast(), length | 1 << (usize::BITS - 1)),
        }
    }

    fn is_valid(&self) -> bool {
        matches!(self, Log::Bytes(_) | Log::Null(0))
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Partition {
    Known(u8),
    Any(u32),
}

impl Partition {
    fn number(self) -> u32 {
        match self {
            Partition::Known(number) => u32::from(number) % PARTITIONS,
            Partition::Any(number) => number,
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Size {
    Right,
    Small(u8),
    Any(usize),
}

/// Acts until the bytes end; then whatever runs is shut down.
pub fn run(bytes: &[u8]) {
    quiet();
    let mut bytes = Unstructured::new(bytes);
    let mut contexts = 0;
    let destroyed = DESTROYED.load(Ordering::Relaxed);
    for _ in 0..ACTS_MAX {
        if bytes.is_empty() {
            break;
        }
        let Ok(act) = Act::arbitrary(&mut bytes) else { break };
        carry_out(&act, &mut contexts);
    }
    settled(mako_raft_pre_shutdown_step(), "pre_shutdown_step");
    assert_eq!(mako_raft_shutdown(), MAKO_RAFT_OK, "{}", last_error());
    // What was registered and never set up waits for a life, which ends it.
    if DESTROYED.load(Ordering::Relaxed) - destroyed < contexts {
        set_up(true, None, &[Text(None), Text(None), Text(None)], false);
        assert_eq!(mako_raft_shutdown(), MAKO_RAFT_OK, "{}", last_error());
    }
    // These two survive a shutdown; whoever comes later destroys them.
    for null_callback in [Act::RegisterElection { null: true }, Act::RegisterOutcome { null: true }] {
        carry_out(&null_callback, &mut contexts);
    }
    assert_eq!(DESTROYED.load(Ordering::Relaxed) - destroyed, contexts, "each context is destroyed once");
}

fn last_error() -> String {
    // SAFETY: never null, with a NUL, and valid until this thread's next call that fails.
    let text = unsafe { CStr::from_ptr(mako_raft_last_error()) };
    text.to_str().expect("UTF-8").to_owned()
}

/// A status is no defect of the library and, where it is an error, has its text.
fn settled(status: mako_raft_status, call: &str) -> bool {
    assert_ne!(status, MAKO_RAFT_INTERNAL, "{call}: {}", last_error());
    assert!(!last_error().contains("panic"), "{call}: {}", last_error());
    assert!(status == MAKO_RAFT_OK || !last_error().is_empty(), "{call}: {status:?} without a reason");
    status == MAKO_RAFT_OK
}

/// Messages go nowhere: a fuzzer would write gigabytes of them.
fn quiet() {
    // SAFETY: `ignore` takes anything, and there is no context.
    settled(unsafe { mako_raft_set_log_sink(Some(ignore), null_mut(), None) }, "set_log_sink");
}

unsafe extern "C" fn ignore(_: *mut c_void, _: i32, _: *const c_char, _: *const c_char) {}

unsafe extern "C" fn on_log(_: *mut c_void, log: *const c_char, length: usize, _: u32, _: u64) -> u32 {
    // SAFETY: the library promises a NUL one byte past the log.
    assert_eq!(unsafe { *log.add(length) }, 0);
    0
}

unsafe extern "C" fn on_election(_: *mut c_void, _: i32) {}

unsafe extern "C" fn on_outcome(_: *mut c_void, _: u32, _: u64, _: u64, _: bool) {}

unsafe extern "C" fn destroy(_: *mut c_void) {
    DESTROYED.fetch_add(1, Ordering::Relaxed);
}

/// The file of a shard of one process, at an address of this OS process alone.
fn topology() -> &'static PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let pid = std::process::id();
        let text = format!(
            "site:\n  server:\n    - [\"a:{PORT}\"]\n    - [\"b:{}\"]\nprocess:\n  a: localhost\n  b: localhost\n\
             host:\n  localhost: 127.{}.{}.4\nraft:\n  drain_ms: 200\n  log_memory_bytes: 16 MiB\n  queue_bytes: 1 MiB\n",
            PORT + 1,
            1 + (pid >> 8) % 250,
            pid % 256,
        );
        let file = std::env::temp_dir().join(format!("mako-raft-fuzz-{pid}.yml"));
        std::fs::write(&file, text).expect("there is room for a small file");
        file
    })
}

fn carry_out(act: &Act, contexts: &mut usize) {
    match act {
        Act::Setup { good, count, arguments, names } => set_up(*good, *count, arguments, *names),
        Act::Setup2 { action, shard_index } => {
            settled(mako_raft_setup2(*action, *shard_index), "setup2");
        }
        Act::PreShutdown => assert!(settled(mako_raft_pre_shutdown_step(), "pre_shutdown_step")),
        Act::Shutdown => assert!(settled(mako_raft_shutdown(), "shutdown")),
        Act::Submit { log, partition, ticket, site } => submit(log, partition.number(), *ticket, *site),
        Act::Refuse { partition, reason } => {
            // SAFETY: null or with a NUL.
            unsafe { mako_raft_refuse(partition.number(), Given::of(reason).pointer()) };
        }
        Act::NoOps(epoch) => {
            let sent = settled(mako_raft_send_no_ops_for_mark(*epoch), "send_no_ops_for_mark");
            assert!(!sent || (0..10).contains(epoch));
        }
        Act::Outstanding { partition, null } => {
            let mut outstanding = 0;
            let place = if *null { null_mut() } else { &mut outstanding };
            // SAFETY: null or a variable.
            let known = settled(unsafe { mako_raft_get_outstanding_logs(partition.number(), place) }, "get_outstanding_logs");
            assert!(!known || !*null && partition.number() < PARTITIONS);
        }
        Act::Counters { partition, size, null } => counters(partition.number(), *size, *null),
        Act::Decode { value, log, timestamp, status } => decode(*value, log, *timestamp, *status),
        Act::Register { follower, partition, null, destructor } => {
            *contexts += usize::from(*destructor);
            let function = if *follower { mako_raft_register_for_follower } else { mako_raft_register_for_leader };
            let destroy: mako_raft::ffi::callbacks::mako_raft_destructor = if *destructor { Some(destroy) } else { None };
            let callback: mako_raft::ffi::callbacks::mako_raft_log_callback = if *null { None } else { Some(on_log) };
            // SAFETY: the callback does not look at its context.
            settled(unsafe { function(callback, null_mut(), destroy, partition.number()) }, "register");
        }
        Act::RegisterElection { null } => {
            *contexts += 1;
            let callback: mako_raft::ffi::callbacks::mako_raft_election_callback = if *null { None } else { Some(on_election) };
            // SAFETY: as above.
            settled(unsafe { mako_raft_register_leader_election_callback(callback, null_mut(), Some(destroy)) }, "register");
        }
        Act::RegisterOutcome { null } => {
            *contexts += 1;
            let callback: mako_raft::ffi::callbacks::mako_raft_outcome_callback = if *null { None } else { Some(on_outcome) };
            // SAFETY: as above.
            settled(unsafe { mako_raft_register_outcome_callback(callback, null_mut(), Some(destroy)) }, "register");
        }
        Act::Sink { null } => {
            *contexts += 1;
            let sink: mako_raft::ffi::callbacks::mako_raft_log_sink = if *null { None } else { Some(ignore) };
            // SAFETY: as above.
            settled(unsafe { mako_raft_set_log_sink(sink, null_mut(), Some(destroy)) }, "set_log_sink");
            quiet();
        }
        // SAFETY: null or with a NUL.
        Act::Log { level, message } => unsafe { mako_raft_log(*level, Given::of(message).pointer()) },
        Act::Hosts { file, null, index } => hosts(file.as_ref(), *null, *index),
        Act::Unreplayed { partition, logs } => mako_raft_set_unreplayed(partition.number(), *logs),
        Act::Stats(partitions) => mako_raft_worker_info_stats(*partitions),
        Act::Leader(partition) => {
            let leads = mako_raft_is_leader(partition.number());
            assert!(!leads || partition.number() < PARTITIONS);
            mako_raft_leader_site(partition.number());
        }
        Act::Prefer(site) => {
            settled(mako_raft_set_preferred_leader(*site), "set_preferred_leader");
        }
        Act::Upgrade => {
            settled(mako_raft_upgrade_to_leader(), "upgrade_to_leader");
        }
        Act::Epoch(epoch) => {
            mako_raft_set_epoch(*epoch);
            assert!(*epoch == -1 || mako_raft_get_epoch() == *epoch);
        }
        Act::Restore => {
            settled(mako_raft_restore_alone(), "restore_alone");
        }
        Act::NullLists(index) => null_lists(*index),
    }
    assert!(!last_error().contains("panic"), "{act:?}: {}", last_error());
}

fn set_up(good: bool, count: Option<i32>, arguments: &[Text; 3], wants_names: bool) {
    let file = Text(Some(topology().to_str().expect("UTF-8").into()));
    let mut texts = vec![Text(Some(b"program".to_vec()))];
    if good {
        texts.extend([Text(Some(b"-f".to_vec())), file]);
    }
    texts.extend_from_slice(arguments);
    let given: Vec<Given> = texts.iter().map(Given::of).collect();
    let mut pointers: Vec<*const c_char> = given.iter().map(Given::pointer).collect();
    let most = pointers.len() as i32;
    pointers.push(null());
    let count = count.map_or(if good { 3 } else { most }, |count| if count < 0 { count } else { count % (most + 1) });
    let mut names = null_mut();
    let place = if wants_names { &mut names } else { null_mut() };
    // SAFETY: `argv` has at least `count` pointers, each null or a C string.
    let done = settled(unsafe { mako_raft_setup(count, pointers.as_ptr(), place) }, "setup");
    assert!(!done || wants_names != names.is_null());
    // SAFETY: null or the list that setup has just made, freed once.
    unsafe {
        for at in 0..mako_raft_names_count(names) {
            assert!(!CStr::from_ptr(mako_raft_names_get(names, at)).to_bytes().is_empty());
        }
        assert!(mako_raft_names_get(names, usize::MAX).is_null());
        mako_raft_names_free(names);
    }
}

fn submit(log: &Log, partition: u32, wants_ticket: bool, wants_site: bool) {
    let (pointer, length) = log.given();
    let (mut ticket, mut site) = (0, 0);
    let ticket_place = if wants_ticket { &mut ticket } else { null_mut() };
    let site_place = if wants_site { &mut site } else { null_mut() };
    // SAFETY: null, or readable for a length that is possible; the places are null or variables.
    let status = unsafe { mako_raft_submit(pointer, length, partition, ticket_place, site_place) };
    let accepted = settled(status, "submit");
    assert!(!accepted || (log.is_valid() && partition < PARTITIONS));
    assert_eq!(accepted && wants_ticket, ticket != 0, "a ticket for what was accepted");
    assert!(log.is_valid() || status == MAKO_RAFT_INVALID);
}

fn counters(partition: u32, size: Size, is_null: bool) {
    let full = size_of::<mako_raft_counters>();
    let size = match size {
        Size::Right => full,
        Size::Small(size) => usize::from(size),
        Size::Any(size) => size,
    };
    // In words, so that it is aligned.
    let mut words = vec![u64::from_ne_bytes([CANARY; 8]); full / 8 + 8];
    words[0] = size as u64;
    let place = if is_null { null_mut() } else { words.as_mut_ptr().cast() };
    // SAFETY: null, or room for every field that the library knows.
    let filled = settled(unsafe { mako_raft_get_counters(partition, place) }, "get_counters");
    assert!(!filled || (!is_null && partition < PARTITIONS));
    assert_eq!(words[0], size as u64, "the size is left as it is");
    let written = if filled { size.min(full) } else { 8 };
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    assert!(bytes[written.max(8)..].iter().all(|&byte| byte == CANARY), "nothing behind the caller's struct is written");
    if filled && size >= full {
        assert_eq!(words[1], words[2] + words[3], "submitted = accepted + refused");
        assert_eq!(words[2], words[4] + words[6] + words[7], "accepted = delivered + lost + outstanding");
    }
}

fn decode(value: u32, log: &Log, wants_timestamp: bool, wants_status: bool) {
    let (pointer, length) = log.given();
    let (mut timestamp, mut status) = (0, 0);
    let timestamp_place = if wants_timestamp { &mut timestamp } else { null_mut() };
    let status_place = if wants_status { &mut status } else { null_mut() };
    // SAFETY: null, or readable for a length that is possible; the places are null or variables.
    let decoded = unsafe { mako_raft_decode_value(value, pointer, length, timestamp_place, status_place) };
    assert_eq!(settled(decoded, "decode_value"), log.is_valid());
    assert!(status < 10);
}

fn hosts(file: Option<&Text>, is_null: bool, index: usize) {
    let own = Text(Some(topology().to_str().expect("UTF-8").into()));
    let given = Given::of(file.unwrap_or(&own));
    let mut list = null_mut();
    let place = if is_null { null_mut() } else { &mut list };
    // SAFETY: null or with a NUL; null or a variable.
    let found = settled(unsafe { mako_raft_get_hosts(given.pointer(), place) }, "get_hosts");
    assert_eq!(found, !list.is_null());
    // SAFETY: null or the list just made, freed once.
    unsafe {
        let count = mako_raft_hosts_count(list);
        assert_eq!(mako_raft_hosts_name(list, index).is_null(), index >= count);
        assert_eq!(mako_raft_hosts_address(list, index).is_null(), index >= count);
        mako_raft_hosts_free(list);
    }
}

fn null_lists(index: usize) {
    // SAFETY: null is allowed.
    unsafe {
        assert_eq!((mako_raft_names_count(null()), mako_raft_hosts_count(null())), (0, 0));
        assert!(mako_raft_names_get(null(), index).is_null() && mako_raft_hosts_name(null(), index).is_null());
        mako_raft_names_free(null_mut());
        mako_raft_hosts_free(null_mut());
    }
}
