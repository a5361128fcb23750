//! The status endpoint: whoever connects gets the counters as plain text, and then the end of the stream.
//!
//! `nc HOST PORT` is the whole protocol; what a client sends is read and ignored. It is a convenience:
//! where it can't be opened the library goes on without it.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener as StdListener};
use std::thread::JoinHandle;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use super::stats;

const LISTENER: Token = Token(0);
const STOP: Token = Token(1);
const FIRST_CONNECTION: usize = 2;
/// Connections that were answered and that the client has not closed; beyond it the oldest is dropped.
const CONNECTIONS_MAX: usize = 16;

/// A running endpoint. Dropped: its thread is joined and its port free.
pub(super) struct StatusEndpoint {
    stop: Waker,
    thread: Option<JoinHandle<()>>,
}

impl StatusEndpoint {
    /// Listens, and answers on a thread of its own.
    pub(super) fn open(host: &str, port: u16) -> io::Result<Self> {
        let listener = StdListener::bind((host, port))?;
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener);
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let stop = Waker::new(poll.registry(), STOP)?;
        let server = Server { poll, listener, answered: VecDeque::new(), next_token: FIRST_CONNECTION };
        let thread = std::thread::Builder::new().name("mako-raft-stat".into()).spawn(move || server.run())?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for StatusEndpoint {
    fn drop(&mut self) {
        let woken = self.stop.wake();
        if let (Ok(()), Some(thread)) = (woken, self.thread.take()) {
            // It panicked if this fails, and has ended all the same.
            let _ = thread.join();
        }
    }
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    /// Closing with unread input would reset the connection and could destroy the answer on its way: each
    /// stays until the client has closed its side.
    answered: VecDeque<(Token, TcpStream)>,
    next_token: usize,
}

impl Server {
    fn run(mut self) {
        let mut events = Events::with_capacity(CONNECTIONS_MAX);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    log::warn!("the status endpoint ends: {error}");
                    return;
                }
                Ok(()) => {}
            }
            for event in &events {
                match event.token() {
                    STOP => return,
                    LISTENER => self.accept_all(),
                    token => self.read(token),
                }
            }
        }
    }

    fn accept_all(&mut self) {
        // An error other than "would block" (out of descriptors, say) costs this client its answer.
        while let Ok((connection, _)) = self.listener.accept() {
            // A client that is gone already, or reads nothing, costs itself the answer.
            let _ = self.answer(connection);
        }
    }

    /// Writes once: the text is far below a socket's send buffer.
    fn answer(&mut self, mut connection: TcpStream) -> io::Result<()> {
        connection.write_all(stats::report().as_bytes())?;
        connection.shutdown(Shutdown::Write)?;
        let token = Token(self.next_token);
        self.next_token = self.next_token.wrapping_add(1).max(FIRST_CONNECTION);
        self.poll.registry().register(&mut connection, token, Interest::READABLE)?;
        if self.answered.len() == CONNECTIONS_MAX {
            self.answered.pop_front();
        }
        self.answered.push_back((token, connection));
        self.read(token);
        Ok(())
    }

    /// Discards what the client sent; drops the connection at its end.
    fn read(&mut self, token: Token) {
        let Some(index) = self.answered.iter().position(|(other, _)| *other == token) else { return };
        let mut ignored = [0; 512];
        // A bound on what one client can make us read in a row.
        for _ in 0..64 {
            match self.answered[index].1.read(&mut ignored) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        self.answered.remove(index);
    }
}

/// Opens the endpoint where the configuration asks for one; a warning where that fails.
pub(super) fn open(host: &str, port: Option<u16>) -> Option<StatusEndpoint> {
    let port = port?;
    match StatusEndpoint::open(host, port) {
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
