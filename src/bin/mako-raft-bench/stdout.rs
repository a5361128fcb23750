//! What the program prints for people and other programs.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// What the shell says of a program that SIGPIPE ended, which Rust programs ignore.
const READER_GONE: i32 = 141;

/// Writes `text`. Ends the program quietly when nobody reads it any more, as in `... | head -1`.
pub fn write(text: Arguments<'_>) {
    match std::io::stdout().lock().write_fmt(text) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(READER_GONE),
        Err(error) => eprintln!("mako-raft-bench: writing to standard output: {error}"),
    }
}

/// [`println!`], see [`write`].
macro_rules! say {
    ($($text:tt)*) => {
        $crate::stdout::write(format_args!("{}\n", format_args!($($text)*)))
    };
}
