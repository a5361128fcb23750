//! The configuration of a shard of three processes on loopback.

use std::fmt::Write;
use std::net::TcpListener;

/// The processes; the first is the designated one.
pub const PROCESSES: [&str; 3] = ["localhost", "p1", "p2"];
/// Ports below the range from which systems pick their own.
const FIRST_PORT: u16 = 21_000;
const LAST_PORT: u16 = 29_000;

/// A range of ports of which the three that are listened on are free now.
fn free_ports(partitions: u16) -> Result<u16, String> {
    let spread = (std::process::id() as u16).wrapping_mul(97) % 1_000;
    let step = 3 * partitions + 3;
    let bases = (0..).map(|try_| FIRST_PORT + spread + try_ * step).take_while(|&base| base < LAST_PORT);
    for base in bases {
        let is_free = |k: u16| TcpListener::bind(("127.0.0.1", base + k * partitions)).is_ok();
        if (0..3).all(is_free) {
            return Ok(base);
        }
    }
    Err(format!("no three free ports between {FIRST_PORT} and {LAST_PORT}"))
}

/// The text of the file: a row per partition, a column per process, and settings for `raft`.
///
/// # Errors
/// No ports are free.
pub fn text(partitions: u32, settings: &[(&str, String)]) -> Result<String, String> {
    let count = u16::try_from(partitions).map_err(|_| format!("{partitions} partitions are too many"))?;
    let base = free_ports(count)?;
    let (mut rows, mut sites) = (String::new(), String::new());
    for row in 0..count {
        let site = |column: u16| format!("s{}x{row}", column + 1);
        let cell = |column: u16| format!("\"{}:{}\"", site(column), base + column * count + row);
        let _ = writeln!(rows, "    - [{}, {}, {}]", cell(0), cell(1), cell(2));
        for (column, process) in (0..).zip(PROCESSES) {
            let _ = writeln!(sites, "  {}: {process}", site(column));
        }
    }
    let mut text = format!("site:\n  server:\n{rows}process:\n{sites}host:\n");
    for process in PROCESSES {
        let _ = writeln!(text, "  {process}: 127.0.0.1");
    }
    text += "mode:\n  cc: none\n  ab: raft\n";
    if !settings.is_empty() {
        text += "raft:\n";
        for (key, value) in settings {
            let _ = writeln!(text, "  {key}: {value}");
        }
    }
    Ok(text)
}
