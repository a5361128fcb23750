//! `floor-receiver PORT BYTES`: the far end of a floor.

use std::io::{ErrorKind, Read, Write};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::arguments::Arguments;

use super::wire::{ACK_BYTES, PATIENCE};

/// Read at most so much at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// Reads, and answers each `BYTES` with an acknowledgement (none for 0), until the sender closes.
///
/// # Errors
/// The arguments are wrong, or the connection can't be made or fails.
pub fn run(arguments: &mut Arguments) -> Result<(), String> {
    let (port, bytes): (u16, usize) = (arguments.value("floor-receiver")?, arguments.value("floor-receiver")?);
    receive(port, bytes).map_err(|error| format!("the floor's receiver: {error}"))
}

fn receive(port: u16, bytes: usize) -> std::io::Result<()> {
    let stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(stream);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut stream, Token(0), Interest::READABLE)?;
    let mut events = Events::with_capacity(4);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut received = 0;
    loop {
        poll.poll(&mut events, Some(PATIENCE))?;
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => received += count,
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
