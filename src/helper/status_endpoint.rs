//! The status endpoint: whoever connects gets the counters as plain text, and then the end of the stream.
//!
//! `nc HOST PORT` is the whole protocol; what a client sends is read and ignored. It is a convenience:
//! where it can't be opened the library goes on without it. No client can hold it up: each has its own place
//! and a bound on what is read of it.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener as StdListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use super::lifecycle::Instance;
use super::stats;
use crate::config::Configuration;
use crate::transport::look_up;

const LISTENER: Token = Token(0);
const STOP: Token = Token(1);
const FIRST_CLIENT: usize = 2;
/// Clients that have not closed their connection; beyond it the oldest is dropped.
const CLIENTS_MAX: usize = 16;
/// What is read of one client before it is dropped: a request of any protocol is shorter.
const IGNORED_BYTES_MAX: usize = 32 << 10;
/// After a client could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A running endpoint. Dropped: its thread is joined and its port free.
pub struct StatusEndpoint {
    stopping: Arc<AtomicBool>,
    stop: Waker,
    thread: Option<JoinHandle<()>>,
}

impl StatusEndpoint {
    /// Listens, and answers each client with `report` on a thread of its own.
    ///
    /// # Errors
    /// The system's, where it can't listen there or has no thread left.
    pub fn open(host: &str, port: u16, report: impl Fn() -> String + Send + 'static) -> io::Result<Self> {
        let addresses = look_up(host, port).map_err(io::Error::other)?;
        let listener = StdListener::bind(&addresses[..])?;
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener);
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let stop = Waker::new(poll.registry(), STOP)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let clients = VecDeque::with_capacity(CLIENTS_MAX);
        let report = Box::new(report);
        let (stops, next_token) = (stopping.clone(), FIRST_CLIENT);
        let server = Server { poll, listener, report, stopping: stops, clients, next_token, accepts_later: false };
        let thread = std::thread::Builder::new().name("mako-raft-stat".into()).spawn(move || server.run())?;
        Ok(Self { stopping, stop, thread: Some(thread) })
    }

    /// Tells it to end and waits for nothing: what its report looks at may never answer.
    pub fn leave(mut self) {
        drop(self.thread.take());
    }
}

impl Drop for StatusEndpoint {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        let woken = self.stop.wake();
        // Without a thread it was left alone.
        if let (Ok(()), Some(thread)) = (woken, self.thread.take()) {
            // It panicked if this fails, and has ended all the same.
            let _ = thread.join();
        }
    }
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    report: Box<dyn Fn() -> String + Send>,
    stopping: Arc<AtomicBool>,
    clients: VecDeque<Client>,
    next_token: usize,
    /// Somebody may wait who could not be accepted.
    accepts_later: bool,
}

/// Closing with unread input would reset the connection and could destroy the answer on its way: a client
/// stays until it has closed its side.
struct Client {
    token: Token,
    connection: TcpStream,
    answer: Vec<u8>,
    sent_bytes: usize,
    ignored_bytes: usize,
    has_ended: bool,
}

impl Server {
    fn run(mut self) {
        let mut events = Events::with_capacity(CLIENTS_MAX);
        loop {
            let patience = self.accepts_later.then_some(ACCEPT_AGAIN);
            match self.poll.poll(&mut events, patience) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    log::warn!("the status endpoint ends: {error}");
                    return;
                }
                Ok(()) => {}
            }
            if std::mem::take(&mut self.accepts_later) {
                self.accept_all();
            }
            for token in events.iter().map(Event::token) {
                match token {
                    STOP => return,
                    LISTENER => self.accept_all(),
                    token => self.serve(token),
                }
            }
        }
    }

    /// Looks at `stopping` itself: clients that come faster than they are answered must not delay a shutdown.
    fn accept_all(&mut self) {
        while !self.stopping.load(Ordering::Acquire) {
            match self.listener.accept() {
                // A client that is gone already costs itself the answer.
                Ok((connection, _)) => drop(self.welcome(connection)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {}
                // Out of descriptors, say: those that were answered make room.
                Err(_) if self.clients.pop_front().is_some() => {}
                // No event will come for who waits already.
                Err(_) => return self.accepts_later = true,
            }
        }
    }

    fn welcome(&mut self, mut connection: TcpStream) -> io::Result<()> {
        let token = Token(self.next_token);
        self.next_token = self.next_token.wrapping_add(1).max(FIRST_CLIENT);
        self.poll.registry().register(&mut connection, token, Interest::READABLE | Interest::WRITABLE)?;
        if self.clients.len() == CLIENTS_MAX {
            self.clients.pop_front();
        }
        let answer = (self.report)().into_bytes();
        self.clients.push_back(Client { token, connection, answer, sent_bytes: 0, ignored_bytes: 0, has_ended: false });
        self.serve(token);
        Ok(())
    }

    fn serve(&mut self, token: Token) {
        let Some(index) = self.clients.iter().position(|client| client.token == token) else { return };
        let client = &mut self.clients[index];
        let goes_on = client.send().and_then(|()| client.ignore());
        if goes_on.is_err() || (client.has_ended && client.is_answered()) {
            self.clients.remove(index);
        }
    }
}

