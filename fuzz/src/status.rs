//! Clients of the status endpoint, over real sockets: they send anything, read slowly or not at all, half-close,
//! reset, and stay. Afterwards the next client gets the whole answer, and the endpoint closes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use mako_raft::helper::status_endpoint::StatusEndpoint;
use rustix::net::sockopt::set_socket_linger;

/// Longer than a connection takes at once.
const ANSWER_BYTES: usize = 6 << 20;
const ANSWER_BYTES_SMALL: usize = 300;
const ACTS_MAX: usize = 40;
/// Nothing here takes this long unless it hangs.
const BOUND: Duration = Duration::from_secs(10);

#[derive(Arbitrary, Debug)]
enum Act {
    Connect,
    /// On the connection of this number, of those that are open: these bytes, so many times.
    Send { which: u8, bytes: [u8; 8], times: u16 },
    Read { which: u8, bytes: u8 },
    HalfClose(u8),
    Reset(u8),
    Close(u8),
}

/// One byte that chooses the answer's length, then acts.
pub fn run(bytes: &[u8]) {
    let mut bytes = Unstructured::new(bytes);
    let long = u8::arbitrary(&mut bytes).unwrap_or(0) % 16 == 0;
    let (host, port) = place();
    let endpoint = StatusEndpoint::open(host, port, if long { long_answer } else { short_answer }).expect("the port is free");
    let mut clients = Vec::new();
    for _ in 0..ACTS_MAX {
        if bytes.is_empty() {
            break;
        }
        let Ok(act) = Act::arbitrary(&mut bytes) else { break };
        carry_out(&act, &mut clients);
    }
    // Who came before may be waiting to be read; this one is served all the same.
    assert_eq!(whole_answer(), if long { ANSWER_BYTES } else { ANSWER_BYTES_SMALL });
    // A thread that does not end hangs here; the clients are still connected.
    drop(endpoint);
}

fn long_answer() -> String {
    "s".repeat(ANSWER_BYTES)
}

fn short_answer() -> String {
    "s".repeat(ANSWER_BYTES_SMALL)
}

/// An address of this process alone.
fn place() -> (&'static str, u16) {
    static HOST: OnceLock<String> = OnceLock::new();
    let pid = std::process::id();
    (HOST.get_or_init(|| format!("127.{}.{}.3", 1 + (pid >> 8) % 250, pid % 256)), 31_000)
}

fn connect() -> TcpStream {
    let client = TcpStream::connect(place()).expect("it listens");
    client.set_read_timeout(Some(BOUND)).expect("a socket has timeouts");
    client
}

fn whole_answer() -> usize {
    let mut answer = Vec::new();
    connect().read_to_end(&mut answer).expect("it is served");
    answer.len()
}

fn carry_out(act: &Act, clients: &mut Vec<TcpStream>) {
    let open = clients.len().max(1);
    let place = |which: &u8| usize::from(*which) % open;
    match act {
        Act::Connect => {
            let client = connect();
            client.set_nonblocking(true).expect("a socket can be");
            clients.push(client);
        }
        // Whether they arrive is up to the endpoint, which may have dropped this client.
        Act::Send { which, bytes, times } => {
            if let Some(client) = clients.get_mut(place(which)) {
                let _ = client.write(&bytes.repeat(usize::from(times % 8192)));
            }
        }
        Act::Read { which, bytes } => {
            if let Some(client) = clients.get_mut(place(which)) {
                let _ = client.read(&mut vec![0; usize::from(*bytes) << 8]);
            }
        }
        Act::HalfClose(which) => {
            if let Some(client) = clients.get(place(which)) {
                let _ = client.shutdown(Shutdown::Write);
            }
        }
        Act::Reset(which) if !clients.is_empty() => {
            let client = clients.remove(place(which));
            set_socket_linger(&client, Some(Duration::ZERO)).expect("a socket can");
        }
        Act::Close(which) if !clients.is_empty() => drop(clients.remove(place(which))),
        Act::Reset(_) | Act::Close(_) => {}
    }
}
