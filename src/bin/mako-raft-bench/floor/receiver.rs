//! `floor-receiver PORT BYTES KEPT`: the far end of a floor.

use std::io::{ErrorKind, Read, Write};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::arguments::Arguments;

use super::wire::{ACK_BYTES, PATIENCE};

/// Read at most so much at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// Reads into `KEPT` bytes in turn (0: into the same few again), and answers each `BYTES` with an acknowledgement (none for 0), until the sender closes.
///
/// # Errors
/// The arguments are wrong, or the connection can't be made or fails.
pub fn run(arguments: &mut Arguments) -> Result<(), String> {
    let port: u16 = arguments.value("floor-receiver")?;
    let (bytes, kept): (usize, usize) = (arguments.value("floor-receiver")?, arguments.value("floor-receiver")?);
    receive(port, bytes, kept).map_err(|error| format!("the floor's receiver: {error}"))
}

fn receive(port: u16, bytes: usize, kept: usize) -> std::io::Result<()> {
    let stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(stream);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut stream, Token(0), Interest::READABLE)?;
    let mut events = Events::with_capacity(4);
    // Touched, so that no page is for the first time in what is measured.
    let mut buffer = vec![0x5a; kept.max(BUFFER_BYTES)];
    let (mut received, mut at) = (0, 0);
    loop {
        poll.poll(&mut events, Some(PATIENCE))?;
        loop {
            let end = buffer.len().min(at + BUFFER_BYTES);
            match stream.read(&mut buffer[at..end]) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    received += count;
                    at = if kept == 0 { 0 } else { (at + count) % buffer.len() };
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            while bytes > 0 && received >= bytes {
                received -= bytes;
                // The sender has at most one message on its way: there is always room for this.
                stream.write_all(&[0x5a; ACK_BYTES])?;
            }
        }
    }
}