impl Client {
    fn is_answered(&self) -> bool {
        self.sent_bytes == self.answer.len()
    }

    /// As much of the answer as the connection takes now. With many partitions that is not all of it.
    fn send(&mut self) -> io::Result<()> {
        while !self.is_answered() {
            match self.connection.write(&self.answer[self.sent_bytes..]) {
                Ok(count) => self.sent_bytes += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.is_answered() {
                self.connection.shutdown(Shutdown::Write)?;
            }
        }
        Ok(())
    }

    /// Discards what the client sent.
    fn ignore(&mut self) -> io::Result<()> {
        let mut ignored = [0; 512];
        while !self.has_ended && self.ignored_bytes < IGNORED_BYTES_MAX {
            match self.connection.read(&mut ignored) {
                Ok(0) => self.has_ended = true,
                Ok(count) => self.ignored_bytes += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.has_ended { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

/// Opens the endpoint of a running library where its configuration asks for one; a warning where that fails.
pub(super) fn open(instance: Arc<Instance>) -> Option<StatusEndpoint> {
    let Configuration { topology, .. } = &instance.configuration;
    let (host, port) = (topology.process(topology.me).host.clone(), instance.configuration.status_port()?);
    let report = move || stats::report(&instance.runtime, &instance.configuration.topology);
    match StatusEndpoint::open(&host, port, report) {
        Ok(endpoint) => {
            log::info!("status: connect to {host}:{port}");
            Some(endpoint)
        }
        Err(error) => {
            log::warn!("no status endpoint: can't listen on {host}:{port}: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream as Client;

    use super::*;

    const LONG_BYTES: usize = 16 << 20;

    fn long() -> String {
        "partition ".repeat(LONG_BYTES / 10)
    }

    #[test]
    fn an_answer_longer_than_a_connection_takes_arrives_whole_past_clients_that_read_nothing() {
        let pid = std::process::id();
        let (host, port) = (format!("127.{}.{}.6", 1 + (pid >> 8) % 250, pid % 256), 31_200);
        let endpoint = StatusEndpoint::open(&host, port, long).unwrap();
        let silent: Vec<Client> = (0..2 * CLIENTS_MAX).map(|_| Client::connect((host.as_str(), port)).unwrap()).collect();
        let mut answer = Vec::new();
        let mut client = Client::connect((host.as_str(), port)).unwrap();
        client.write_all(&[0xff; 1000]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer.len(), long().len());
        drop(endpoint);
        // Its port is free, although they are still connected.
        drop(StatusEndpoint::open(&host, port, long).unwrap());
        drop(silent);
    }

    /// Its own event has come and gone: that it had no descriptor then is all that its server knows.
    #[test]
    fn a_client_that_could_not_be_accepted_is_accepted_later() {
        let pid = std::process::id();
        let (host, port) = (format!("127.{}.{}.6", 1 + (pid >> 8) % 250, pid % 256), 31_202);
        let listener = TcpListener::bind(format!("{host}:{port}").parse().unwrap()).unwrap();
        let poll = Poll::new().unwrap();
        let stopping = Arc::new(AtomicBool::new(false));
        let mut client = Client::connect((host.as_str(), port)).unwrap();
        let server = Server {
            poll,
            listener,
            report: Box::new(|| "short\n".into()),
            stopping: stopping.clone(),
            clients: VecDeque::new(),
            next_token: FIRST_CLIENT,
            accepts_later: true,
        };
        let stop = Waker::new(server.poll.registry(), STOP).unwrap();
        let thread = std::thread::spawn(move || server.run());
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut answer = String::new();
        let read = client.read_to_string(&mut answer);
        stop.wake().unwrap();
        thread.join().unwrap();
        assert_eq!((read.ok(), answer.as_str()), (Some(6), "short\n"));
    }

    #[test]
    fn an_ipv6_address_may_be_given_in_brackets() {
        let listening = StatusEndpoint::open("[::1]", 0, || "short\n".into());
        // Also a machine without IPv6 knows that this is an address and no name.
        assert!(listening.map_or_else(|error| error.raw_os_error().is_some(), |_| true));
    }

    #[test]
    fn a_client_that_sends_without_end_is_dropped() {
        let pid = std::process::id();
        let (host, port) = (format!("127.{}.{}.6", 1 + (pid >> 8) % 250, pid % 256), 31_201);
        let _endpoint = StatusEndpoint::open(&host, port, || "short\n".into()).unwrap();
        let mut client = Client::connect((host.as_str(), port)).unwrap();
        let sent = (0..10_000).map_while(|_| client.write(&[7; 4096]).ok()).sum::<usize>();
        assert!(sent < 10_000 * 4096, "it was taken in: {sent} B");
    }
}
